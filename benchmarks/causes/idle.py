"""Time in which the process waits by itself: for a thread, a lock, or a disk."""

from benchmarks.causes.counts import Counts, Finding

NAME = "waiting"
# Share of the time, and the part of it that others may have had.
SHARE, OTHERS = 0.10, 0.5


def found(counts: Counts) -> Finding | None:
    """With one thread, it is off the CPU 10 % of the time; others used less than half of that."""
    if counts.off_cpu < SHARE or counts.others >= OTHERS * counts.off_cpu:
        return None
    threads = f" among {counts.threads} threads" if counts.threads > 1 else ""
    waits = f"{counts['waits']:,.1f} waits per {counts.step}{threads}"
    return Finding(NAME, counts.off_cpu, f"{counts.off_cpu:.0%} of its time it waits: {waits}")
