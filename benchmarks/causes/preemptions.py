"""Threads that lose their CPU to another thread, of this process or of another."""

from benchmarks.causes.counts import Counts, Finding

# Per second. The kernel's shortest turn is some milliseconds.
RATE = 50


def found(counts: Counts) -> Finding | None:
    """The CPU was taken away 50 times a second: something else wants it, such as more threads."""
    rate = counts["preemptions"] / counts.seconds if counts.seconds > 0 else 0.0
    if rate < RATE:
        return None
    threads = f"; {counts.threads} threads ran on {counts.allowed_threads} CPU(s)"
    words = f"lost its CPU {rate:,.0f} times a second{threads if counts.threads else ''}"
    return Finding("lost CPU", 0.0, words, "end other programs, or bind fewer threads")
