"""One prediction: one image on the device to its logits."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_latency(measured: Row) -> None:
    """Seconds per image. Counts only if the answers agree with the reference."""
    assert not measured.void, "\n".join(measured.void)
