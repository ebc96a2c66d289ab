"""One implementation alone in its process. Holds the only clock of the project.

Nothing but the standard library, NumPy and one framework is imported here, so that any environment
that holds a framework can be a worker. Requests are (method, arguments) and replies ("ok", result)
or ("error", kind, traceback), over a channel that carries plain Python values and bytes.
"""

import hashlib
import os
import platform
import resource
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from mnist_models import data, implementations, parity, weights
from mnist_models.architectures import ARCHITECTURES, MLP
from mnist_models.recipe import DEFAULT, Recipe

PROTOCOL = 3
BURST_SECONDS = 0.025
WARM_UP_SECONDS = 0.015
PREPARED_BATCHES = 64
FRAMEWORKS = ("jax", "tensorflow", "torch")
# Keras imports it where it is installed, and with it most of SciPy: a quarter of its own start.
UNUSED = ("sklearn",)
KNOBS = (
    "CUDA_VISIBLE_DEVICES",
    "JAX_ENABLE_X64",
    "KERAS_BACKEND",
    "KERAS_TORCH_DEVICE",
    "NPROC",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "PJRT_NPROC",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "TORCH_COMPILE_DISABLE",
    "XLA_FLAGS",
)


def source_hash(folder: Path = Path(__file__).parent) -> str:
    """SHA-256 over a package's source, by default this one's: all workers must run the same."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


class Hiding:
    """A finder of modules for which some packages are not installed."""

    def __init__(self, finder: Any, hidden: set[str]) -> None:
        self.finder, self.hidden = finder, hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """As the finder's own, but None for what is hidden."""
        return (
            None if name.split(".")[0] in self.hidden else self.finder.find_spec(name, path, target)
        )


