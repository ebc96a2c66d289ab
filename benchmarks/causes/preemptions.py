"""Threads that lose their CPU to another thread, of this process or of another."""

from benchmarks.causes.counts import Counts, Finding
from benchmarks.causes.idle import SHARE, WAITS

# Per second. The kernel's shortest turn is some milliseconds.
RATE = 50


def found(counts: Counts) -> Finding | None:
    """The CPU was taken away 50 times a second, or a tenth of the time without a wait."""
    rate = counts["preemptions"] / counts.seconds if counts.seconds > 0 else 0.0
    taken = counts.off_cpu >= SHARE and counts["waits"] < WAITS
    if counts.allowed_threads > 1 or not (rate >= RATE or taken):
        return None
    share = counts.off_cpu if taken else 0.0
    words = f"lost its CPU {rate:,.0f} times a second"
    words += f", {share:.0%} of its time" if taken else ""
    words += f"; {counts.threads} threads ran on one CPU" if counts.threads > 1 else ""
    return Finding("lost CPU", share, words, "end other programs, or bind fewer threads")
