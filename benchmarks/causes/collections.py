"""Python's collections of garbage."""

from benchmarks.causes.counts import Counts, Finding

SHARE = 0.02


def found(counts: Counts) -> Finding | None:
    """A fiftieth of the time is spent looking for garbage."""
    share = counts.share("gc_seconds")
    if share < SHARE:
        return None
    words = f"{share:.0%} of its time is Python's collection of garbage"
    return Finding("garbage collection", share, words, "call gc.freeze() before the loop")
