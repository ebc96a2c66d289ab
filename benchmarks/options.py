"""The pytest options; `addopts = -p benchmarks.options` makes them known at the root, too."""

import shutil
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import pytest

from mnist_models import implementations, recipe
from mnist_models.architectures import ARCHITECTURES
from mnist_models.data import NAMES as DATASETS
from mnist_models.worker import available_cpus

PRECISIONS = ("float32", "tf32")
DEVICES = ("cpu", "gpu", "auto")
LARGEST_BATCH = 10_000
LARGEST_NUMBER = 1_000_000
# Fewer than 6 blocks cannot give an exact 95 % interval: 2 · 2⁻⁵ is above 0.05, 2 · 2⁻⁶ is not.
DEFAULTS = {"blocks": 6, "rounds": 20, "time_budget": 300.0, "call_limit": 180.0}
QUICK = DEFAULTS | {"blocks": 1, "rounds": 3, "time_budget": 40.0}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("mnist", "Keras and PyTorch on MNIST")

    def several(option: str, text: str, **more: object) -> None:
        group.addoption(option, action="append", default=None, help=f"{text}; repeatable", **more)

    several("--architecture", f"network, of {', '.join(ARCHITECTURES)} (default: all)")
    several("--batch-size", f"images per step (default: {recipe.BATCH_SIZE})", type=int)
    several("--device", "cpu, gpu, or auto: the GPU where there is one (default: cpu and gpu)")
    names = ", ".join(implementations.names())
    several("--implementation", f"of {names} (default: all, test_epoch: the pair)")
    group.addoption(
        "--dataset",
        help=f"{', '.join(DATASETS)}, or a folder of IDX files (default: mnist, or digits offline)",
    )
    group.addoption(
        "--threads", type=int, help="CPU threads of every framework (default: all but one CPU)"
    )
    group.addoption("--precision", default="float32", help="float32 (strict) or tf32, for GPUs")
    group.addoption(
        "--blocks", type=int, help=f"blocks of fresh processes (default: {DEFAULTS['blocks']})"
    )
    group.addoption(
        "--rounds",
        type=int,
        help=f"samples of each contestant in a block (default: {DEFAULTS['rounds']})",
    )
    group.addoption(
        "--time-budget",
        type=float,
        help=f"seconds of measuring (default: {DEFAULTS['time_budget']:.0f})",
    )
    group.addoption(
        "--call-limit",
        type=float,
        help=f"seconds until a silent worker is ended (default: {DEFAULTS['call_limit']:.0f})",
    )
    group.addoption(
        "--quick", action="store_true", help="the pair in one short block: a look, no verdicts"
    )
    group.addoption(
        "--resume", action="store_true", help="take up the session that was killed or interrupted"
    )


@dataclass(frozen=True)
class Settings:
    """The options in force, checked."""

    architectures: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    devices: tuple[str, ...]
    device_asked: bool
    implementations: tuple[str, ...]
    implementations_asked: bool
    dataset: str | None
    threads: int
    precision: str
    blocks: int
    rounds: int
    time_budget: float
    call_limit: float
    quick: bool
    resume: bool

    def asked_for(self, device: str, name: str) -> bool:
        """Whether it is an error, and no mere skip, when `name` cannot be had on `device`."""
        asked = self.implementations_asked or name in implementations.PAIR
        return asked and self.device_asked if device == "gpu" else self.implementations_asked

    def rows(self, operation: str) -> list[tuple[str, str, str, str]]:
        """(architecture, batch size, device, implementation) of every test of an operation.

        Epochs are long: they are timed for the pair alone, unless others were asked for by name.
        """
        names = self.implementations
        if operation == "epoch" and not self.implementations_asked:
            names = tuple(name for name in names if name in implementations.PAIR)
        places = product(self.architectures, map(str, self.batch_sizes), self.devices)
        return [(*place, name) for place in places for name in names]


