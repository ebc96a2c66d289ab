"""How times grow with the batch, or with the width: `python -m benchmarks grow`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.commands import experiments, gates
from benchmarks.comparing.growth import Along, Growth, Row, place
from benchmarks.measuring import environments, results
from benchmarks.measuring.workers import START_LIMIT, WorkerProcess
from benchmarks.trial import Trial
from mnist_models import data, networks
from mnist_models.implementations import PAIR
from mnist_models.operations import FORWARD, TRAIN_STEP
from mnist_models.worker import source_hash

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
# Widths of a hidden layer; the network's own is 512.
UNITS = (128, 256, 512, 1024, 2048, 4096, 8192)
OPERATIONS = (TRAIN_STEP, FORWARD)
# The referee in NumPy has these weights in float64, several times.
MOST_UNITS = 32_768
# A line through fewer sizes has no residual.
LEAST = 3
# Seconds for measuring the machine's limits.
LIMITS_LIMIT = 120.0
# The rows of the pair at each size.
Pairs = dict[int, dict[str, results.Row]]


def grow(
    dataset: data.Dataset,
    architectures: Sequence[str],
    sizes: Sequence[int],
    output: Path,
    root: Path,
    console: Console,
    threads: int = 1,
    along: Along = "batch",
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
        there = {(row.architecture, row.along): row.asked for row in found.rows}
        asked = there.get((architecture, along), [])
        if asked == list(sizes):
            continue
        if asked:
            raise ValueError(
                f"{output} has {said(along, asked)} for {architecture}; give another --output"
            )
        console.print(f"measuring {architecture} in {said(along, sizes)}")
        before = limits(threads)
        found.rows += measured(dataset, architecture, sizes, root, console, threads, along)
        seen = found.limits, before, limits(threads)
        found.limits = {name: max(one.get(name, 0.0) for one in seen) for name in before}
        experiments.write(found, output)
    return found


def said(along: Along, sizes: Sequence[int]) -> str:
    """Sizes as text."""
    return f"{'batches' if along == 'batch' else 'widths'} of {', '.join(map(str, sizes))}"


def measured(
    dataset: data.Dataset,
    architecture: str,
    sizes: Sequence[int],
    root: Path,
    console: Console,
    threads: int,
    along: Along = "batch",
) -> list[Row]:
    """One session of a network: the pair at every size, in the same blocks.

    On a slow machine, the largest sizes of an operation may not fit into the time, or none of them.
    """
    trials = {
        (operation, size): Trial(operation.name, *place(architecture, along, size), "cpu")
        for operation in OPERATIONS
        for size in sizes
    }
    rows = [(trial, name) for trial in trials.values() for name in PAIR]
    here = environments.own()
    session = gates.gate(dataset, here, [], rows, root, console, confirms=False, threads=threads)
    found = []
    for operation in OPERATIONS:
        pairs = {
            size: {name: session.rows[trials[operation, size], name] for name in PAIR}
            for size in sizes
        }
        whole = sound(pairs, console)
        if len(whole) < LEAST:
            console.print(f"left out: {operation.title}, {architecture}: fewer than {LEAST} sizes")
            continue
        found += [
            Row(
                operation=operation.name,
                architecture=architecture,
                implementation=name,
                along=along,
                asked=list(sizes),
                seconds={str(size): medians(pair[name].by_block()) for size, pair in whole.items()},
            )
            for name in PAIR
        ]
    if not found:
        raise ValueError(f"{architecture}: fewer than {LEAST} sizes could be measured")
    return found


def sound(pairs: Pairs, console: Console) -> Pairs:
    """The sizes at which both of the pair were measured; says why the others were not."""
    found = {}
    for size, pair in pairs.items():
        if bad := [row for row in pair.values() if row.fault]:
            console.print(f"left out: {bad[0].trial} of {bad[0].name}: {bad[0].fault}")
        else:
            found[size] = pair
    return found


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
    return within("--batch-size", batches, BATCHES, most, ", of which the data set has images")


def checked_units(units: Sequence[int], architectures: Sequence[str]) -> list[int]:
    """The given widths, or the usual ones. Raises ValueError."""
    for name in architectures:
        if not networks.load(name).has_width:
            wide = ", ".join(one for one in networks.names() if networks.load(one).has_width)
            raise ValueError(f"--architecture {name}: --units is for {wide} alone")
    return within("--units", units, UNITS, MOST_UNITS)


def within(
    option: str, asked: Sequence[int] | None, usual: Sequence[int], most: int, why: str = ""
) -> list[int]:
    """The sizes that an option gives, or the usual ones up to `most`; raises ValueError."""
    if not asked:
        return [size for size in usual if size <= most]
    if len(set(asked)) < LEAST:
        listed = ", ".join(map(str, asked))
        raise ValueError(f"{option} {listed}: give three or more, for a line and its residual")
    for size in asked:
        if not 1 <= size <= most:
            raise ValueError(f"{option} {size}: must be from 1 to {most}{why}")
    return sorted(set(asked))
