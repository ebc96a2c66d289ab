"""How times grow with the batch: `python -m benchmarks grow`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.commands import experiments, gates
from benchmarks.comparing.growth import Growth, Row
from benchmarks.measuring import environments
from benchmarks.measuring.workers import START_LIMIT, WorkerProcess
from benchmarks.trial import Trial
from mnist_models import data
from mnist_models.implementations import PAIR
from mnist_models.operations import FORWARD, TRAIN_STEP
from mnist_models.worker import source_hash

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
OPERATIONS = (TRAIN_STEP, FORWARD)
# A line through fewer sizes has no residual.
LEAST = 3
# Seconds for measuring the machine's limits.
LIMITS_LIMIT = 120.0


def grow(
    dataset: data.Dataset,
    architectures: Sequence[str],
    batches: Sequence[int],
    output: Path,
    root: Path,
    console: Console,
    threads: int = 1,
) -> Growth:
    """Measure the pair on every network that `output` does not have yet, and write it there.

    Raises ValueError for a file of another experiment.
    """
    found = Growth(
        dataset=dataset.name,
        machine=experiments.machine(),
        versions=experiments.versions(),
        source=source_hash(),
        threads=threads,
    )
    same = "dataset", "machine", "versions", "source", "threads"
    read = Growth.model_validate_json
    found = experiments.continued(found, output, read, "grow", same)
    for architecture in architectures:
        sizes = {row.architecture: row.asked for row in found.rows}.get(architecture)
        if sizes == list(batches):
            continue
        if sizes:
            raise ValueError(
                f"{output} has batches of {', '.join(map(str, sizes))} for {architecture}; give "
                "another --output"
            )
        console.print(f"measuring {architecture} in batches of {', '.join(map(str, batches))}")
        before = limits(threads)
        found.rows += measured(dataset, architecture, batches, root, console, threads)
        seen = found.limits, before, limits(threads)
        found.limits = {name: max(one.get(name, 0.0) for one in seen) for name in before}
        experiments.write(found, output)
    return found


def measured(
    dataset: data.Dataset,
    architecture: str,
    batches: Sequence[int],
    root: Path,
    console: Console,
    threads: int,
) -> list[Row]:
    """One session of a network: the pair at every batch size, in the same blocks."""
    trials = [
        Trial(operation.name, architecture, size, "cpu")
        for operation in OPERATIONS
        for size in batches
    ]
    rows = [(trial, name) for trial in trials for name in PAIR]
    here = environments.own()
    results = gates.gate(dataset, here, [], rows, root, console, confirms=False, threads=threads)
    usable = []
    for size in batches:
        of_size = [row for row in results.rows.values() if row.trial.batch_size == size]
        if bad := [row for row in of_size if row.fault]:
            console.print(f"left out: {bad[0].trial} of {bad[0].name}: {bad[0].fault}")
        else:
            usable.append(size)
    if len(usable) < LEAST:
        raise ValueError(f"{architecture}: only {len(usable)} batch sizes could be measured")
    return [
        Row(
            operation=operation.name,
            architecture=architecture,
            implementation=name,
            asked=list(batches),
            seconds={
                str(trial.batch_size): medians(results.rows[trial, name].by_block())
                for trial in trials
                if trial.operation == operation.name and trial.batch_size in usable
            },
        )
        for operation in OPERATIONS
        for name in PAIR
    ]


def limits(threads: int) -> dict[str, float]:
    """The limits of this machine on `threads` threads, by a worker that does nothing else.

    Raises WorkerError.
    """
    with tempfile.TemporaryDirectory() as folder:
        worker = WorkerProcess("numpy_reference", "cpu", threads, Path(folder))
        try:
            start = "numpy_reference", "cpu", threads, "float32"
            worker.ask("start", *start, limit=START_LIMIT)
            found: dict[str, float] = worker.ask("limits", limit=LIMITS_LIMIT)
        finally:
            worker.kill()
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def medians(blocks: dict[int, list[float]]) -> list[float]:
    """The median of each block, to five digits."""
    return [float(f"{median(samples):.5g}") for samples in blocks.values()]


def checked(batches: Sequence[int] | None, dataset: data.Dataset) -> list[int]:
    """The given batch sizes, or the usual ones up to the number of images; raises ValueError."""
    most = min(len(dataset.train_labels), len(dataset.test_labels))
    if not batches:
        return [size for size in BATCHES if size <= most]
    if len(set(batches)) < LEAST:
        raise ValueError(f"--batch-size {batches}: give three or more, for a line and its residual")
    for size in batches:
        if not 1 <= size <= most:
            limits = f"from 1 to {most}, of which the data set has images"
            raise ValueError(f"--batch-size {size}: must be {limits}")
    return sorted(set(batches))
