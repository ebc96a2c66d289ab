"""Shipping: the time to export a network, to load it and to predict, with right answers."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_deploy(measured: Row) -> None:
    """Seconds of saving and loading. Every route must give the exported network's answers."""
    assert not measured.void, "\n".join(measured.void)
