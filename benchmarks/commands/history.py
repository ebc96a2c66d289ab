"""All releases of a package, side by side: `python -m benchmarks history`."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from time import monotonic

from packaging.version import Version
from rich.console import Console

from benchmarks.commands import experiments, gates, versions
from benchmarks.comparing.ratios import block_log_ratios
from benchmarks.comparing.timeline import Figures, Sitting, Timeline
from benchmarks.measuring import making
from benchmarks.measuring.making import Maker, Pins
from benchmarks.measuring.results import Results
from benchmarks.trial import RowId, Trial, contestant, split
from mnist_models import data, networks, recipe
from mnist_models.operations import FORWARD, TRAIN_STEP
from mnist_models.worker import source_hash

# Releases of a session beside the anchor. A session's last release is the next one's first, so that
# any two neighbours are in one session.
AT_ONCE = 4
# Timed imports of a package in a session, after one that fills the file cache.
IMPORTS = 5
IMPORT_LIMIT = 300.0
# Seconds that a row of an environment takes in a session, roughly.
EACH = 12
# The implementation that runs Keras on each backend.
RUN_BY = {"torch": "keras_torch", "tensorflow": "keras_tensorflow", "jax": "keras_jax"}


def releases_of(package: str, beside: Pins, chosen: Sequence[str]) -> dict[str, dict[str, str]]:
    """Pins by release, oldest first.

    Without `chosen`, PyTorch and TensorFlow have the grid's releases, TensorFlow each with its
    Keras. Other packages have the last release of each minor version. Raises EnvironmentProblem.
    """
    own = {"python": beside.get("python", versions.OWN)}
    grid = versions.grid().get(package, {})
    if grid and not chosen:
        known = ("torchvision", "python")
        rows = (
            {name: pin for name, pin in row.items() if name not in known}
            for row in grid.values()
            if own["python"] in row["python"]
        )
        return {row[package]: {**own, **row, **beside} for row in rows}
    if not chosen:
        newest: dict[tuple[int, ...], str] = {}
        for release in making.releases(package, own["python"]):
            newest[Version(release).release[:2]] = release
        chosen = list(newest.values())
    return {release: {**own, **beside, package: release} for release in sorted(chosen, key=Version)}


def beside(texts: Sequence[str]) -> dict[str, str]:
    """Versions by package, from texts such as keras=3.15.1; raises ValueError."""
    found = {}
    for text in texts:
        package, _, pin = text.replace("==", "=").partition("=")
        if not (package and pin):
            raise ValueError(f"--with {text}: give a package and its version, as keras=3.15.1")
        found[package] = pin
    return found


def implementation_for(package: str, beside: Pins) -> str:
    """The implementation that runs on a package; raises ValueError if Keras lacks a backend."""
    if package == "torch" and "keras" not in beside:
        return "pytorch_eager"
    if package in RUN_BY:
        return RUN_BY[package]
    backends = [name for name in RUN_BY if name in beside]
    if len(backends) != 1:
        choices = ", ".join(f"{name}=…" for name in RUN_BY)
        raise ValueError(f"{package}: give its backend with one of --with {choices}")
    return RUN_BY[backends[0]]


def usual_rows(implementation: str) -> list[str]:
    """The tests of all networks' training steps and forward passes."""
    operations = TRAIN_STEP, FORWARD
    trials = (
        Trial(operation.name, name, recipe.BATCH_SIZE, "cpu")
        for operation in operations
        for name in networks.names()
    )
    return [RowId(trial, implementation).test for trial in trials]


def history(
    dataset: data.Dataset,
    package: str,
    pins: dict[str, dict[str, str]],
    rows: Sequence[str],
    maker: Maker,
    output: Path,
    console: Console,
) -> Timeline:
    """Measure every release that `output` does not have yet, and write it there.

    Raises EnvironmentProblem, and ValueError for a file of another experiment.
    """
    found = Timeline(
        package=package,
        machine=experiments.machine(),
        dataset=dataset.name,
        source=source_hash(),
        releases=[*pins],
        pins=pins,
        rows=list(rows),
    )
    same = "package", "machine", "dataset", "source", "releases", "pins", "rows"
    found = experiments.continued(found, output, Timeline.of, "history", same)
    there = found.measured()
    rest = {name: one for name, one in pins.items() if name not in there}
    found.left_out = {name: why for name, one in rest.items() if (why := maker.resolves(one))}
    for name, why in found.left_out.items():
        console.print(f"left out: {name}: {why}")
    todo = groups(found)
    if todo:
        console.print(cost(found, todo, maker))
    for group in todo:
        found.sittings.append(sitting(dataset, found, group, maker, console))
        experiments.write(found, output)
    return found


