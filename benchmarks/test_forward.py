"""The forward pass: one batch of images on the device to its logits."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_forward(measured: Row) -> None:
    """Seconds per batch. Counts only if the answers agree with the reference."""
    assert not measured.void, "\n".join(measured.void)
