"""The start: from starting a process to its first training step."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_startup(measured: Row) -> None:
    """Seconds per start. Counts only if the answers agree with the reference."""
    assert not measured.void, "\n".join(measured.void)
