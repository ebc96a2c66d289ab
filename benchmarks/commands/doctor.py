"""What this machine has, and what to fix before measuring: `python -m benchmarks doctor`."""

import platform
import shutil
import time
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.measuring import gpu, load, memory
from mnist_models import cpus, data, implementations
from mnist_models.worker import settings

PACKAGES = (
    "tensorflow", "keras", "torch", "torchvision", "jax", "numpy", "pytest", "pytest_benchmark",
)  # fmt: skip
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

# A finding, its value, and what to do; empty if all is well.
Finding = tuple[str, str, str]


def examine(dataset: str | None) -> int:
    """Print all findings; 1 when the pair cannot be measured here, else 0."""
    table = Table("what", "found", "what to do", title="python -m benchmarks doctor")
    for finding in (
        *frameworks(),
        *machine(),
        *((*knob, "") for knob in settings().items()),
        data_found(dataset),
    ):
        table.add_row(*map(escape, finding))
    Console().print(table)
    return int(any(implementations.missing(name) for name in implementations.PAIR))


def frameworks() -> Iterator[Finding]:
    """Versions, found without imports, and which implementations can be measured."""
    for package, version in implementations.installed(PACKAGES).items():
        yield package, version or "not installed", ""
    for name in implementations.names():
        lacks = implementations.missing(name)
        yield name, "lacks " + ", ".join(lacks) if lacks else "ready", advice_to_install(lacks)
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    need = "" if compiler else "install g++: torch.compile needs a C++ compiler on the CPU"
    yield "C++ compiler", compiler or "none", need


def advice_to_install(packages: list[str]) -> str:
    """Return the command that installs missing packages."""
    return f"pip install {' '.join(packages)}" if packages else ""


def machine() -> Iterator[Finding]:
    """Processor, GPU, and their use by other programs."""
    count = len(cpus.available())
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", ""
    yield "CPUs", f"{count} of {psutil.cpu_count()} may be used", ""
    yield from who_runs_where()
    yield memory_found()
    yield "GPU", gpu.described() if gpu.has_gpu() else "none (nvidia-smi finds none)", ""
    average = psutil.getloadavg()[0]
    busy = "other work is running: end it, or measure with --threads 1"
    busy = busy if average > 0.5 * count else ""
    yield "load", f"{average:.2f} in the last minute", busy
    steal = stolen_share()
    shared = "this is a shared virtual machine: prefer --threads 1 and more --blocks"
    yield "steal", f"{steal:.1%} of CPU time went to other machines", shared if steal > 0.01 else ""
    if GOVERNOR.exists():
        governor = GOVERNOR.read_text().strip()
        better = "" if governor == "performance" else "cpupower frequency-set -g performance"
        yield "governor", governor, better
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery:
        plugged = bool(battery.power_plugged)
        yield "power", "mains" if plugged else "battery", "" if plugged else "plug it in"


def who_runs_where() -> Iterator[Finding]:
    """The CPUs of workers and controller, why, and whether other programs' use is known."""
    threads = cpus.default_threads()
    workers, controller = (", ".join(map(str, part)) for part in cpus.share(threads))
    allowed = cpus.available()
    kinds = [f"{len(cpus.cores(allowed))} physical cores"]
    if slow := sorted(cpus.efficiency_cpus(allowed)):
        kinds.append(f"efficiency CPUs {', '.join(map(str, slow))}")
    why = f"{threads} thread(s), fast physical cores first; {', '.join(kinds)}"
    yield "workers' CPUs", f"{workers} ({why})", ""
    yield "controller's CPUs", controller, ""
    if isfinite(quota := cpus.quota()):
        few = "" if quota > threads else "give the container more: the kernel stops it above that"
        yield "CPU quota", f"the time of {quota:g} CPUs", few
    if unknown := load.unknown(cpus.share(threads)[0]):
        yield "foreign load", f"cannot be watched: {unknown}", "check for other programs yourself"


def memory_found() -> Finding:
    """Return the memory that a session of all implementations needs, and the free memory."""
    names = [name for name in implementations.names() if not implementations.missing(name)]
    need, free = memory.needed(names), memory.available()
    pair = memory.gibibytes(memory.needed(implementations.PAIR))
    found = f"{memory.gibibytes(free)} free; all {len(names)} workers need up to "
    found += f"{memory.gibibytes(need)}, the pair {pair}"
    advice = "some implementations will be dropped: end other programs, or name fewer"
    return "memory", found, advice if need > free else ""


def stolen_share(seconds: float = 0.5) -> float:
    """Share of the CPU time that the hypervisor gives to other machines, over some `seconds`."""
    before = psutil.cpu_times()
    time.sleep(seconds)
    after = psutil.cpu_times()
    total = sum(after) - sum(before)
    return (getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)) / total if total else 0.0


def data_found(dataset: str | None) -> Finding:
    """The data set that a session would use."""
    try:
        found = data.load(dataset)
    except data.DataError as error:
        return "data", str(error), ""
    return "data", f"'{found.name}' in {found.folder}", found.fallback
