"""The epoch: every training image once, from the shared weights in the shared order."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_epoch(measured: Row) -> None:
    """Seconds per epoch, in which it must learn neither too little nor more than can be."""
    assert not measured.parity_faults, "\n".join(measured.parity_faults)
    assert not measured.accuracy_faults, "\n".join(measured.accuracy_faults)
