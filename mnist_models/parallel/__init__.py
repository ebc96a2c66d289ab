"""Training on several devices with the same global batch: proved equal, then timed.

    python -m mnist_models.parallel JOB

trains as one rank of a group; JOB is JSON. in_pytorch.py, in_keras.py and in_tensorflow.py have
what differs: PyTorch starts a process for each device, the others have all devices in one.
Importing this imports no framework.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from time import monotonic, perf_counter, sleep
from typing import IO, TYPE_CHECKING, Any

from mnist_models import cpus, data, weights
from mnist_models.implementations import Unavailable
from mnist_models.parity import worst
from mnist_models.start import variables

if TYPE_CHECKING:
    from mnist_models.worker import Worker

FRAMEWORKS = {
    "keras_jax": "in_keras",
    "pytorch_eager": "in_pytorch",
    "tensorflow_function": "in_tensorflow",
}
# Why some other implementations have no row.
REASONS = {
    "keras_tensorflow": "MultiWorkerMirroredStrategy does not run fit of Keras 3 (keras#20585)",
    "keras_torch": "keras.distribution has no torch backend before Keras 3.16",
}
# Steps that are proved, steps before the timing, and steps that are timed.
PROVED, WARM_UP, TIMED = 3, 10, 40
# Cases in which the last batch lacks an image: gradients averaged, or weighed by shares of images.
UNEVEN = ("uneven", "uneven, weighed")
# A planted fault: the group never sees the last batch.
LOST = "last batch lost"
# Largest relative difference of the weights after PROVED steps in float64.
BOUND = 1e-10
# The same for the first PROVED steps of the group that is timed, in float32. Rounding makes 1e-7
# there, and gradients that are summed, not averaged, 1e-4.
TIMED_BOUND = 1e-5
# The largest number of devices; each is a process, or a share of one.
MOST = 8
# Seconds for a group to start, train and end.
LIMIT = 180.0
# Seconds between two looks at a group.
POLL = 0.02


class Parallel:
    """Groups of one and of several devices for a worker's implementation and network."""

    def __init__(self, worker: "Worker") -> None:
        name, architecture, record, device, _ = worker.own()
        if name not in FRAMEWORKS:
            raise Unavailable(REASONS.get(name, f"{name} trains on one device alone"))
        if device != "cpu":
            raise Unavailable("training on several devices is timed on CPUs alone")
        if len(cpus.inherited()) < 2:
            raise Unavailable("there is one CPU, and two devices need two")
        batch = record["batch_size"]
        self.most = most_devices(len(cpus.inherited()), batch)
        if self.most < 2:
            raise Unavailable(f"two devices cannot have equal parts of a batch of {batch} images")
        self.name, self.architecture, self.record = name, architecture, record
        self.images, self.labels, self.start = worker.images, worker.labels, worker.start_weights
        # The weights of one device after training, by whether the last batch is uneven; and those
        # of the device that is timed.
        self.references: dict[bool, weights.Weights] = {}
        self.timed: weights.Weights = {}

    def run(self, devices: int, *trainings: tuple[str, str]) -> list[dict[str, Any]]:
        """Train a group once for each (dtype, case); the plain case is empty.

        Each result has its `weights` at the end and, in float32, `seconds` a step, and `alone`
        without communication. Raises RuntimeError when a rank fails.
        """
        with TemporaryDirectory() as folder:
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

    def differences(self, devices: int, *cases: str) -> list[float]:
        """The worst relative difference of a weight to one device alone, in each case."""
        every = self.run(devices, *(("float64", case) for case in cases))
        return [
            self.difference(one["weights"], case) for one, case in zip(every, cases, strict=True)
        ]

    def difference(self, together: weights.Weights, case: str = "") -> float:
        """Worst relative difference of a weight after PROVED steps, to one device alone."""
        return worst(together, self.alone(uneven=case in UNEVEN))

    def alone(self, uneven: bool = False) -> weights.Weights:
        """The weights after PROVED steps of one device, in float64."""
        if uneven not in self.references:
            [found] = self.run(1, ("float64", UNEVEN[0] if uneven else ""))
            self.references[uneven] = found["weights"]
        return self.references[uneven]

    def found(self, devices: int) -> dict[str, Any]:
        """The figures of this number of devices; ask for those of one device first."""
        timed, proved = self.run(devices, ("float32", ""), ("float64", ""))
        if devices == 1:
            self.references[False], self.timed = proved["weights"], timed["weights"]
        return {
            "seconds": timed["seconds"],
            "alone_seconds": timed["alone"],
            "difference": self.difference(proved["weights"]),
            "timed_difference": worst(timed["weights"], self.timed),
        }


