"""Code that is traced or compiled again while it is timed."""

from benchmarks.causes.counts import Counts, Finding

NAME = "compilations"
# Per operation: what is compiled once in 20 operations is compiled for ever.
RATE = 0.05


def found(counts: Counts) -> Finding | None:
    """One of 20 operations traces or compiles: the shape or a Python value in it changes."""
    rate = counts["compilations"]
    if rate < RATE:
        return None
    words = f"traced or compiled {rate:.2g} times per {counts.step}, while it was timed"
    return Finding(NAME, 1.0, words, "keep shapes and Python values the same")
