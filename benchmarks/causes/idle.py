"""Time in which the process waits by itself: for a thread, a lock, or a disk."""

from benchmarks.causes.counts import Counts, Finding

# Share of the time, and waits per operation; without waits somebody else had the CPU.
SHARE, WAITS = 0.10, 0.1


def found(counts: Counts) -> Finding | None:
    """With one thread, a tenth of the time passes without the CPU, and the process waits."""
    if counts.off_cpu < SHARE or counts["waits"] < WAITS:
        return None
    threads = f" among {counts.threads} threads" if counts.threads > 1 else ""
    waits = f"{counts['waits']:,.1f} waits per {counts.step}{threads}"
    return Finding("waiting", counts.off_cpu, f"{counts.off_cpu:.0%} of its time it waits: {waits}")
