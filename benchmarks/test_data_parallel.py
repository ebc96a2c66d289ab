"""Training on several devices: the same global batch, and the same weights in the end."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_data_parallel(measured: Row) -> None:
    """Seconds of a step on two devices. Any number of devices must compute what one computes."""
    assert not measured.void, "\n".join(measured.void)
