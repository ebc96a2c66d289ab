"""The training step: forward, loss, backward and update on one batch that is on the device."""

from benchmarks.measuring.results import Row


def test_train_step(measured: Row) -> None:
    """Seconds per step; counts only if gradients and weights are the referee's, and it learns."""
    assert measured.parity_faults == []
    assert measured.accuracy_faults == []
