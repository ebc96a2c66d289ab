"""The parts of a training step: forward, backward, optimiser, and the rest."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_parts(measured: Row) -> None:
    """Seconds of the whole step. Its parts and its kernels are saved beside them."""
    assert not measured.void, "\n".join(measured.void)
