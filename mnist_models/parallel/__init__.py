"""Training on several devices with the same global batch: proved equal, then timed.

    python -m mnist_models.parallel JOB

trains as one rank of a group; JOB is JSON. in_pytorch.py, in_keras.py and in_tensorflow.py have
what differs: PyTorch starts a process for each device, the others have all devices in one.
Importing this imports no framework.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from mnist_models import cpus, data, weights
from mnist_models.implementations import Unavailable
from mnist_models.parity import relative
from mnist_models.start import variables

if TYPE_CHECKING:
    from mnist_models.worker import Worker

FRAMEWORKS = {
    "keras_jax": "in_keras",
    "pytorch_eager": "in_pytorch",
    "tensorflow_function": "in_tensorflow",
}
# Why the others have no row.
REASONS = {
    "keras_tensorflow": "MultiWorkerMirroredStrategy does not run fit of Keras 3 (keras#20585)",
    "keras_torch": "keras.distribution has no torch backend before Keras 3.16",
}
# Steps that are proved, those before the clock, and those that are timed.
PROVED, WARM_UP, TIMED = 3, 10, 40
# Largest relative difference of the weights after PROVED steps in float64.
BOUND = 1e-10
# Seconds for a group to start, train and end.
LIMIT = 180.0


class Parallel:
    """Groups of one and of several devices for a worker's implementation and network."""

    def __init__(self, worker: "Worker") -> None:
        name, architecture, record, device, _ = worker.own()
        if name not in FRAMEWORKS:
            raise Unavailable(REASONS.get(name, f"{name} trains on one device alone"))
        if device != "cpu":
            raise Unavailable("training on several devices is timed on CPUs alone")
        self.most = len(everywhere())
        if self.most < 2:
            raise Unavailable("there is one CPU, and two devices need two")
        self.name, self.architecture, self.record = name, architecture, record
        self.images, self.labels, self.start = worker.images, worker.labels, worker.start_weights

    def run(self, devices: int, *trainings: tuple[str, str]) -> list[dict[str, Any]]:
        """Train a group once for each (dtype, fault); an empty fault is none.

        Each has the `weights` at its end and, in float32, `seconds` a step and `alone`. Raises
        RuntimeError when a rank fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            size = PROVED * self.record["batch_size"]
            sample = {"images": self.images[:size], "labels": self.labels[:size]}
            (Path(folder) / "data.npz").write_bytes(weights.to_bytes(sample))
            (Path(folder) / "start.npz").write_bytes(weights.to_bytes(self.start))
            job = {
                "implementation": self.name,
                "architecture": self.architecture,
                "recipe": self.record,
                "devices": devices,
                "trainings": trainings,
                "folder": folder,
            }
            found: list[dict[str, Any]] = json.loads(group(self.name, job))
            for number, one in enumerate(found):
                one["weights"] = weights.from_bytes(end(Path(folder), number).read_bytes())
        return found

    def differences(self, devices: int, *faults: str) -> list[float]:
        """With each fault, the worst relative difference of a weight to one device alone."""
        every = self.run(devices, *(("float64", fault) for fault in faults))
        return [self.difference(one["weights"]) for one in every]

    def difference(self, together: weights.Weights) -> float:
        """Worst relative difference of a weight after PROVED steps, to one device alone."""
        return max(relative(together[name], want, 0) for name, want in self.alone.items())

    @cached_property
    def alone(self) -> weights.Weights:
        """The weights after PROVED steps of one device, in float64."""
        [found] = self.run(1, ("float64", ""))
        return found["weights"]

    def found(self, devices: int) -> dict[str, Any]:
        """Figures of a number of devices."""
        timed, proved = self.run(devices, ("float32", ""), ("float64", ""))
        if devices == 1:
            self.alone = proved["weights"]
        return {
            "seconds": timed["seconds"],
            "alone_seconds": timed["alone"],
            "difference": self.difference(proved["weights"]),
        }


def end(folder: Path, number: int) -> Path:
    """Where a group leaves the weights of its so-manieth training."""
    return folder / f"end-{number}.npz"


def everywhere() -> list[int]:
    """The CPUs that this process might use if it were not bound to few of them."""
    before = cpus.available()
    cpus.bind(range(os.cpu_count() or 1))
    every = cpus.available()
    cpus.bind(before)
    return every


def group(name: str, job: dict[str, Any]) -> str:
    """The last line that the first rank prints, when all have ended."""
    ranks = job["devices"] if FRAMEWORKS[name] == "in_pytorch" else 1
    ours = variables() | {"JAX_NUM_CPU_DEVICES": str(job["devices"]), "OMP_NUM_THREADS": "1"}
    started: list[subprocess.Popen[str]] = []
    try:
        for rank in range(ranks):
            what = json.dumps(job | {"rank": rank, "ranks": ranks})
            command = [sys.executable, "-P", "-m", "mnist_models.parallel", what]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            started.append(subprocess.Popen(command, env=ours, text=True, **pipes))  # type: ignore[call-overload]
        outputs = [one.communicate(timeout=LIMIT) for one in started]
    finally:
        for one in started:
            one.kill()
            one.wait()
    for one, (_, complaint) in zip(started, outputs, strict=True):
        if one.returncode:
            raise RuntimeError(f"a rank of {name} failed:\n{complaint[-2000:]}")
    return outputs[0][0].splitlines()[-1]


@contextmanager
def bound_to(job: dict[str, Any]) -> Iterator[None]:
    """Keep a rank on its own CPU, and a process that has all devices on as many."""
    every = everywhere()
    own = every[job["rank"] :: job["ranks"]] if job["ranks"] > 1 else every[: job["devices"]]
    with cpus.bound(own):
        yield


def seconds(
    step: Callable[..., object], batches: Sequence[Any], synchronize: Callable[[], object]
) -> float:
    """Seconds of a step, over TIMED of them, when all devices have done theirs."""
    for number in range(WARM_UP):
        step(*batches[number % len(batches)])
    synchronize()
    began = perf_counter()
    for number in range(TIMED):
        step(*batches[number % len(batches)])
    synchronize()
    return (perf_counter() - began) / TIMED


def main() -> None:
    """Train as one rank, once or more, and print what it took."""
    job = json.loads(sys.argv[1])
    folder = Path(job["folder"])
    sample = weights.from_bytes((folder / "data.npz").read_bytes())
    start = weights.from_bytes((folder / "start.npz").read_bytes())
    images, labels = data.preprocess(sample["images"]), sample["labels"]
    with bound_to(job):
        module = import_module(
            f"{__name__.removesuffix('.__main__')}.{FRAMEWORKS[job['implementation']]}"
        )
        found = []
        with module.group(job):
            for number, (dtype, fault) in enumerate(job["trainings"]):
                one = job | {"dtype": dtype, "timed": dtype == "float32", "fault": fault}
                told, last = module.train(one, images, labels, start)
                found.append(told)
                if job["rank"] == 0:
                    end(folder, number).write_bytes(weights.to_bytes(last))
    if job["rank"] == 0:
        print(json.dumps(found))
