"""Which CPUs workers are timed on, and which are left to the controller and everything else.

Standard library only: workers import it. All choices start from the CPUs that this process may use.
"""

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from math import floor, inf
from pathlib import Path

# https://docs.kernel.org/admin-guide/cputopology.html
DEVICES = Path("/sys/devices")
GROUPS = Path("/sys/fs/cgroup")
TASKS = Path("/proc/self/task")
# The environment variable that has the CPUs which a session may use.
INHERITED = "MNIST_BENCHMARK_CPUS"
# The environment variable of the number of threads across operations, if it is another than within.
INTEROP = "MNIST_BENCHMARK_INTEROP"
# A core of less than this share of the largest `cpu_capacity` is an efficiency core.
FULL_CAPACITY = 0.9


def available() -> list[int]:
    """Numbers of the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def inherited() -> list[int]:
    """Numbers of the CPUs that the session may use, even if this process is bound to few."""
    text = os.environ.get(INHERITED, "")
    return sorted(numbers(text)) if text else available()


def across(threads: int) -> int:
    """How many threads run operations side by side; each operation has `threads`."""
    return int(os.environ.get(INTEROP, threads))


def keep_inherited() -> None:
    """Store this process's CPUs for it and its children; call this before it is bound."""
    os.environ.setdefault(INHERITED, ",".join(map(str, available())))


def cores(allowed: Iterable[int], devices: Path = DEVICES) -> list[list[int]]:
    """The physical cores of the CPUs `allowed`, best first; hyper-thread siblings share one.

    Performance cores come before efficiency cores, then the higher clock decides, then the higher
    number, because interrupts and other programs usually use the first CPU. Within a core the
    higher number comes first. If the kernel reports no cores, each CPU is a core.
    """
    found: dict[str, list[int]] = {}
    for cpu in sorted(allowed, reverse=True):
        found.setdefault(siblings(cpu, devices), []).append(cpu)
    efficient = efficiency_cpus(allowed, devices)
    clock = "cpufreq/cpuinfo_max_freq"
    return sorted(
        found.values(),
        key=lambda core: (core[0] in efficient, -number(core[0], clock, devices), -core[0]),
    )


def siblings(cpu: int, devices: Path) -> str:
    """A text that the hyper-threads of one physical core share, and no others."""
    folder = devices / "system" / "cpu" / f"cpu{cpu}" / "topology"
    if listed := read(folder / "thread_siblings_list"):
        return listed
    package, core = read(folder / "physical_package_id"), read(folder / "core_id")
    return f"{package}:{core}" if core else f"CPU {cpu}"


def efficiency_cpus(allowed: Iterable[int], devices: Path = DEVICES) -> set[int]:
    """The CPUs that are slower than the fastest, by the kernel's list (Intel) or capacity (Arm)."""
    slow = numbers(read(devices / "cpu_atom" / "cpus"))
    capacity = {cpu: number(cpu, "cpu_capacity", devices) for cpu in allowed}
    full = FULL_CAPACITY * max(capacity.values(), default=0)
    slow |= {cpu for cpu, size in capacity.items() if 0 < size < full}
    # If no other CPUs are allowed, none counts as slow.
    return slow & capacity.keys() if capacity.keys() - slow else set()


def read(path: Path) -> str:
    """The text of a kernel's file; empty if there is none."""
    with suppress(OSError):
        return path.read_text(encoding="ascii").strip()
    return ""


def number(cpu: int, file: str, devices: Path) -> int:
    """The number in one of a CPU's files; 0 if there is none."""
    text = read(devices / "system" / "cpu" / f"cpu{cpu}" / file)
    return int(text) if text.isdecimal() else 0


def numbers(text: str) -> set[int]:
    """The numbers of a kernel's list such as "0-3,8"."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def default_threads(
    allowed: Iterable[int] | None = None, devices: Path = DEVICES, groups: Path = GROUPS
) -> int:
    """Fast physical cores minus one, at least 1; hyper-threads and efficiency cores do not count.

    A container's quota of CPU time limits the number of cores.
    """
    allowed = available() if allowed is None else list(allowed)
    slow = efficiency_cpus(allowed, devices)
    fast = sum(core[0] not in slow for core in cores(allowed, devices))
    return max(1, floor(min(fast, quota(groups))) - 1)


def quota(groups: Path = GROUPS) -> float:
    """How many CPUs' time a container may use; infinite without a limit.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu, and version 1 of it.
    """
    both = read(groups / "cpu.max").split() or [
        read(groups / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")
    ]
    if len(both) == 2 and all(map(str.isdecimal, both)) and int(both[1]):
        return int(both[0]) / int(both[1])
    return inf


def share(
    threads: int, allowed: Iterable[int] | None = None, devices: Path = DEVICES
) -> tuple[list[int], list[int]]:
    """CPU numbers for workers of `threads` threads, and those for the controller.

    Workers get a physical core for each thread, best first, and second hyper-threads only when all
    cores are taken. The controller gets whole cores that no worker uses; without one, the free
    hyper-threads of the workers' last cores; without those, all CPUs.
    """
    allowed = sorted(available() if allowed is None else allowed)
    ranked = cores(allowed, devices)
    turns = [core[i] for i in range(max(map(len, ranked))) for core in ranked if i < len(core)]
    workers = turns[:threads]
    free = [cpu for core in ranked if not {*core} & {*workers} for cpu in core]
    return sorted(workers), sorted(free or turns[threads:] or allowed)


def bind(cpus: Iterable[int]) -> list[int]:
    """Bind every thread of this process to these CPUs; returns those that it may then use.

    On other systems than Linux this does nothing; only the frameworks' own settings apply.
    """
    if TASKS.exists():
        for task in TASKS.iterdir():
            with suppress(ProcessLookupError):  # a thread that has just ended
                os.sched_setaffinity(int(task.name), cpus)
    return available()


@contextmanager
def bound(cpus: Iterable[int]) -> Generator[None, None, None]:
    """Keep every thread of this process on these CPUs for a while."""
    before = available()
    bind(cpus)
    try:
        yield
    finally:
        bind(before)
