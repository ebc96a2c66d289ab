"""What the kernel and Python do beside the clock. Every sample carries it, per operation."""

import gc
import os
import resource
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

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

        `compilations` are how often the trainer's framework traced or compiled, where it tells.
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
        """How many threads used the CPU since the last call; None where the kernel does not say."""
        before, self.ran = self.ran, thread_seconds()
        used = (seconds - before.get(thread, 0.0) for thread, seconds in self.ran.items())
        return sum(seconds > RAN for seconds in used) or None


def busy_seconds(cpus: Iterable[int], stat: Path = STAT) -> tuple[float, float]:
    """Seconds that CPUs were not idle, and those that a hypervisor gave away, since the start.

    Raises OSError where the kernel does not tell.
    """
    ticks = {}
    for line in stat.read_text("ascii").splitlines():
        name, *counts = line.split()
        ticks[name] = [int(count) for count in counts]
    # user, nice, system, idle, waiting, irq, softirq, steal; guests are in the user's.
    found = [ticks[f"cpu{number}"] for number in cpus if f"cpu{number}" in ticks]
    busy = sum(sum(one[:3]) + sum(one[5:8]) for one in found)
    hertz = os.sysconf("SC_CLK_TCK")
    return busy / hertz, sum(one[7] for one in found) / hertz


def thread_seconds(tasks: Path = TASKS) -> dict[str, float]:
    """CPU seconds of each thread of this process by its number; empty where nobody tells."""
    found = {}
    for name in os.listdir(tasks) if tasks.exists() else ():
        try:
            nanoseconds, *_ = (tasks / name / "schedstat").read_text("ascii").split()
        except (OSError, ValueError):  # it has ended meanwhile, or the kernel keeps no count
            continue
        found[name] = int(nanoseconds) / 1e9
    return found