def most_devices(count: int, batch_size: int) -> int:
    """The largest number of devices, up to `count`, that get equal parts of a batch."""
    return max(n for n in range(1, min(count, MOST) + 1) if batch_size % n == 0)


def end(folder: Path, number: int) -> Path:
    """The file with the weights of a group's training of this number."""
    return folder / f"end-{number}.npz"


def group(name: str, job: dict[str, Any]) -> str:
    """Run all ranks to their end; returns the last line that the first one prints.

    Raises RuntimeError as soon as a rank fails, because the others would wait for it, and after
    LIMIT seconds.
    """
    ranks = job["devices"] if FRAMEWORKS[name] == "in_pytorch" else 1
    ours = variables() | {"JAX_NUM_CPU_DEVICES": str(job["devices"]), "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        started = []
        for rank in range(ranks):
            what = json.dumps(job | {"rank": rank, "ranks": ranks})
            command = [sys.executable, "-P", "-m", "mnist_models.parallel", what]
            says, complains = (stack.enter_context(TemporaryFile("w+")) for _ in range(2))
            one = subprocess.Popen(command, env=ours, stdout=says, stderr=complains, text=True)
            stack.callback(one.wait)
            stack.callback(one.kill)
            started.append((one, says, complains))
        deadline = monotonic() + LIMIT
        while None in (codes := [one.poll() for one, _, _ in started]) and not any(codes):
            if monotonic() > deadline:
                raise RuntimeError(f"{ranks} rank(s) of {name} did not end within {LIMIT:g} s")
            sleep(POLL)
        if failed := [text(complains) for one, _, complains in started if one.returncode]:
            raise RuntimeError(f"a rank of {name} failed:\n{failed[0][-2000:]}")
        return text(started[0][1]).splitlines()[-1]


def text(file: IO[str]) -> str:
    """What a process has written into a file."""
    file.seek(0)
    return file.read()


@contextmanager
def bound_to(job: dict[str, Any]) -> Iterator[None]:
    """Bind a rank to a CPU, its own if there are enough, or a single process to one per device."""
    every, _ = cpus.share(job["devices"], cpus.inherited())
    rank, ranks = job["rank"], job["ranks"]
    own = [every[rank % len(every)]] if ranks > 1 else every
    with cpus.bound(own):
        yield


def seconds(
    step: Callable[..., object], batches: Sequence[Any], synchronize: Callable[[], object]
) -> float:
    """Seconds of a step, over TIMED of them, until all devices have finished."""
    for number in range(WARM_UP):
        step(*batches[number % len(batches)])
    synchronize()
    began = perf_counter()
    for number in range(TIMED):
        step(*batches[number % len(batches)])
    synchronize()
    return (perf_counter() - began) / TIMED


def main() -> None:
    """Train as one rank, once or more, and print the figures."""
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
            for number, (dtype, case) in enumerate(job["trainings"]):
                one = job | {"dtype": dtype, "timed": dtype == "float32", "case": case}
                lost = job["recipe"]["batch_size"] if case == LOST else int(case in UNEVEN)
                count = len(labels) - lost
                told, last = module.train(one, images[:count], labels[:count], start)
                found.append(told)
                if job["rank"] == 0:
                    end(folder, number).write_bytes(weights.to_bytes(last))
    if job["rank"] == 0:
        print(json.dumps(found))
