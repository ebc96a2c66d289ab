"""The fields of a saved run. Every field that is read later is checked here.

Fields that are not named here are allowed: other versions of the suite may add some.
"""

import re
import reprlib
from collections import Counter
from collections.abc import Iterator
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from benchmarks.trial import RowId, Trial
from mnist_models.operations import EPOCH, LATENCIES, OPERATIONS
from mnist_models.parity import TOLERANCES

# Version of the fields below; docs/reference.md lists them.
SCHEMA = 1
# Limits of times in seconds: wider than any clock, and no logarithm overflows.
SHORTEST, LONGEST = 1e-12, 1e9


def sensible(seconds: float) -> float:
    """Accept a sample. NaN or -1 is accepted, too, and makes its row void later."""
    if isfinite(seconds) and seconds > 0 and not SHORTEST <= seconds <= LONGEST:
        raise ValueError(f"seconds are from {SHORTEST:g} to {LONGEST:g}")
    return seconds


def known_operation(name: str) -> str:
    """An operation that this version of the suite has."""
    if name not in OPERATIONS:
        raise ValueError(f"this version knows {', '.join(OPERATIONS)}")
    return name


def known_schema(number: int) -> int:
    """A version of the fields that this version of the suite reads."""
    if number > SCHEMA:
        raise ValueError(f"a newer version of the suite saved it, this one reads up to {SCHEMA}")
    return number


