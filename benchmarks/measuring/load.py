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
        return self.share(self.busy, busy_seconds(), ours=True)

    def stolen(self) -> float | None:
        """Share of the CPUs' time that the hypervisor gave to other machines; None if unknown."""
        return self.share(self.steal, busy_seconds(stolen=True))

    def share(
        self, before: dict[int, float], after: dict[int, float], ours: bool = False
    ) -> float | None:
        """What the watched CPUs spent between two readings, less `ours`; None if unknown."""
        seconds = (monotonic() - self.began) * len(self.cpus)
        if seconds <= 0 or self.cpus - before.keys() or self.cpus - after.keys():
            return None
        spent = sum(after[cpu] - before[cpu] for cpu in self.cpus)
        return max(0.0, (spent - (self.own_busy() - self.own if ours else 0.0)) / seconds)

    def own_busy(self) -> float:
        """CPU seconds of the workers, and of processes that they started and that have ended."""
        total = 0.0
        for pid in self.pids:
            with suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
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
