"""The training step: forward, loss, backward and update on one batch that is on the device."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_train_step(measured: Row) -> None:
    """Seconds per step. Counts only if gradients and weights are right, and if it learns."""
    assert not measured.void, "\n".join(measured.void)
