"""CPU time that a hypervisor gives to other machines."""

from benchmarks.causes.counts import Counts, Finding

NAME = "stolen time"
SHARE = 0.05


def found(counts: Counts) -> Finding | None:
    """Other machines took 5 % of the CPUs' time in one of the blocks."""
    if counts.stolen < SHARE:
        return None
    words = f"other machines took up to {counts.stolen:.0%} of the CPUs' time"
    return Finding(NAME, counts.stolen, words, "measure again, or on a machine of its own")
