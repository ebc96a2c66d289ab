"""Time in the kernel that page faults do not explain: system calls and waking threads."""

from benchmarks.causes import page_faults
from benchmarks.causes.counts import Counts, Finding

NAME = "kernel time"
SHARE = 0.10


def found(counts: Counts) -> Finding | None:
    """The kernel takes 10 % of the time, and page faults explain less than half of that."""
    if counts.kernel < SHARE or page_faults.explain(counts):
        return None
    words = f"{counts.kernel:.0%} of its time is the kernel, with {counts['waits']:,.1f} waits per "
    return Finding(NAME, counts.kernel, f"{words}{counts.step}")
