"""Shipping: what a network takes to export, to load and to answer, and that it answers right."""

import pytest

from benchmarks.measuring.results import Row

pytestmark = pytest.mark.benchmark


def test_deploy(measured: Row) -> None:
    """Seconds of saving and loading. Every route must answer as the network that it was."""
    assert not measured.void, "\n".join(measured.void)
