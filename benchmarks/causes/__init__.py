"""Why a number is what it is: causes that the counters of its samples show.

A cause is one small file here with a function `found`: when it matters, what to say, what to do.
Each has its rule in its docstring, and a test in tests/test_causes.py plants it.
"""

from benchmarks.causes import (
    collections,
    compilations,
    idle,
    kernel,
    page_faults,
    preemptions,
    stolen,
)
from benchmarks.causes.counts import Counts, Finding

# In the order in which they are said where several take as much.
CAUSES = (page_faults, kernel, compilations, collections, idle, preemptions, stolen)

__all__ = ["CAUSES", "Counts", "Finding", "findings"]


def findings(counts: Counts) -> list[Finding]:
    """All that matters about a row's times, what takes most first; empty where nothing does."""
    found = [one for cause in CAUSES if (one := cause.found(counts))]
    return sorted(found, key=lambda one: -one.share)
