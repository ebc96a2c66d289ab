"""The epoch: every training image once, from the shared weights in the shared order."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_epoch(measured: Row) -> None:
    """Seconds per epoch. The test accuracy must lie within its bounds."""
    assert not measured.void, "\n".join(measured.void)
