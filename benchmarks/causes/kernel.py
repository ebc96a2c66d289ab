"""Time in the kernel that page faults do not explain: system calls and waking threads."""

from benchmarks.causes.counts import Counts, Finding
from benchmarks.causes.page_faults import FAULTS

SHARE = 0.10


def found(counts: Counts) -> Finding | None:
    """A tenth of the time in the kernel, with few page faults."""
    share = counts.share("kernel_seconds")
    if share < SHARE or counts["minor_faults"] >= FAULTS:
        return None
    words = f"{share:.0%} of its time is the kernel, with {counts['waits']:,.1f} waits per "
    return Finding("kernel time", share, f"{words}{counts.step}")
