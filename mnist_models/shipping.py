"""What a shipped network takes: to export, to load, to answer, and whether it answers the same."""

import os
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_models import exports
from mnist_models.exports import Predict
from mnist_models.parity import relative

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# Largest difference of logits from those of the network that was exported, which the reference has
# checked: runtimes fuse layers and fold weights, so that they round otherwise.
BOUND = 1e-5
# Seconds that each route has for its predictions of one image, and of a batch.
ANSWER_SECONDS = 0.2
# Where a session keeps exported files from block to block.
FOLDER = "MNIST_EXPORTS"


class Shipping:
    """One network of a worker, and all routes of its implementation."""

    def __init__(self, worker: "Worker") -> None:
        self.trainer, self.threads = worker.trainer, worker.threads
        name, architecture, *_ = worker.own()
        self.routes = exports.routes(name)
        if not self.routes:
            raise NotImplementedError(f"{name} has no file of its own to ship")
        root = Path(os.environ.get(FOLDER) or tempfile.mkdtemp())
        self.folder = root / f"{name}-{architecture}"
        self.folder.mkdir(parents=True, exist_ok=True)
        images, _ = worker.prepared()[0]
        self.batch = np.ascontiguousarray(self.trainer.fetch(images))
        self.expected = self.trainer.fetch(self.trainer.forward(images))
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def path(self, name: str) -> Path:
        """Where a route's file is."""
        return self.folder / f"{name}{self.routes[name].suffix}"

    def export(self) -> float:
        """Export every route that can be and that has no file yet; seconds of the first."""
        for name, route in self.routes.items():
            if route.missing() or self.path(name).exists():
                continue
            began = perf_counter()
            try:
                route.export(self.trainer, self.path(name))
            except Exception as error:  # exporters raise whatever they meet
                self.failed[name] = f"cannot be exported: {first_line(error)}"
            self.seconds[name] = perf_counter() - began
        return self.round_trip()[0]

    def round_trip(self) -> tuple[float, float]:
        """Wall and CPU seconds of saving and loading in the framework's own format."""
        name, route = next(iter(self.routes.items()))
        wall, cpu = perf_counter(), process_time()
        route.export(self.trainer, self.path(name))
        route.load(self.trainer, self.path(name), self.threads)
        return perf_counter() - wall, process_time() - cpu

    def found(self, name: str) -> dict[str, Any]:
        """Figures of a route: seconds, bytes, the difference of its answers; or why not."""
        route, path = self.routes[name], self.path(name)
        if reason := route.missing() or self.failed.get(name):
            return {"missing": reason}
        try:
            began = perf_counter()
            predict = route.load(self.trainer, path, self.threads)
            loaded = perf_counter() - began
            difference = max(
                relative(np.asarray(predict(self.batch[:count])), self.expected[:count], 0)
                for count in (len(self.batch), 1)
            )
        except Exception as error:  # runtimes raise whatever they meet
            return {"missing": f"cannot be loaded: {first_line(error)}"}
        return {
            "export_seconds": self.seconds.get(name),
            "bytes": exports.size(path),
            "load_seconds": loaded,
            "difference": float(difference),
            "one_seconds": answers(predict, self.batch[:1]),
            "batch_seconds": answers(predict, self.batch),
        }


def answers(predict: Predict, images: np.ndarray) -> float:
    """The median seconds of a prediction, over ANSWER_SECONDS after as many calls to warm up."""
    found: list[float] = []
    for _ in range(2):
        found, end = [], perf_counter() + ANSWER_SECONDS
        while not found or perf_counter() < end:
            began = perf_counter()
            predict(images)
            found.append(perf_counter() - began)
    return float(np.median(found))


def first_line(error: Exception) -> str:
    """What an error says, on one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip() if lines else ''}"[:200]
