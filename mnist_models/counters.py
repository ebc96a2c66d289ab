"""Counters of the kernel and of Python, which samples have beside their times."""

import gc
import os
import resource
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

STAT = Path("/proc/stat")
TASKS = Path("/proc/self/task")
# CPU seconds above which a thread counts as one that ran.
RAN = 0.001


class Counters:
    """Totals of this process since it started. `read` takes some microseconds.

    Sources: getrusage(2), and `gc.callbacks` of Python, which are called around each collection.
    """

    def __init__(self) -> None:
        self.collections, self.gc_seconds, self.began = 0, 0.0, 0.0
        gc.callbacks.append(self.collect)
        self.ran = thread_seconds()

    def collect(self, phase: str, information: dict[str, int]) -> None:
        """Note a collection of garbage; Python calls it before and after."""
        if phase == "start":
            self.began = perf_counter()
        else:
            self.collections += 1
            self.gc_seconds += perf_counter() - self.began

    def read(self, trainer: Any) -> dict[str, float]:
        """Return all totals by name; times are in seconds.

        `compilations` is how often the trainer's framework traced or compiled, 0 if it is unknown.
        """
        usage = resource.getrusage(resource.RUSAGE_SELF)
        compilations = getattr(trainer, "compilations", int)
        return {
            "minor_faults": usage.ru_minflt,
            "major_faults": usage.ru_majflt,
            "kernel_seconds": usage.ru_stime,
            "waits": usage.ru_nvcsw,
            "preemptions": usage.ru_nivcsw,
            "collections": self.collections,
            "gc_seconds": self.gc_seconds,
            "compilations": compilations(),
        }

    def threads_that_ran(self) -> int | None:
        """How many threads used the CPU since the last call; None if the kernel does not count."""
        before, self.ran = self.ran, thread_seconds()
        used = (seconds - before.get(thread, 0.0) for thread, seconds in self.ran.items())
        return sum(seconds > RAN for seconds in used) or None


class Spent(NamedTuple):
    """Seconds that a CPU was not idle, and the part that a hypervisor gave to other machines."""

    busy: float
    stolen: float


def cpu_seconds(stat: Path = STAT) -> dict[int, Spent]:
    """What each CPU spent since it was started, by its number; empty if there is no /proc/stat.

    Offline CPUs are missing. In a container with an emulated /proc/stat (lxcfs), any CPU may be
    missing. psutil has the same figures as a list, without the numbers of the CPUs.
    """
    if not stat.exists():
        return {}
    found, hertz = {}, os.sysconf("SC_CLK_TCK")
    for line in stat.read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdecimal():
            user, nice, system, _idle, _waiting, irq, softirq, steal, *_guests = map(int, ticks)
            # Guests' time is already in the user's.
            busy = user + nice + system + irq + softirq + steal
            found[int(name[3:])] = Spent(busy / hertz, steal / hertz)
    return found


def thread_seconds(tasks: Path = TASKS) -> dict[str, float]:
    """CPU seconds of each thread of this process by its number; empty if they are unknown."""
    found = {}
    for name in os.listdir(tasks) if tasks.exists() else ():
        try:
            nanoseconds, *_ = (tasks / name / "schedstat").read_text("ascii").split()
        except (OSError, ValueError):  # it has ended meanwhile, or the kernel keeps no count
            continue
        found[name] = int(nanoseconds) / 1e9
    return found