class Worker:
    """What a controller may ask of an implementation; every public method is one request.

    An operation is "forward", "train_step" or "epoch".
    """

    def start(
        self, implementation: str, device: str, threads: int, precision: str
    ) -> dict[str, Any]:
        """Import the implementation, set its knobs; tell what runs here and with which settings."""
        # TensorFlow imports jax where it is installed; a worker holds one framework alone.
        hidden = {*FRAMEWORKS, *UNUSED} - implementations.packages(implementation)
        sys.meta_path[:] = [Hiding(finder, hidden) for finder in sys.meta_path]
        self.module = implementations.load(implementation)
        in_force = self.module.configure(threads, precision)
        # A first trainer makes the framework import and initialise the rest of itself, while the
        # workers still start side by side on all CPUs.
        self.module.Trainer(MLP, DEFAULT, device, "float32")
        own, cpus = self.module.versions(), bind(threads)
        if in_force["threads"] != threads:
            found = f"{in_force['threads']} threads"
            raise RuntimeError(f"--threads {threads} is not in force: {found}")
        self.device, self.threads = device, threads
        self.wall = self.cpu = 0.0
        self.trainers: dict[tuple[Any, ...], Any] = {}
        self.batches: dict[tuple[Any, ...], list[Any]] = {}
        self.whole: dict[tuple[Any, ...], Any] = {}
        return {
            "protocol": PROTOCOL,
            "source": source_hash(),
            "devices": self.module.devices(),
            "versions": own | {"numpy": np.__version__},
            "python": platform.python_version(),
            "machine": machine(),
            "in_force": in_force | {"precision": precision, "cpus": cpus, "environment": knobs()},
            "adam_epsilon": self.module.ADAM_EPSILON,
            "strangers": [f for f in FRAMEWORKS if f in sys.modules and f not in own],
        }

    def read(self, folder: str) -> None:
        """Read the data set that the controller found, outside every clock."""
        dataset = data.read(Path(folder))
        self.images, self.labels = dataset.train_images, dataset.train_labels
        self.test_images = dataset.test_images
        self.test_labels = dataset.test_labels

    def take(self, architecture: str, recipe: dict[str, Any], dtype: str, start: bytes) -> str:
        """Make this the trainer of the following requests; returns how it is compiled.

        It is built at its first request and kept.
        """
        key = (architecture, *recipe.items(), dtype)
        if key not in self.trainers:
            network, plan = ARCHITECTURES[architecture], Recipe.from_record(recipe)
            self.trainers[key] = self.module.Trainer(network, plan, self.device, dtype)
        self.trainer = self.trainers[key]
        self.form = (recipe["batch_size"], dtype)
        self.trainer.set_weights(weights.from_bytes(start))
        return self.trainer.compilation

    def observe(self, question: str, batches: int, attempt: int = 0) -> bytes:
        """Answer one of the referee's questions (`parity.observe`) on the `attempt`-th images."""
        part = parity.part(question, batches, self.form[0], len(self.images), attempt)
        sample = data.preprocess(self.images[part]), self.labels[part]
        return weights.to_bytes(parity.observe(self.trainer, question, *sample, self.form[0]))

    def first_call(self, operation: str) -> float:
        """Seconds of an operation's first call: tracing, compiling, allocating.

        The "epoch" here is two whole batches and the last partial one, whose shape is then known.
        """
        if operation == "epoch":
            images, labels = self.training_set()
            part = parity.part("epoch", 2, self.form[0], len(self.images))
            short = np.arange(part.stop)
            return self.clock(lambda i: self.trainer.train_epoch(images, labels, short), 1)[0]
        return self.clock(self.operation(operation), 1)[0]

    def calibrate(self, operation: str) -> int:
        """How many operations make a burst of about BURST_SECONDS."""
        call, iterations = self.operation(operation), 1
        while (seconds := self.clock(call, iterations)[0]) * iterations < WARM_UP_SECONDS:
            iterations *= 2
        return max(1, round(BURST_SECONDS / seconds))

    def sample(self, operation: str, iterations: int) -> tuple[float, float]:
        """Wall and CPU seconds per operation in one burst that starts from a fresh reset."""
        self.trainer.reset()
        call = self.operation(operation)
        # Caches are cold, and the threads of the worker before may still be spinning.
        self.clock(call, max(1, round(iterations * WARM_UP_SECONDS / BURST_SECONDS)))
        return self.limited(self.clock(call, iterations), iterations)

    def epoch(self, order: bytes) -> dict[str, Any]:
        """Wall and CPU seconds of one epoch from the starting weights, and what it learned.

        That is its test accuracy, and [image, label, answer] of every test image it misread.
        """
        visit = weights.from_bytes(order)["order"]
        images, labels = self.training_set()
        self.trainer.reset()
        times = self.clock(lambda i: self.trainer.train_epoch(images, labels, visit), 1)
        seconds, cpu = self.limited(times, 1)
        misread = self.misread()
        accuracy = (len(self.test_labels) - len(misread)) / len(self.test_labels)
        return {"seconds": seconds, "cpu_seconds": cpu, "accuracy": accuracy, "misread": misread}

    def peak_memory(self) -> int:
        """Bytes that this process held at most."""
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def clock(self, call: Callable[[int], Any], iterations: int) -> tuple[float, float]:
        """Wall and CPU seconds per call: one synchronisation before, one at the end."""
        self.trainer.synchronize()
        cpu, began = process_time(), perf_counter()
        for i in range(iterations):
            call(i)
        self.trainer.synchronize()
        wall, cpu = perf_counter() - began, process_time() - cpu
        return wall / iterations, cpu / iterations

    def limited(self, times: tuple[float, float], iterations: int) -> tuple[float, float]:
        """The same times; raises RuntimeError once they show more threads than were allowed."""
        self.wall += times[0] * iterations
        self.cpu += times[1] * iterations
        # The kernel books CPU time in ticks: short bursts alone tell nothing.
        if self.wall > 0.5 and self.cpu > 1.1 * self.threads * self.wall:
            busy = f"{self.cpu / self.wall:.2f} CPUs were busy"
            raise RuntimeError(f"the limit of {self.threads} threads is not in force: {busy}")
        return times

    def operation(self, name: str) -> Callable[[int], Any]:
        """The operation as a function of a counter that walks over prepared batches."""
        if self.form not in self.batches:
            size = self.form[0]
            stops = range(size, len(self.images) + 1, size)[:PREPARED_BATCHES]
            self.batches[self.form] = [
                self.trainer.put(
                    data.preprocess(self.images[i - size : i]), self.labels[i - size : i]
                )
                for i in stops
            ]
        batches, count = self.batches[self.form], len(self.batches[self.form])
        if name == "forward":
            forward = self.trainer.forward
            return lambda i: forward(batches[i % count][0])
        train_step = self.trainer.train_step
        return lambda i: train_step(*batches[i % count])

    def training_set(self) -> tuple[Any, Any]:
        """All training images and labels, on the device."""
        if self.form not in self.whole:
            self.whole[self.form] = self.trainer.put(data.preprocess(self.images), self.labels)
        return self.whole[self.form]

    def misread(self) -> list[list[int]]:
        """[image, label, answer] of each test image whose largest logit is not the right one.

        Computed in NumPy. The last batch is filled up, so that no other shape has to be compiled.
        """
        size, total = self.form[0], len(self.test_images)
        answers = np.empty(total, int)
        for i in range(0, total, size):
            batch = np.arange(i, i + size) % total
            images = data.preprocess(self.test_images[batch])
            images, _ = self.trainer.put(images, self.test_labels[batch])
            logits = self.trainer.fetch(self.trainer.forward(images))
            answers[batch[: total - i]] = logits.argmax(axis=1)[: total - i]
        wrong = np.flatnonzero(answers != self.test_labels)
        return np.stack([wrong, self.test_labels[wrong], answers[wrong]], axis=1).tolist()


def machine() -> dict[str, Any]:
    """Where this process runs, under pytest-benchmark's names for it."""
    return {
        "node": platform.node(),
        "processor": platform.processor(),
        "machine": platform.machine(),
        "python_compiler": platform.python_compiler(),
        "python_implementation": platform.python_implementation(),
        "python_implementation_version": platform.python_version(),
        "python_version": platform.python_version(),
        "python_build": list(platform.python_build()),
        "release": platform.release(),
        "system": platform.system(),
    }


def knobs() -> dict[str, str]:
    """Environment variables that are set and change what is measured."""
    return {name: os.environ[name] for name in KNOBS if name in os.environ}


def available_cpus() -> int:
    """Number of CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bind(threads: int) -> int:
    """Bind every thread of this process to the last `threads` CPUs that it may run on.

    Returns how many CPUs that leaves. The first CPU is where interrupts and other people's bound
    work usually are. Elsewhere than on Linux, the frameworks' own settings must do.
    """
    tasks = Path("/proc/self/task")
    if tasks.exists():
        cpus = sorted(os.sched_getaffinity(0))[-threads:]
        for task in tasks.iterdir():
            with suppress(ProcessLookupError):  # a thread that has just ended
                os.sched_setaffinity(int(task.name), cpus)
    return available_cpus()


def serve(channel: Any) -> None:
    """Answer requests until the channel closes."""
    worker = Worker()
    for method, arguments in channel:
        try:
            reply: tuple[Any, ...] = ("ok", getattr(worker, method)(*arguments))
        except Exception as error:  # whatever a framework raises is the controller's to judge
            reply = ("error", type(error).__name__, traceback.format_exc())
        channel.send(reply)
