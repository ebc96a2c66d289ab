"""Time in the kernel that page faults do not explain: system calls and waking threads."""

from benchmarks.causes import page_faults
from benchmarks.causes.counts import Counts, Finding

SHARE = 0.10


def found(counts: Counts) -> Finding | None:
    """A tenth of the time in the kernel, and page faults explain less than half of it."""
    if counts.kernel < SHARE or page_faults.explain(counts):
        return None
    words = f"{counts.kernel:.0%} of its time is the kernel, with {counts['waits']:,.1f} waits per "
    return Finding("kernel time", counts.kernel, f"{words}{counts.step}")