def groups(found: Timeline) -> list[list[str]]:
    """The releases of each remaining session, without the anchor; successive ones share one."""
    usable = [release for release in found.releases[:-1] if release not in found.left_out]
    step = AT_ONCE - 1
    every = [usable[start : start + AT_ONCE] for start in range(0, max(1, len(usable) - 1), step)]
    # A release without any measured row is tried again.
    there = [{name for name, rows in one.figures.items() if rows} for one in found.sittings]
    return [group for group in every if group and not any({*group} <= one for one in there)]


def cost(found: Timeline, todo: Sequence[Sequence[str]], maker: Maker) -> str:
    """The cost of the remaining sessions, as text."""
    seconds = sum((len(group) + 1) * len(found.rows) * EACH for group in todo)
    needed = (AT_ONCE + 1) * making.size(found.pins[found.anchor])
    return (
        f"{len(todo)} sessions of {found.package}, about {ceil(seconds / 60)} min, with up to "
        f"{making.in_gigabytes(needed)} of disk in {maker.folder}, of which "
        f"{making.in_gigabytes(maker.disk)} may be used"
    )


def sitting(
    dataset: data.Dataset,
    timeline: Timeline,
    group: Sequence[str],
    maker: Maker,
    console: Console,
) -> Sitting:
    """One session of the anchor and a group of releases."""
    began, when = monotonic(), datetime.now(UTC)
    names = [timeline.anchor, *group]
    every = [timeline.pins[name] for name in names]
    made = dict(zip(names, (maker.make(pins, beside=every) for pins in every), strict=True))
    here, *others = made.values()
    rows = [(row.trial, row.implementation) for row in map(RowId.parse, timeline.rows)]
    results = gates.gate(dataset, here, others, rows, maker.folder, console, confirms=False)
    figures = {
        name: figures_of(results, "" if place is here else place.name)
        for name, place in made.items()
    }
    folders = {name: maker.folder / place.name for name, place in made.items()}
    backend = next((name for name in RUN_BY if name in every[0]), "tensorflow")
    return Sitting(
        began=f"{when:%Y-%m-%d %H:%M}",
        seconds=round(monotonic() - began, 1),
        figures=figures,
        imports=imports(timeline.package, folders, backend),
    )


def figures_of(results: Results, environment: str) -> dict[str, Figures]:
    """The results of a session in one environment, by row."""
    found = {}
    for (trial, name), row in results.rows.items():
        implementation, place = split(name)
        anchor = results.rows[trial, contestant(implementation)]
        if place != environment or not (row.valid and anchor.valid):
            continue
        entries = row.entries.values()
        logs = block_log_ratios(row.by_block(), anchor.by_block()) if environment else []
        found[RowId(trial, implementation).test] = Figures(
            seconds=float(f"{row.seconds():.5g}"),
            logs=[round(one, 5) for one in logs],
            first_calls=[float(f"{e['first_call_seconds']:.4g}") for e in entries],
            memory=max(entry.get("peak_memory_bytes", 0) for entry in entries),
        )
    return found


def imports(package: str, folders: dict[str, Path], backend: str) -> dict[str, list[float]]:
    """Seconds that importing a package takes in each environment, in turns.

    `backend` is that of Keras.
    """
    code = f"import time; t = time.perf_counter(); import {package}; print(time.perf_counter() - t)"
    found: dict[str, list[float]] = {name: [] for name in folders}
    for turn in range(IMPORTS + 1):
        for name, folder in folders.items():
            command = [str(folder / "bin" / "python"), "-I", "-c", code]
            with suppress(OSError, ValueError, IndexError, subprocess.TimeoutExpired):
                ended = subprocess.run(
                    command,
                    env=os.environ | {"KERAS_BACKEND": backend},
                    capture_output=True,
                    text=True,
                    timeout=IMPORT_LIMIT,
                    check=False,
                )
                seconds = float(ended.stdout.split()[-1])
                found[name] += [round(seconds, 4)] if turn else []
    return found