Count = Annotated[int, Field(ge=0, le=2**53)]
Sample = Annotated[float, AfterValidator(sensible)]
Seconds = Annotated[float, Field(ge=SHORTEST, le=LONGEST, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# A difference is infinite for an answer that is not finite, which makes a row void.
Off = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(pattern=r"^[\w.]+$", max_length=100)]
NameWithDashes = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
Number = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
Quantile = Annotated[str, Field(pattern=r"^0\.[0-9]{1,6}$")]
Picture = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*=*$")]


class Part(BaseModel):
    """A JSON object with the fields that are read; types are strict."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class Data(Part):
    """Which data set a row was measured on."""

    name: Text
    sha256: Text


class InForce(Part):
    """A worker's settings."""

    threads: Count
    precision: Text
    compilation: Text = ""
    environment: dict[Text, Text] = {}


class Start(Part):
    """Seconds from the start of a process to each of its moments."""

    python: Seconds
    imported: Seconds
    built: Seconds
    stepped: Seconds
    predicted: Seconds


class Shipped(Part):
    """A way to ship: its figures, or why it is missing."""

    missing: Text = ""
    export_seconds: Seconds | None = None
    bytes: Count = 0
    environment_bytes: Count | None = None
    load_seconds: Seconds | None = None
    difference: Off = 0.0
    one_seconds: Seconds | None = None
    batch_seconds: Seconds | None = None


class Fed(Part):
    """A way to feed: its figures, or why it is missing."""

    missing: Text = ""
    images: Count = 0
    wrong: Count = 0
    difference: Off = 0.0
    bound: Off = 0.0
    alone_seconds: Seconds | None = None
    training_seconds: Seconds | None = None


class Kept(Part):
    """What one call keeps, over `calls` calls: bytes, threads, files; read every `each` calls."""

    calls: Annotated[int, Field(ge=1)]
    each: Annotated[int, Field(ge=1)]
    memory: Finite
    threads: Finite
    files: Finite


class Profiled(Part):
    """Seconds of a training step's parts."""

    forward: Finite
    backward: Finite
    optimiser: Finite


class Subtracted(Profiled):
    """The same, with the rest of the step."""

    rest: Finite


class Parts(Part):
    """A training step's parts, measured in two ways; kernels as name, seconds, calls a step."""

    subtracted: Subtracted
    profiled: Profiled
    # JSON has lists, no tuples.
    kernels: list[Annotated[tuple[Text, Seconds, Seconds], Field(strict=False)]]


class Group(Part):
    """Training on several devices: seconds a step, those without communication, the difference."""

    seconds: Seconds
    alone_seconds: Seconds | None = None
    difference: Off
    timed_difference: Off = 0.0


class Info(Part):
    """The `extra_info` of a row."""

    schema_: Annotated[int, Field(ge=1, alias="schema"), AfterValidator(known_schema)]
    session: Text
    operation: Annotated[str, AfterValidator(known_operation)]
    architecture: NameWithDashes
    batch_size: Annotated[int, Field(ge=1, le=10**6)]
    device: Name
    implementation: Name
    environment: Text | None = None
    versions: dict[Text, Annotated[str, Field(max_length=100)]]
    python: Text
    in_force: InForce
    recipe: dict[Text, Any]
    dataset: Data
    source: Text | None = None
    moment: Text = ""
    returned_seconds: list[Seconds | None] = []
    returns_late: Text = ""
    hosts: list[Text] = []
    latency_seconds: dict[Quantile, list[Seconds]] = {}
    latency_busy_seconds: dict[Quantile, list[Seconds]] = {}
    start: list[Start] = []
    routes: list[dict[Text, Shipped]] = []
    feeds: list[dict[Text, Fed]] = []
    leaks: list[dict[Text, Kept]] = []
    parts: list[Parts] = []
    devices: list[dict[Number, Group]] = []
    blocks: list[Annotated[int, Field(ge=0, le=10**6)]]
    iterations: dict[Number, Count] = {}
    cpu_seconds: list[Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False)]] = []
    counted: dict[Name, list[Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = {}
    threads_that_ran: list[Count | None] = []
    stolen_cpu: dict[Number, float | None] = {}
    first_call_seconds: list[Seconds]
    peak_memory_bytes: Count
    peak_memory_bytes_by_block: list[Count]
    foreign_cpu: dict[Number, float | None]
    foreign_gpu: dict[Number, float | None] = {}
    screened_blocks: Annotated[Count, Field(ge=1)]
    suspects: Annotated[int, Field(ge=0, le=10**6)]
    margin: Share | None = None
    parity: dict[str, float]
    parity_tf32: dict[str, float] = {}
    parity_limits: dict[str, float] = {}
    accuracy: Share | None
    accuracy_by_block: list[Share] = []
    accuracy_bounds: Annotated[list[Finite], Field(min_length=2, max_length=2)] | None
    misread: list[Annotated[list[Count], Field(min_length=3, max_length=3)]] | None = None
    verdicts: list[dict[str, Any]] = []

    @model_validator(mode="after")
    def whole(self) -> "Info":
        """Check numbers of values, kinds of answers, digits, and the accuracy of an epoch."""
        count = len(set(self.blocks))
        if not count:
            raise ValueError("blocks is empty, there must be at least one")
        for key in ("first_call_seconds", "peak_memory_bytes_by_block"):
            if (found := len(getattr(self, key))) != count:
                raise ValueError(f"{key} has {found} values for {count} blocks")
        counts = {
            f"{key} of {quantile}": len(values)
            for key in LATENCIES.values()
            for quantile, values in getattr(self, key).items()
        }
        counts |= {
            key: len(getattr(self, key))
            for key in ("hosts", "start", "routes", "feeds", "leaks", "parts", "devices")
        }
        for key, found in counts.items():
            if found and found != count:
                raise ValueError(f"{key} has {found} values for {count} blocks")
        for key in ("routes", "feeds", "leaks", "devices"):
            blocks = getattr(self, key)
            if any(block.keys() != blocks[0].keys() for block in blocks):
                raise ValueError(f"{key} has others in one block than in another")
        if self.cpu_seconds and len(self.cpu_seconds) != len(self.blocks):
            raise ValueError(
                f"cpu_seconds has {len(self.cpu_seconds)} values for {len(self.blocks)} samples"
            )
        for name, values in self.counted.items():
            if len(values) != len(self.blocks):
                raise ValueError(f"counted has {len(values)} {name} for {len(self.blocks)} samples")
        if unknown := self.parity.keys() - TOLERANCES.keys():
            known = ", ".join(TOLERANCES)
            raise ValueError(f"parity has {shown(min(unknown))}, this version knows {known}")
        if wrong := [one for one in self.misread or () if max(one[1:]) > 9]:
            raise ValueError(f"misread has {wrong[0]}: label and answer are digits from 0 to 9")
        if self.operation == EPOCH.name and None in (self.accuracy, self.accuracy_bounds):
            raise ValueError("an epoch has an accuracy and accuracy_bounds, not null")
        return self


class Stats(Part):
    """pytest-benchmark's statistics, with all samples."""

    data: list[Sample]


class Benchmark(Part):
    """A row as pytest-benchmark saves it."""

    name: str
    extra_info: Info
    stats: Stats

    @model_validator(mode="after")
    def itself(self) -> "Benchmark":
        """Check that the name fits, and that each sample has a block."""
        info = self.extra_info
        trial = Trial(info.operation, info.architecture, info.batch_size, info.device)
        if self.name != (own := RowId(trial, info.implementation).test):
            raise ValueError(f"name is {shown(self.name)}, by extra_info it must be {own!r}")
        if len(self.stats.data) != len(info.blocks):
            count = len(info.blocks)
            raise ValueError(f"stats.data has {len(self.stats.data)} samples, blocks {count}")
        return self


class VoidBenchmark(Benchmark):
    """A row that does not count, with the reasons."""

    reasons: Annotated[list[Text], Field(min_length=1)]


class Explored(Data):
    """Statistics of a run's data, and pictures of test images by number."""

    fallback: Text = ""
    train_counts: Annotated[list[Count], Field(min_length=10, max_length=10)]
    test_counts: Annotated[list[Count], Field(min_length=10, max_length=10)]
    mean: Share
    deviation: Share
    samples: Picture
    pictures: dict[Number, Picture] = {}


class Processor(Part):
    """What py-cpuinfo found of a CPU."""

    flags: list[Text] = []


class Machine(Part):
    """Where a run was measured."""

    cpu: Processor = Processor()


class SavedRun(Part):
    """A saved run, with what this suite adds to it."""

    machine_info: Machine
    datetime: Text
    benchmarks: Annotated[list[Benchmark], Field(fail_fast=True)]
    void: Annotated[list[VoidBenchmark], Field(fail_fast=True)] = []
    not_measured: dict[str, Text] | None = None
    dataset: Explored | None = None
    unfit_as_baseline: list[Text] = []

    @model_validator(mode="after")
    def consistent(self) -> "SavedRun":
        """Check that each row is there once, and that a trial's rows share each block's rounds."""
        rows = [*self.benchmarks, *self.void]
        if not self.benchmarks:
            raise ValueError("benchmarks holds no rows: nothing was measured in it")
        name, count = Counter(row.name for row in rows).most_common(1)[0]
        if count > 1:
            raise ValueError(f"{name!r} is there {count} times")
        rounds: dict[tuple[Trial, int], tuple[int, str]] = {}
        for row in self.benchmarks:
            info = row.extra_info
            place = info.operation, info.architecture, info.batch_size, info.device
            for block, count in Counter(info.blocks).items():
                before, other = rounds.setdefault((Trial(*place), block), (count, row.name))
                if before != count:
                    raise ValueError(
                        f"block {block} has {count} samples in {row.name!r}, {before} in {other!r}"
                    )
        return self


class Figures(Stats):
    """The statistics in pytest-benchmark's own table."""

    min: float
    max: float
    mean: float
    stddev: float
    median: float
    iqr: float
    ops: float
    outliers: str
    rounds: int


class TabledBenchmark(Benchmark):
    """A row with what pytest-benchmark shows of it."""

    fullname: Text
    stats: Figures


class TabledRun(SavedRun):
    """A run that pytest-benchmark can show beside the one that is measured."""

    benchmarks: Annotated[list[TabledBenchmark], Field(fail_fast=True)]  # type: ignore[assignment]


def fault(run: Any, model: type[SavedRun] = SavedRun) -> str:
    """Return the first fault of a saved run with its place in the file; empty if there is none."""
    try:
        model.model_validate(run)
    except ValidationError as error:
        return words(error.errors(include_url=False, include_context=False)[0])
    return ""


def words(error: ErrorDetails) -> str:
    """An error of pydantic's with the place in the file and the value."""
    place = "".join(steps(error["loc"])).lstrip(".")
    said = error["msg"].removeprefix("Value error, ")
    said = re.sub("^(Input|String) should", "it must", said)
    said = re.sub(r"a valid dictionary( or instance of \w+)?", "an object", said)
    if error["type"] == "missing":
        return f"{place} is missing"
    if error["type"] == "value_error" and isinstance(error["input"], dict):
        return f"{place}: {said}" if place else said
    return f"{place or 'the file'} is {shown(error['input'])}: {said}"


def steps(place: tuple[int | str, ...]) -> Iterator[str]:
    """The way to a field, such as .benchmarks, [3], .name."""
    for step in place:
        yield f"[{step}]" if isinstance(step, int) else f".{shown(step)[1:-1]}"


def shown(value: Any) -> str:
    """A value for a message: short, on one line, without control characters."""
    return reprlib.repr(value)
