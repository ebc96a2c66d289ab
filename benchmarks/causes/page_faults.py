"""Pages of memory that the kernel must fetch or clear while an operation runs."""

from benchmarks.causes.counts import Counts, Finding
from benchmarks.measuring.environments import STEADY

# Faults per operation, and the share of its time in the kernel, from which on they matter.
FAULTS, SHARE = 10, 0.05


def found(counts: Counts) -> Finding | None:
    """Ten faults and 5 % of the time in the kernel: memory that was freed and is asked for again.

    The kernel's time is that of the whole process; with so many faults, clearing pages is most of
    it.
    """
    faults, share = counts["minor_faults"], counts.share("kernel_seconds")
    if faults < FAULTS or share < SHARE:
        return None
    words = f"{faults:,.0f} page faults per {counts.step}: {share:.0%} of its time is the kernel, "
    words += "which clears memory that the allocator had given back"
    kept = counts.environment is not None and STEADY.items() <= counts.environment.items()
    settings = " ".join(f"{name}={value}" for name, value in STEADY.items())
    return Finding("page faults", share, words, "" if kept else f"with glibc set {settings}")
