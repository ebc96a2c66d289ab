"""The pytest options. pyproject.toml loads them with `-p`, so that they work in the root folder."""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.storage.file import FileStorage
from pytest_benchmark.utils import get_machine_id

from benchmarks.comparing import baseline, saved
from benchmarks.comparing.saved import RunError
from benchmarks.comparing.verdicts import parse_margin
from benchmarks.measuring import environments, hosts
from benchmarks.measuring.environments import Environment, EnvironmentProblem
from benchmarks.measuring.gpu import has_gpu
from benchmarks.measuring.hosts import Host
from benchmarks.numbers import real, whole
from benchmarks.reporting.markdown import printable
from mnist_models import cpus, implementations, networks, recipe
from mnist_models.data import NAMES as DATASETS
from mnist_models.operations import OPERATIONS, Operation

PRECISIONS = ("float32", "tf32")
DEVICES = ("cpu", "gpu", "auto")
LARGEST_BATCH = 10_000
LARGEST_NUMBER = 1_000_000
# Fewer than 6 blocks cannot give an exact 95 % interval: 2 · 2⁻⁵ is above 0.05, 2 · 2⁻⁶ is not.
DEFAULTS = {"blocks": 6, "rounds": 40, "time_budget": 300.0, "call_limit": 180.0}
QUICK = DEFAULTS | {"blocks": 1, "rounds": 3, "time_budget": 40.0}
DEFAULT_MARGIN = "2%"
FAIL_ON = ("regression",)
ALLOCATORS = ("installed", "steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("mnist", "Keras and PyTorch on MNIST")

    def several(option: str, text: str, **more: object) -> None:
        group.addoption(option, action="append", default=None, help=f"{text}; repeatable", **more)

    usual = ", ".join(name for name, one in OPERATIONS.items() if one.by_default)
    several("--operation", f"of {', '.join(OPERATIONS)} (default: {usual})")
    several("--architecture", f"network, of {', '.join(networks.names())} (default: all)")
    several("--batch-size", f"images per step (default: {recipe.BATCH_SIZE})", type=whole)
    several("--device", "cpu, gpu, or auto: the GPU where there is one (default: cpu and gpu)")
    names = ", ".join(implementations.names())
    several("--implementation", f"of {names} (default: all, test_epoch: the pair)")
    group.addoption(
        "--dataset",
        help=f"{', '.join(DATASETS)}, or a folder of IDX files (default: mnist, or digits offline)",
    )
    group.addoption(
        "--threads",
        type=whole,
        help="CPU threads of every framework (default: all fast physical cores except one)",
    )
    group.addoption("--precision", default="float32", help="float32 (strict) or tf32, for GPUs")
    group.addoption(
        "--blocks", type=whole, help=f"blocks of fresh processes (default: {DEFAULTS['blocks']})"
    )
    group.addoption(
        "--rounds",
        type=whole,
        help=f"samples of each contestant in a block; fewer for slow operations "
        f"(default: {DEFAULTS['rounds']})",
    )
    group.addoption(
        "--time-budget",
        type=real,
        help=f"seconds of measuring (default: {DEFAULTS['time_budget']:.0f})",
    )
    group.addoption(
        "--call-limit",
        type=real,
        help=f"seconds until a silent worker is ended (default: {DEFAULTS['call_limit']:.0f})",
    )
    group.addoption(
        "--quick",
        action="store_true",
        help="the pair on small networks in one short block: no verdicts",
    )
    group.addoption(
        "--resume", action="store_true", help="take up the session that was killed or interrupted"
    )
    several(
        "--baseline",
        "folder of a virtual environment, Python, or execnet spec with other framework versions, "
        "measured in the same rounds (then default: the pair, one thread)",
    )
    several(
        "--host",
        "a machine that measures blocks, such as ssh=user@box, or a file of them (docs/hosts.md)",
    )
    group.addoption(
        "--until-decided",
        type=real,
        default=60.0,
        metavar="SECONDS",
        help="with --baseline: seconds for further blocks of what is undecided (default: 60)",
    )
    group.addoption(
        "--allocator",
        help="steady: glibc keeps freed memory, which is less noisy; installed: as it is "
        "(default: installed, with --baseline steady)",
    )
    group.addoption(
        "--margin",
        default=DEFAULT_MARGIN,
        help="changes of time up to this are no regression, such as 2%% or 0.02 (default: 2%%)",
    )
    group.addoption(
        "--fail-on", help="regression: exit status 1 when one is confirmed (default: never)"
    )
    group.addoption(
        "--strict-verdicts",  # --strict is pytest's own
        action="store_true",
        help="exit status 10 when a comparison is undecided",
    )
    group.addoption("--report", metavar="DIR", help="write a page and summary.md to DIR")


@dataclass(frozen=True)
class Settings:
    """The options in force, checked."""

    operations: tuple[str, ...]
    architectures: tuple[str, ...]
    architectures_asked: bool
    batch_sizes: tuple[int, ...]
    devices: tuple[str, ...]
    device_asked: bool
    implementations: tuple[str, ...]
    implementations_asked: bool
    dataset: str | None
    threads: int
    gpu_threads: int
    precision: str
    blocks: int
    rounds: int
    time_budget: float
    call_limit: float
    quick: bool
    resume: bool
    baselines: dict[str, Environment]
    hosts: tuple[Host, ...]
    until_decided: float
    allocator: str
    margin: float
    fail_on: str | None
    strict_verdicts: bool
    report: Path | None

    def asked_for(self, device: str, name: str) -> bool:
        """Whether it is an error, and not a skip, if `name` cannot run on `device`."""
        asked = self.implementations_asked or name in implementations.PAIR
        return asked and self.device_asked if device == "gpu" else self.implementations_asked

    def rows(self, operation: Operation) -> list[tuple[str, str, str, str]]:
        """(architecture, batch size, device, implementation) of every test of an operation.

        Some operations and some networks are timed for the pair alone, and some operations on a few
        networks, unless others were asked for by name.
        """
        chosen = self.architectures
        if operation.networks and not self.architectures_asked:
            chosen = tuple(name for name in chosen if name in operation.networks)
        sizes = operation.batch_sizes or self.batch_sizes
        places = product(chosen, map(str, sizes), self.devices)
        return [
            (*place, name)
            for place in places
            for name in self.implementations
            if name in implementations.PAIR
            or self.implementations_asked
            or (operation.for_all and networks.load(place[0]).for_all)
        ]


SETTINGS = pytest.StashKey[Settings]()


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything is collected."""
    config.stash[SETTINGS] = found = settings(config)
    named = config.option.benchmark_save or config.option.benchmark_autosave
    # Whoever looks at a page wants to compare its run later, unless it is a glance.
    if (found.baselines or (found.report and not found.quick)) and not named:
        config.option.benchmark_autosave = environments.own().name
    choose_baseline(config)
    saves = ("benchmark_save", "benchmark_autosave", "benchmark_json")
    if any(config.getoption(option, None) for option in saves):
        # Without its raw data a run cannot be analysed again.
        config.option.benchmark_save_data = True


def choose_baseline(config: pytest.Config) -> None:
    """Let a bare --benchmark-compare mean the pinned run, or the newest that is fit.

    The saved run is checked before anything is measured, because pytest-benchmark drops files that
    it cannot read. Raises pytest.UsageError.
    """
    chosen = config.option.benchmark_compare
    if not chosen:
        return
    storage = Path(config.option.benchmark_storage.removeprefix("file://"))
    try:
        if chosen is not True:
            for path in FileStorage(storage, None, get_machine_id()).query(chosen):
                saved.read(path, tabled=True)
            return
        path, passed = baseline.default(storage, get_machine_id())
        if path is not None:
            saved.read(path, tabled=True)
    except (RunError, ValueError) as error:
        raise pytest.UsageError(f"--benchmark-compare: {error}") from error
    if path is not None:
        # pytest-benchmark's tables are narrower for runs in its storage.
        stored = path.parent == storage / get_machine_id()
        config.option.benchmark_compare = path.stem if stored else str(path)
    elif passed:
        reasons = printable("; ".join(passed))
        raise pytest.UsageError(
            f"--benchmark-compare: no saved run may be the baseline by itself ({reasons})"
            "; save a better one, or pin one with python -m benchmarks baseline set RUN"
        )


def settings(config: pytest.Config) -> Settings:
    """Read and check the options; raises pytest.UsageError naming value, choices and remedy."""
    option = config.getoption
    quick, asked = option("quick"), option("implementation")
    everybody = implementations.names()
    try:
        baselines = environments.parse_all(option("baseline") or [])
        machines = hosts.parse_all(option("host") or [])
        margin = parse_margin(option("margin"))
    except (EnvironmentProblem, ValueError) as error:
        raise pytest.UsageError(str(error)) from error
    names = asked or (implementations.PAIR if quick or baselines else everybody)
    # Other networks would leave no time for epochs, and so for accuracies.
    small = [name for name in networks.names() if networks.load(name).for_all]
    architectures = option("architecture") or (small if quick else None)
    defaults = QUICK if quick else DEFAULTS
    fail_on = option("fail_on")
    if fail_on is not None:
        chosen("--fail-on", [fail_on], FAIL_ON)
        if not baselines:
            raise pytest.UsageError(
                "--fail-on regression: nothing to confirm a regression against, since runs of "
                "another time give suspects at most; add --baseline ENV"
            )
        if (option("blocks") or defaults["blocks"]) < 2:
            raise pytest.UsageError(
                "--fail-on regression: one block suspects nothing, so that this would never fail; "
                "use --blocks 6, without --quick"
            )
    if option("resume") and option("benchmark_disable"):
        raise pytest.UsageError("--resume with --benchmark-disable: there is no session to go on")
    if baselines and option("benchmark_disable"):
        raise pytest.UsageError("--baseline with --benchmark-disable: nothing would be timed")

    allocator = option("allocator") or ("steady" if baselines else "installed")

    def number(name: str, kind: type) -> Any:
        value = option(name)
        value = defaults[name] if value is None else value
        if not 0 < value <= LARGEST_NUMBER:
            limits = f"above 0 and at most {LARGEST_NUMBER}"
            raise pytest.UsageError(f"--{name.replace('_', '-')} {value}: must be {limits}")
        return kind(value)

    for name in asked or (names if baselines else []):
        if name in everybody and (lacks := implementations.missing(name)):
            raise pytest.UsageError(
                f"--implementation {name}: not installed here; pip install {' '.join(lacks)}"
            )
    chosen_devices = devices(option("device"))
    by_default = (one for one in OPERATIONS.values() if one.by_default)
    usual = [one.name for one in by_default if one.at_a_glance or not quick]
    return Settings(
        operations=chosen("--operation", option("operation") or usual, OPERATIONS),
        architectures=chosen("--architecture", architectures, networks.names()),
        architectures_asked=bool(option("architecture")),
        batch_sizes=batch_sizes(option("batch_size") or [recipe.BATCH_SIZE]),
        devices=chosen_devices,
        device_asked=bool(option("device")) and "gpu" in chosen_devices,
        implementations=chosen("--implementation", names, everybody),
        implementations_asked=bool(asked),
        dataset=option("dataset"),
        threads=threads(1 if baselines and option("threads") is None else option("threads")),
        gpu_threads=threads(option("threads")),
        precision=chosen("--precision", [option("precision")], PRECISIONS)[0],
        blocks=number("blocks", int),
        rounds=number("rounds", int),
        time_budget=number("time_budget", float),
        call_limit=number("call_limit", float),
        quick=quick,
        resume=option("resume"),
        baselines=baselines,
        hosts=machines,
        until_decided=until_decided(option("until_decided")),
        allocator=chosen("--allocator", [allocator], ALLOCATORS)[0],
        margin=margin,
        fail_on=fail_on,
        strict_verdicts=option("strict_verdicts"),
        report=report_folder(option("report")),
    )


def until_decided(seconds: float) -> float:
    """The seconds; raises UsageError if they are out of range."""
    if not 0 <= seconds <= LARGEST_NUMBER:
        limits = f"from 0 to {LARGEST_NUMBER}"
        raise pytest.UsageError(f"--until-decided {seconds}: must be {limits}")
    return seconds


def report_folder(text: str | None) -> Path | None:
    """The folder of a report; raises UsageError if it cannot be written."""
    if not text:
        return None
    folder = Path(text)
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise pytest.UsageError(
            f"--report {text}: {there.name} is a file; give a folder, which may be new"
        )
    if not os.access(there, os.W_OK):
        raise pytest.UsageError(f"--report {text}: {there} cannot be written; give another folder")
    return folder


def chosen(option: str, values: Iterable[str] | None, allowed: Collection[str]) -> tuple[str, ...]:
    """The values, each once, or all `allowed` ones without values; raises UsageError."""
    for value in values or ():
        if value not in allowed:
            choices = ", ".join(allowed)
            raise pytest.UsageError(f"{option} {value}: no such choice; choose from {choices}")
    return tuple(dict.fromkeys(values or allowed))


def batch_sizes(values: list[int]) -> tuple[int, ...]:
    """The batch sizes, each once; raises UsageError if one is out of range."""
    for value in values:
        if not 1 <= value <= LARGEST_BATCH:
            limits = f"between 1 and {LARGEST_BATCH}"
            raise pytest.UsageError(f"--batch-size {value}: must be {limits}")
    return tuple(dict.fromkeys(values))


def devices(values: list[str] | None) -> tuple[str, ...]:
    """The devices, with "auto" resolved; UsageError for a GPU that is not there."""
    values = list(chosen("--device", values, DEVICES)) if values else []
    if "gpu" in values and not has_gpu():
        raise pytest.UsageError(
            "--device gpu: nvidia-smi finds no GPU on this machine; "
            "install its driver, or choose --device cpu or auto"
        )
    found = "gpu" if has_gpu() else "cpu"
    resolved = [found if value == "auto" else value for value in values]
    return tuple(dict.fromkeys(resolved or ("cpu", "gpu")))


def threads(value: int | None) -> int:
    """CPU threads per worker, by default one for each fast physical core except one.

    That core is left for the controller and other programs. If one thread of a framework loses its
    CPU, the others wait for it, and the framework looks many times slower. Raises UsageError.
    """
    available = len(cpus.available())
    if value is None:
        return cpus.default_threads()
    if not 1 <= value <= available:
        raise pytest.UsageError(f"--threads {value}: this process may use 1 to {available} CPUs")
    return value
