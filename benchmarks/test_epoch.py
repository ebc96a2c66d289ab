"""The epoch: every training image once, from the shared weights in the shared order."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_epoch(measured: Row) -> None:
    """Seconds per epoch. The test accuracy must lie within its bounds."""
    assert not measured.parity_faults, "\n".join(measured.parity_faults)
    assert not measured.accuracy_faults, "\n".join(measured.accuracy_faults)
