"""Calibrate the test accuracy after one epoch, over seeds: `python -m benchmarks calibrate`."""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks.commands.experiments import write_text
from benchmarks.measuring.workers import START_LIMIT, WorkerProcess, check_handshake
from mnist_models import accuracy, networks, recipe, weights
from mnist_models.data import Dataset
from mnist_models.implementations import PAIR
from mnist_models.operations import EPOCH

LIMIT = 900.0


def calibrate(
    dataset: Dataset,
    architectures: Iterable[str],
    batch_size: int,
    seeds: int,
    threads: int,
    file: Path = accuracy.FILE,
) -> None:
    """Train the architectures from `seeds` seeds with each of the pair; write their bounds.

    The seed decides the starting weights and the order. The accuracies of both implementations are
    pooled, because both compute the same function and only the seed varies.
    """
    found: dict[str, list[float]] = {name: [] for name in architectures}
    with tempfile.TemporaryDirectory() as folder:
        for name in PAIR:
            worker = WorkerProcess(name, "cpu", threads, Path(folder))
            try:
                info = worker.ask("start", name, "cpu", threads, "float32", limit=START_LIMIT)
                check_handshake(worker, info)
                worker.ask("read", str(dataset.folder), limit=LIMIT)
                for architecture in map(networks.load, found):
                    for seed in range(1, seeds + 1):
                        start = weights.to_bytes(weights.initial(architecture, seed))
                        plan = replace(recipe.DEFAULT, batch_size=batch_size, seed=seed).record()
                        worker.ask("take", architecture.name, plan, "float32", start, limit=LIMIT)
                        result = worker.ask("sample", EPOCH.name, 1, limit=LIMIT)
                        found[architecture.name].append(result["accuracy"])
                        print(f"{name} {architecture.name} seed {seed}: {result['accuracy']:.4f}")
            finally:
                worker.kill()
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"bounds": {}}
    recipe_used = accuracy.deciding(recipe.DEFAULT.record())
    if content.get("recipe") != recipe_used:
        content["bounds"] = {}  # of another recipe
    content["command"] = "python -m benchmarks calibrate --dataset NAME --batch-size SIZE"
    content["rule"] = "mean ± 5 standard deviations over seeds × the pair; 1.0 is never accepted"
    content["recipe"] = recipe_used
    of_dataset = content["bounds"].setdefault(dataset.name, {})
    for name, values in found.items():
        entry = accuracy.calibrated(values) | {"accuracies": values}
        of_dataset.setdefault(name, {})[str(batch_size)] = entry
    write_text(json.dumps(content) + "\n", file)
