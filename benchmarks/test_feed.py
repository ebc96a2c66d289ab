"""Feeding: the time of shuffled, shifted images, alone and with training."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_feed(measured: Row) -> None:
    """Seconds of an epoch of training. Every way must feed the same images in the same order."""
    assert not measured.void, "\n".join(measured.void)
