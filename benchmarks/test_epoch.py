"""The epoch: every training image once, from the shared weights in the shared order."""

from benchmarks.measuring.results import Row


def test_epoch(measured: Row) -> None:
    """Seconds per epoch, in which it must learn neither too little nor more than can be."""
    assert measured.parity_faults == []
    assert measured.accuracy_faults == []
