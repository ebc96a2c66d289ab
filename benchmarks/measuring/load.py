"""The use of the workers' CPUs by other programs during the timing."""

from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

import psutil

from mnist_models.counters import STAT, cpu_seconds


class Meter:
    """Measures from its construction to a call of `foreign` or `stolen`.

    It takes the kernel's busy time of the `cpus` that the workers are bound to, less the CPU time
    of the workers themselves.
    """

    def __init__(self, pids: Iterable[int | None], cpus: Iterable[int]) -> None:
        self.pids = [pid for pid in pids if pid is not None]
        self.cpus = set(cpus)
        self.began, self.before, self.own = monotonic(), cpu_seconds(), self.own_busy()

    def foreign(self) -> float | None:
        """Share of the CPUs' time that other programs and machines took; None if unknown."""
        return self.share("busy", ours=True)

    def stolen(self) -> float | None:
        """Share of the CPUs' time that the hypervisor gave to other machines; None if unknown."""
        return self.share("stolen")

    def share(self, what: str, ours: bool = False) -> float | None:
        """Share of the CPUs' time that was `what`, less the workers' if `ours`; None if unknown."""
        after, seconds = cpu_seconds(), (monotonic() - self.began) * len(self.cpus)
        if seconds <= 0 or self.cpus - self.before.keys() or self.cpus - after.keys():
            return None
        spent = sum(
            getattr(after[cpu], what) - getattr(self.before[cpu], what) for cpu in self.cpus
        )
        if not ours:
            return max(0.0, spent / seconds)
        own = self.own_busy()
        # The CPU time of a worker that has ended is not known.
        if self.own.keys() - own.keys():
            return None
        return max(0.0, (spent - sum(own[pid] - self.own[pid] for pid in self.own)) / seconds)

    def own_busy(self) -> dict[int, float]:
        """CPU seconds of each worker, and of processes that it started and that have ended."""
        found = {}
        for pid in self.pids:
            with suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                found[pid] = sum(times[:4])
        return found


def unknown(cpus: Iterable[int]) -> str:
    """Return why the use of these CPUs by other programs is unknown; empty if it is known."""
    if missing := sorted(set(cpus) - cpu_seconds().keys()):
        return f"{STAT} does not list CPU {', '.join(map(str, missing))}"
    return ""
