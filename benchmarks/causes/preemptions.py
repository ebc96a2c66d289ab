"""Time in which somebody else has the CPU."""

from benchmarks.causes.counts import Counts, Finding
from benchmarks.causes.idle import OTHERS, SHARE

NAME = "lost CPU"


def found(counts: Counts) -> Finding | None:
    """With one thread, it is off the CPU 10 % of the time; others used at least half of that."""
    # Waits do not tell: TensorFlow's threads wait for each other in every call, whoever else runs.
    if counts.off_cpu < SHARE or counts.others < OTHERS * counts.off_cpu:
        return None
    # A framework's own threads, bound to one CPU, make room for each other some hundred times a
    # second, which costs nothing that can be measured: the number alone is no cause.
    words = f"other programs used its CPU for {counts.off_cpu:.0%} of its time; it lost the CPU "
    words += f"{counts['preemptions']:,.1f} times per {counts.step}"
    return Finding(NAME, counts.off_cpu, words, "end other programs")
