"""CPU time that a hypervisor gives to other machines."""

from benchmarks.causes.counts import Counts, Finding

SHARE = 0.05


def found(counts: Counts) -> Finding | None:
    """A twentieth of the CPUs' time, in one of the blocks."""
    if counts.stolen < SHARE:
        return None
    words = f"other machines took up to {counts.stolen:.0%} of the CPUs' time"
    return Finding("stolen time", counts.stolen, words, "measure again, or on a machine of its own")