SETTINGS = pytest.StashKey[Settings]()


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything is collected."""
    config.stash[SETTINGS] = settings(config)
    saves = ("benchmark_save", "benchmark_autosave", "benchmark_json")
    if any(config.getoption(option, None) for option in saves):
        # Without its raw data a run can never be analysed again.
        config.option.benchmark_save_data = True


def settings(config: pytest.Config) -> Settings:
    """Read and check the options; raises pytest.UsageError naming value, choices and remedy."""
    option = config.getoption
    quick, asked = option("quick"), option("implementation")
    everybody = implementations.names()
    names = asked or (implementations.PAIR if quick else everybody)
    defaults = QUICK if quick else DEFAULTS

    def number(name: str, kind: type) -> Any:
        value = option(name)
        value = defaults[name] if value is None else value
        if not 0 < value <= LARGEST_NUMBER:
            limits = f"above 0 and at most {LARGEST_NUMBER}"
            raise pytest.UsageError(f"--{name.replace('_', '-')} {value}: must be {limits}")
        return kind(value)

    for name in asked or []:
        if name in everybody and (lacks := implementations.missing(name)):
            raise pytest.UsageError(
                f"--implementation {name}: not installed; pip install {' '.join(lacks)}"
            )
    return Settings(
        architectures=chosen("--architecture", option("architecture"), ARCHITECTURES),
        batch_sizes=batch_sizes(option("batch_size") or [recipe.BATCH_SIZE]),
        devices=devices(option("device")),
        device_asked="gpu" in (option("device") or ()),
        implementations=chosen("--implementation", names, everybody),
        implementations_asked=bool(asked),
        dataset=option("dataset"),
        threads=threads(option("threads")),
        precision=chosen("--precision", [option("precision")], PRECISIONS)[0],
        blocks=number("blocks", int),
        rounds=number("rounds", int),
        time_budget=number("time_budget", float),
        call_limit=number("call_limit", float),
        quick=quick,
        resume=option("resume"),
    )


def chosen(option: str, values: Iterable[str] | None, allowed: Collection[str]) -> tuple[str, ...]:
    """The values, each once and each allowed; all that is allowed where none were given."""
    for value in values or ():
        if value not in allowed:
            choices = ", ".join(allowed)
            raise pytest.UsageError(f"{option} {value}: no such choice; choose from {choices}")
    return tuple(dict.fromkeys(values or allowed))


def batch_sizes(values: list[int]) -> tuple[int, ...]:
    """Positive batch sizes, each once."""
    for value in values:
        if not 1 <= value <= LARGEST_BATCH:
            limits = f"between 1 and {LARGEST_BATCH}"
            raise pytest.UsageError(f"--batch-size {value}: must be {limits}")
    return tuple(dict.fromkeys(values))


def devices(values: list[str] | None) -> tuple[str, ...]:
    """The devices, with "auto" resolved; UsageError for a GPU that is not there."""
    values = list(chosen("--device", values or ["cpu", "gpu"], DEVICES)) if values else []
    if "gpu" in values and not has_gpu():
        raise pytest.UsageError(
            "--device gpu: nvidia-smi finds no GPU on this machine; "
            "install its driver, or choose --device cpu or auto"
        )
    found = "gpu" if has_gpu() else "cpu"
    resolved = [found if value == "auto" else value for value in values]
    return tuple(dict.fromkeys(resolved or ("cpu", "gpu")))


@cache
def has_gpu() -> bool:
    """Whether a driver on this machine shows a GPU; no framework has to be imported to know."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=60)
    return listed.returncode == 0 and "GPU" in listed.stdout


def threads(value: int | None) -> int:
    """CPU threads per worker: all CPUs that this process may use but one, unless told otherwise.

    The one left over is for the controller and whatever else is going on. Threads that wait for
    each other while one of them has lost its CPU make a framework look many times slower.
    """
    available = available_cpus()
    if value is None:
        return max(1, available - 1)
    if not 1 <= value <= available:
        raise pytest.UsageError(f"--threads {value}: this process may use 1 to {available} CPUs")
    return value
