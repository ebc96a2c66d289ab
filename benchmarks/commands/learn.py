"""Learning curves of the pair over many seeds: `python -m benchmarks learn`."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.commands.experiments import continued, write
from benchmarks.comparing import curves
from benchmarks.comparing.curves import ARMS, Curves, Run
from benchmarks.measuring.workers import START_LIMIT, WorkerProcess, check_handshake
from mnist_models import networks, recipe, weights
from mnist_models.data import Dataset
from mnist_models.implementations import PAIR

# Seconds that the training of a network may take.
LIMIT = 3600.0


def learn(
    dataset: Dataset,
    architectures: list[str],
    arms: list[str],
    seeds: int,
    epochs: int,
    output: Path,
) -> Curves:
    """Train all that `output` lacks, both implementations side by side.

    The file is written after every seed of a network, so that an interrupted experiment can be
    continued. Raises ValueError for a file of another experiment.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workers = [started(name, Path(folder), dataset, stack) for name in PAIR]
        found = Curves(
            dataset=dataset.name,
            sha256=dataset.sha256,
            epochs=epochs,
            batch_size=recipe.BATCH_SIZE,
            versions={worker.contestant: info["versions"] for worker, info in workers},
            runs=[],
        )
        same = "dataset", "sha256", "epochs", "batch_size", "versions"
        found = continued(found, output, curves.read, "learning", same)
        for case in missing(found, architectures, arms, seeds):
            for worker, _ in workers:
                worker.send("learn", *request(*case, epochs))
            for worker, _ in workers:
                answer = worker.receive(LIMIT)
                found.runs.append(run_of(case, worker.contestant, answer))
            write(found, output)
            pair = found.runs[-len(PAIR) :]
            last = " ".join(f"{run.implementation} {run.accuracies[-1]:.4f}" for run in pair)
            print(f"{' '.join(map(str, case))}: {last}", flush=True)
    return found


Case = tuple[str, str, int]


def started(
    name: str, folder: Path, dataset: Dataset, stack: ExitStack
) -> tuple[WorkerProcess, dict[str, Any]]:
    """A worker on one thread that has read the data set, and its handshake."""
    worker = WorkerProcess(name, "cpu", 1, folder)
    stack.callback(worker.kill)
    info = worker.ask("start", name, "cpu", 1, "float32", limit=START_LIMIT)
    check_handshake(worker, info)
    worker.ask("read", str(dataset.folder), limit=START_LIMIT)
    return worker, info


def missing(found: Curves, architectures: list[str], arms: list[str], seeds: int) -> Iterator[Case]:
    """(architecture, arm, seed) of each missing training, seed by seed."""
    there = {run.place for run in found.runs}
    for seed in range(1, seeds + 1):
        for architecture in architectures:
            for arm in arms:
                if any((architecture, name, arm, seed) not in there for name in PAIR):
                    yield architecture, arm, seed


def request(architecture: str, arm: str, seed: int, epochs: int) -> tuple[Any, ...]:
    """The arguments of a worker's `learn`."""
    start = weights.to_bytes(weights.initial(networks.load(architecture), seed))
    plan = replace(recipe.DEFAULT, seed=seed).record()
    return architecture, plan, start, list(ARMS[arm]), epochs


def run_of(case: Case, name: str, answer: dict[str, Any]) -> Run:
    """A worker's answer as a `Run`."""
    architecture, arm, seed = case
    accuracies = [round(accuracy, 6) for accuracy in answer["accuracies"]]
    return Run(
        architecture=architecture,
        implementation=name,
        arm=arm,
        seed=seed,
        accuracies=accuracies,
        recipe=answer["recipe"],
    )
