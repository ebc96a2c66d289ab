"""What this machine has, and what to fix before measuring: `python -m benchmarks doctor`."""

import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import gpu
from mnist_models import data, implementations
from mnist_models.worker import available_cpus, knobs

PACKAGES = (
    "tensorflow", "keras", "torch", "torchvision", "jax", "numpy", "pytest", "pytest_benchmark",
)  # fmt: skip
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

# What was found, whether it is well, and what to do if not.
Finding = tuple[str, str, str]


def examine(dataset: str | None) -> int:
    """Print all findings; 1 when the pair cannot be measured here, else 0."""
    table = Table("what", "found", "what to do", title="python -m benchmarks doctor")
    for finding in (
        *frameworks(),
        *machine(),
        *((*knob, "") for knob in knobs().items()),
        data_found(dataset),
    ):
        table.add_row(*finding)
    Console().print(table)
    return int(any(implementations.missing(name) for name in implementations.PAIR))


def frameworks() -> Iterator[Finding]:
    """Versions without importing anything, and who can be measured."""
    for package, version in implementations.installed(PACKAGES).items():
        yield package, version or "not installed", ""
    for name in implementations.names():
        lacks = implementations.missing(name)
        yield name, "lacks " + ", ".join(lacks) if lacks else "ready", advice_to_install(lacks)
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    need = "" if compiler else "install g++: torch.compile needs a C++ compiler on the CPU"
    yield "C++ compiler", compiler or "none", need


def advice_to_install(packages: list[str]) -> str:
    """A command for what is missing."""
    return f"pip install {' '.join(packages)}" if packages else ""


def machine() -> Iterator[Finding]:
    """Processor, GPU, and who else is using them."""
    cpus = available_cpus()
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", ""
    yield "CPUs", f"{cpus} of {psutil.cpu_count()} may be used", ""
    yield "GPU", gpu.described() if gpu.has_gpu() else "none (nvidia-smi finds none)", ""
    load = psutil.getloadavg()[0]
    busy = "other work is running: end it, or measure with --threads 1" if load > 0.5 * cpus else ""
    yield "load", f"{load:.2f} in the last minute", busy
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


def stolen_share(seconds: float = 0.5) -> float:
    """Share of the CPU time that the hypervisor gave to others in the last moments."""
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
        return "data", str(error), "see above"
    return "data", f"'{found.name}' in {found.folder}", found.fallback
