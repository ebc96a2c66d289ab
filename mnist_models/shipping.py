"""The time to export a network, to load it and to predict; and a check of its answers."""

import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_models import exports
from mnist_models.exports import Predict
from mnist_models.implementations import Unavailable, first_line
from mnist_models.parity import relative

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# Largest difference of logits, relative to their norm, from those of the network that was exported,
# which the reference has checked. Runtimes fuse layers and fold weights, and so round differently.
BOUND = 1e-5
# Seconds that each route has for its predictions of one image, and of a batch.
ANSWER_SECONDS = 0.2
# The environment variable of the folder in which a session keeps exported files for later blocks.
FOLDER = "MNIST_EXPORTS"


class Shipping:
    """One network of a worker, and all routes of its implementation."""

    def __init__(self, worker: "Worker") -> None:
        self.trainer, self.threads = worker.trainer, worker.threads
        name, architecture, *_ = worker.own()
        self.routes = exports.routes(name)
        if not self.routes:
            raise Unavailable(f"{name} has no routes to ship by")
        if worker.device != "cpu":
            raise Unavailable("shipping is timed on the CPU alone")
        images, _ = worker.prepared()[0]
        self.batch = np.ascontiguousarray(self.trainer.fetch(images))
        root = Path(os.environ.get(FOLDER) or tempfile.mkdtemp())
        # Some formats are planned for a largest batch.
        self.folder = root / f"{name}-{architecture}-b{len(self.batch)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.expected = self.trainer.fetch(self.trainer.forward(images))
        for route in self.routes.values():
            route.prepare(self.trainer)
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def path(self, name: str, folder: str = "") -> Path:
        """The path of a route's file, in a separate folder."""
        return self.folder / (folder or name) / f"network{self.routes[name].suffix}"

    def export(self) -> float:
        """Export every possible route without a file; seconds of `round_trip`."""
        for name, route in self.routes.items():
            if route.missing() or (self.folder / name).exists():
                continue
            part = self.folder / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                began = perf_counter()
                route.export(self.trainer, self.path(name, part.name))
                self.seconds[name] = perf_counter() - began
                # Complete or not at all, because a later block uses the folder.
                part.rename(self.folder / name)
            except Exception as error:  # exporters may raise any exception
                self.failed[name] = f"cannot be exported: {first_line(error)}"
        return self.round_trip()[0]

    def round_trip(self) -> tuple[float, float]:
        """Wall and CPU seconds of saving, loading and one answer in the framework's own format."""
        name, route = next(iter(self.routes.items()))
        wall, cpu = perf_counter(), process_time()
        route.export(self.trainer, self.path(name))
        route.load(self.trainer, self.path(name), self.threads)(self.batch[:1])
        return perf_counter() - wall, process_time() - cpu

    def found(self, name: str) -> dict[str, Any]:
        """Figures of a route: seconds, bytes, the difference of its answers; or why there are none.

        Loading includes the first answer, for which some runtimes trace. Runtimes are imported
        before, as the framework is.
        """
        route, path = self.routes[name], self.path(name)
        if reason := route.missing() or self.failed.get(name):
            return {"missing": reason}
        try:
            for package in route.needs:
                import_module(package)
            began = perf_counter()
            predict = route.load(self.trainer, path, self.threads)
            predict(self.batch[:1])
            loaded = perf_counter() - began
            difference = max(
                relative(np.asarray(predict(self.batch[:count])), self.expected[:count], 0)
                for count in (len(self.batch), 1)
            )
        except Exception as error:  # runtimes may raise any exception
            return {"missing": f"cannot be loaded: {first_line(error)}"}
        return {
            "export_seconds": self.seconds.get(name),
            "bytes": exports.size(path.parent),
            "environment_bytes": exports.environment_size(route.runtime, *route.beside),
            "load_seconds": loaded,
            "difference": float(difference),
            "one_seconds": answers(predict, self.batch[:1]),
            "batch_seconds": answers(predict, self.batch),
        }


def answers(predict: Predict, images: np.ndarray) -> float:
    """The median seconds of a prediction over ANSWER_SECONDS, after as many seconds of warm-up."""
    found: list[float] = []
    for _ in range(2):
        found, end = [], perf_counter() + ANSWER_SECONDS
        while not found or perf_counter() < end:
            began = perf_counter()
            predict(images)
            found.append(perf_counter() - began)
    return float(np.median(found))
