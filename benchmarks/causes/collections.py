"""Python's collections of garbage."""

from benchmarks.causes.counts import Counts, Finding

NAME = "garbage collection"
SHARE = 0.02


def found(counts: Counts) -> Finding | None:
    """The garbage collection takes 2 % of the time."""
    share = counts.share("gc_seconds")
    if share < SHARE:
        return None
    words = f"{share:.0%} of its time is Python's collection of garbage"
    return Finding(NAME, share, words, "call gc.freeze() before the loop")
