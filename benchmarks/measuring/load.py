"""Who else used the workers' CPUs while they were timed."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic

import psutil

STAT = Path("/proc/stat")


class Meter:
    """Runs from its construction; `foreign` reads it.

    It watches the `cpus` that the workers are bound to: the kernel's count of their busy time, less
    what the workers themselves took of it.
    """

    def __init__(self, pids: Iterable[int | None], cpus: Iterable[int]) -> None:
        self.pids = [pid for pid in pids if pid is not None]
        self.cpus = set(cpus)
        self.began, self.busy, self.own = monotonic(), busy_seconds(), self.own_busy()
        self.steal = busy_seconds(stolen=True)

    def foreign(self) -> float | None:
        """Share of the CPUs' time that went to others, other machines included; None if unknown."""
        seconds = (monotonic() - self.began) * len(self.cpus)
        after = busy_seconds()
        if seconds <= 0 or self.cpus - self.busy.keys() or self.cpus - after.keys():
            return None
        busy = sum(after[cpu] - self.busy[cpu] for cpu in self.cpus)
        return max(0.0, (busy - self.own_busy() + self.own) / seconds)

    def stolen(self) -> float | None:
        """Share of the CPUs' time that the hypervisor gave to other machines; None if unknown."""
        seconds, after = (monotonic() - self.began) * len(self.cpus), busy_seconds(stolen=True)
        if seconds <= 0 or self.cpus - self.steal.keys() or self.cpus - after.keys():
            return None
        return sum(after[cpu] - self.steal[cpu] for cpu in self.cpus) / seconds

    def own_busy(self) -> float:
        """CPU seconds of the workers."""
        total = 0.0
        for pid in self.pids:
            with suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                total += times.user + times.system
        return total


def busy_seconds(stat: Path = STAT, stolen: bool = False) -> dict[int, float]:
    """Seconds that each CPU was not idle since it was started, by its number, or `stolen` alone.

    Offline CPUs are missing, and in a container whose /proc/stat is made up (lxcfs) any may be:
    psutil gives the same figures as a list without the numbers of the CPUs.
    """
    if not stat.exists():
        return {}
    found = {}
    for line in stat.read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdecimal():
            user, nice, system, _idle, _waiting, irq, softirq, steal, *_guests = map(int, ticks)
            # Guests' time is already in the user's.
            busy = steal if stolen else user + nice + system + irq + softirq + steal
            found[int(name[3:])] = busy / os.sysconf("SC_CLK_TCK")
    return found


def unknown(cpus: Iterable[int]) -> str:
    """Return why the use of these CPUs by other programs is unknown; empty if it is known."""
    if missing := sorted(set(cpus) - busy_seconds().keys()):
        return f"{STAT} does not list CPU {', '.join(map(str, missing))}"
    return ""
