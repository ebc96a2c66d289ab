"""Who else used the workers' CPUs while they were timed."""

import os
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

import psutil


class Meter:
    """Runs from its construction; `foreign` reads it.

    It watches the CPUs that workers of `threads` threads are bound to (`worker.bind`): the kernel's
    count of their busy time, less what the workers themselves took of it.
    """

    def __init__(self, pids: Iterable[int | None], threads: int) -> None:
        self.pids = [pid for pid in pids if pid is not None]
        self.cpus = (
            sorted(os.sched_getaffinity(0))[-threads:] if hasattr(os, "sched_getaffinity") else []
        )
        self.began, self.busy, self.own = monotonic(), self.all_busy(), self.own_busy()

    def foreign(self) -> float | None:
        """Share of the CPUs' time that went to others, other machines included; None if unknown."""
        seconds = (monotonic() - self.began) * len(self.cpus)
        if seconds <= 0:
            return None
        return max(0.0, (self.all_busy() - self.busy - self.own_busy() + self.own) / seconds)

    def all_busy(self) -> float:
        """Seconds that the CPUs were not idle since they were started."""
        times = psutil.cpu_times(percpu=True) if self.cpus else []
        # Guests' time is already in the user's.
        return sum(
            t.user + t.nice + t.system + t.irq + t.softirq + t.steal
            for t in (times[cpu] for cpu in self.cpus)
        )

    def own_busy(self) -> float:
        """CPU seconds of the workers."""
        total = 0.0
        for pid in self.pids:
            with suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                total += times.user + times.system
        return total
