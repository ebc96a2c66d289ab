"""Time in which none of the allowed threads computes."""

from benchmarks.causes.counts import Counts, Finding

SHARE = 0.10


def found(counts: Counts) -> Finding | None:
    """With one thread, a tenth of the time passes without the CPU: threads wait for each other."""
    share = 1 - counts.cpu_seconds / counts.seconds if counts.seconds > 0 else 0.0
    if counts.allowed_threads > 1 or share < SHARE:
        return None
    threads = f" among {counts.threads} threads" if counts.threads > 1 else ""
    waits = f"{counts['waits']:,.1f} waits a {counts.step}{threads}"
    return Finding("waiting", share, f"{share:.0%} of its time nothing computes: {waits}")
