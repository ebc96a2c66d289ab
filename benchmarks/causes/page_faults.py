"""Pages of memory that the kernel must fetch or clear while an operation runs."""

from benchmarks.causes.counts import Counts, Finding
from benchmarks.measuring.environments import STEADY

NAME = "page faults"

# The share of an operation's time in the kernel from which on page faults matter, and the part of
# it that they must explain.
SHARE, EXPLAINED = 0.05, 0.5
# What a page of 4 KiB takes; measured in virtual machines were 1.3 to 4.3 µs.
FAULT_SECONDS = 3e-6


def found(counts: Counts) -> Finding | None:
    """The kernel takes 5 % of the time, and page faults, at 3 µs each, at least half of that.

    The kernel's time is that of the whole process, and is counted in ticks: less than half a
    second of CPU time in all tells nothing.
    """
    if counts.kernel < SHARE or not explain(counts):
        return None
    faults = counts["minor_faults"]
    words = f"{faults:,.0f} page faults per {counts.step}: the kernel takes {counts.kernel:.0%} of "
    words += "the time, much of it to clear memory"
    kept = counts.environment is not None and STEADY.items() <= counts.environment.items()
    settings = " ".join(f"{name}={value}" for name, value in STEADY.items())
    return Finding(NAME, counts.kernel, words, "" if kept else f"with glibc set {settings}")


def explain(counts: Counts) -> bool:
    """Whether page faults explain most of the time in the kernel."""
    return counts["minor_faults"] * FAULT_SECONDS >= EXPLAINED * counts["kernel_seconds"]
