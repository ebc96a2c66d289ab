"""What repeated calls leave behind: memory, threads, open files."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_leak(measured: Row) -> None:
    """Seconds of a training step, over 2,000 of them. Growth is reported, but is no failure."""
    assert not measured.void, "\n".join(measured.void)
