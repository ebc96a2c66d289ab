"""One implementation alone in its process, with the clock for its calls.

Only the standard library, NumPy and one framework are imported here, so that any environment that
holds a framework can be a worker. Requests are (method, arguments) and replies ("ok", result) or
("error", kind, traceback), over a channel that carries plain Python values and bytes.
"""

import hashlib
import os
import platform
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any

import numpy as np

from mnist_models import (
    counters,
    cpus,
    data,
    implementations,
    knobs,
    limits,
    networks,
    parity,
    weights,
)
from mnist_models.isolation import FRAMEWORKS, hide_others
from mnist_models.networks import IMAGE_SHAPE, Network
from mnist_models.operations import OPERATIONS
from mnist_models.recipe import DEFAULT, Recipe

PROTOCOL = 7
PREPARED_BATCHES = 64
WITH_CONVOLUTIONS = "lenet5"  # the network whose layout is reported
KNOBS = (
    "CUDA_VISIBLE_DEVICES",
    "DYLD_INSERT_LIBRARIES",
    "GLIBC_TUNABLES",
    "JAX_ENABLE_X64",
    "KERAS_BACKEND",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "LD_PRELOAD",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    cpus.INTEROP,
    "NPROC",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_WAIT_POLICY",
    "ONEDNN_MAX_CPU_ISA",
    "PJRT_NPROC",
    "PYTHONMALLOC",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "TORCH_COMPILE_DISABLE",
    "XLA_FLAGS",
)
# glibc's and jemalloc's settings of the allocator.
ALLOCATOR = ("MALLOC_",)


def source_hash(folder: Path = Path(__file__).parent) -> str:
    """SHA-256 over a package's source, by default this one's, which all workers must share."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


class Watch:
    """The clock, which starts and is read after the device has finished."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.synchronize = synchronize
        synchronize()
        self.cpu, self.wall = process_time(), perf_counter()

    def read(self) -> tuple[float, float]:
        """Wall and CPU seconds since the start."""
        self.synchronize()
        return perf_counter() - self.wall, process_time() - self.cpu


class Worker:
    """An implementation in its process. Every public method is a request of the controller."""

    def __init__(self) -> None:
        self.counters = counters.Counters()

    def start(
        self, implementation: str, device: str, threads: int, precision: str, knob: str = ""
    ) -> dict[str, Any]:
        """Import and configure the implementation; returns what runs here, with its settings.

        `knob` is one change of the implementation (`mnist_models.knobs`), empty for none.
        """
        hide_others(implementation)
        self.module = implementations.load(implementation)
        in_force = self.module.configure(threads) | self.module.set_precision(precision)
        if device not in (seen := self.module.devices()):
            raise implementations.Unavailable(f"it sees no {device}, only {' and '.join(seen)}")
        # A first trainer makes the framework import and initialise its rest, while the workers
        # still start side by side on all CPUs.
        observed = self.placement(device)
        own, bound = self.module.versions(), bind(threads)
        if in_force["threads"] != threads:
            found = f"{in_force['threads']} threads"
            raise RuntimeError(f"--threads {threads} is not in force: {found}")
        self.device, self.threads, self.cpu_ids = device, threads, bound
        self.wall = self.cpu = 0.0
        self.trainers: dict[tuple[Any, ...], Any] = {}
        self.batches: dict[tuple[int, str], list[tuple[Any, Any]]] = {}
        self.whole: dict[str, Any] = {}
        facts = {
            "protocol": PROTOCOL,
            "source": source_hash(),
            "observed": observed,
            "versions": own | {"numpy": np.__version__},
            "python": platform.python_version(),
            "machine": machine(),
            "in_force": in_force
            | {"precision": precision, "cpus": len(bound), "environment": settings()}
            | {"layout": observed["layout"]},
            "cpu_ids": bound,
            "conventions": asdict(self.module.CONVENTIONS),
            "other_frameworks": [f for f in FRAMEWORKS if f in sys.modules and f not in own],
        }
        if knob:
            self.module.Trainer = knobs.changed(self.module, knob)
        return facts

    def build(self, network: Network, recipe: Recipe, device: str, dtype: str) -> Any:
        """A new trainer; raises ValueError unless its weights are the network's."""
        trainer = self.module.Trainer(network, recipe, device, dtype)
        weights.check(trainer.get_weights(), network)
        return trainer

    def placement(self, device: str) -> dict[str, Any]:
        """Return devices, types and layout of a forward pass of a network with convolutions.

        Raises RuntimeError if device or type is not the one that was asked for.
        """
        network = networks.load(WITH_CONVOLUTIONS)
        trainer = self.build(network, DEFAULT, device, "float32")
        trainer.set_weights(weights.initial(network, DEFAULT.seed))
        blank = np.zeros((2, *IMAGE_SHAPE), np.float32)
        images, _ = trainer.put(blank, np.zeros(2, np.uint8))
        found: dict[str, Any] = trainer.placement(images)
        found["devices"] = ["gpu" if kind == "cuda" else kind for kind in found["devices"]]
        for asked, key in ((device, "devices"), ("float32", "dtypes")):
            if found[key] != [asked]:
                places = " and ".join(found[key])
                raise RuntimeError(f"asked to compute on {asked}, it computes on {places}")
        return found

    def read(self, folder: str) -> None:
        """Read the data set that the controller found, outside every clock."""
        dataset = data.read(Path(folder))
        self.images, self.labels = dataset.train_images, dataset.train_labels
        self.test_images = dataset.test_images
        self.test_labels = dataset.test_labels

    def take(
        self,
        architecture: str,
        recipe: dict[str, Any],
        dtype: str,
        start: bytes,
        precision: str = "float32",
    ) -> str:
        """Make this the trainer of the following requests; returns how it is compiled.

        It is built at its first request and kept, one for each precision, because compiled code may
        depend on the precision.
        """
        self.module.set_precision(precision)
        self.architecture, self.network = architecture, networks.load(architecture)
        self.taken = (architecture, *recipe.items(), dtype, precision)
        self.precision = precision
        self.recipe, self.start_weights = Recipe.from_record(recipe), weights.from_bytes(start)
        self.batch_size, self.dtype, self.seed = recipe["batch_size"], dtype, recipe["seed"]
        self.trainer = self.built(dropout=True)
        return self.trainer.compilation

    def built(self, dropout: bool) -> Any:
        """The trainer last taken, or its twin without dropout, with the starting weights."""
        key = (*self.taken, dropout)
        if key not in self.trainers:
            self.trainers[key] = self.build(self.network, self.recipe, self.device, self.dtype)
            if not dropout:
                self.trainers[key].disable_dropout()
        self.trainers[key].set_weights(self.start_weights)
        return self.trainers[key]

    def observe(self, question: str, batches: int, attempt: int = 0) -> bytes:
        """Answer one of the reference's questions (`parity.observe`) on the `attempt`-th images."""
        part = parity.part(question, batches, self.batch_size, len(self.images), attempt)
        sample = data.preprocess(self.images[part]), self.labels[part]
        without = self.network.draws and question in parity.OF_TRAINING
        trainer = self.built(dropout=False) if without else self.trainer
        answer = parity.observe(trainer, self.network, question, *sample, self.batch_size)
        return weights.to_bytes(answer)

    def learn(
        self, architecture: str, recipe: dict[str, Any], start: bytes, own: list[str], epochs: int
    ) -> dict[str, Any]:
        """Train for some epochs; returns the test accuracy after each, and the optimiser.

        `own` names what is left to the framework's own defaults: any of `recipe.OWN`.
        """
        network, plan = networks.load(architecture), Recipe.from_record(recipe)
        defaults = self.module.DEFAULTS
        if "optimizer" in own:
            plan = replace(plan, optimizer=defaults.adam())
        if "layers" in own:
            network = defaults.Own(architecture)
        defaults.seed(plan.seed)
        self.trainer = trainer = self.build(network, plan, self.device, "float32")
        drawn = "initialisers" in own
        trainer.set_weights(trainer.get_weights() if drawn else weights.from_bytes(start))
        self.batch_size, self.dtype, accuracies = plan.batch_size, "float32", []
        for epoch in range(epochs):
            order = weights.order(len(self.images), plan.seed, epoch)
            trainer.train_epoch(*self.training_set(), order, lambda: None)
            accuracies.append(1 - len(self.misread()) / len(self.test_labels))
        return {"accuracies": accuracies, "recipe": plan.record()}

    def defaults(self) -> dict[str, dict[str, Any]]:
        """The framework's defaults (`Defaults.probe`), with arrays as bytes."""
        return {
            name: topic | {"answers": weights.to_bytes(topic.get("answers", {}))}
            for name, topic in self.module.DEFAULTS.probe().items()
        }

    def first_call(self, operation: str) -> float:
        """Seconds of an operation's first call."""
        return OPERATIONS[operation].first_call(self)

    def iterations(self, operation: str) -> int:
        """How many calls of an operation make a sample."""
        return OPERATIONS[operation].iterations(self)

    def sample(self, operation: str, iterations: int) -> dict[str, Any]:
        """One sample of an operation: `seconds`, `cpu_seconds` and what the operation adds."""
        return OPERATIONS[operation].sample(self, iterations)

    def counted(
        self, call: Callable[[], tuple[float, float]], calls: int
    ) -> tuple[float, float, dict[str, float]]:
        """Wall and CPU seconds that `call` returns, and the increase of the counters, per call."""
        before = self.counters.read(self.trainer)
        wall, cpu = call()
        after = self.counters.read(self.trainer)
        # TensorFlow's count falls when traced functions are deleted.
        return wall, cpu, {name: max(0, after[name] - before[name]) / calls for name in after}

    def own(self) -> tuple[str, str, dict[str, Any], str, int]:
        """What another process needs to do the same: names, recipe, device and threads."""
        name = self.module.__name__.rpartition(".")[2]
        return name, self.architecture, self.recipe.record(), self.device, self.threads

    def threads_that_ran(self) -> int | None:
        """How many threads used the CPU since the last call; None if unknown."""
        return self.counters.threads_that_ran()

    def load(self, operation: str) -> dict[str, float]:
        """CPU seconds of this process, and busy seconds of an operation's CPUs, from some moment.

        `wall` are the elapsed seconds of the CPUs, `stolen` those that a hypervisor gave to other
        machines. Raises KeyError if the kernel does not report them.
        """
        known = counters.cpu_seconds()
        watched = OPERATIONS[operation].cpus(self.cpu_ids)
        spent = [known[cpu] for cpu in watched]
        usage = (
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        own = sum(one.ru_utime + one.ru_stime for one in usage)
        return {
            "wall": monotonic() * len(watched),
            "busy": sum(one.busy for one in spent),
            "stolen": sum(one.stolen for one in spent),
            "own": own,
        }

    def run_epoch(self, order: np.ndarray) -> tuple[tuple[float, float], float]:
        """Like `trained`, for an epoch in this order."""
        images, labels = self.training_set()
        return self.trained(lambda done: self.trainer.train_epoch(images, labels, order, done))

    def trained(
        self, train: Callable[[Callable[[], None]], None]
    ) -> tuple[tuple[float, float], float]:
        """Wall and CPU seconds until all steps are done; seconds until the call returns.

        `train` calls its argument right after its last step.
        """
        moments: list[tuple[float, float]] = []
        watch = Watch(self.trainer.synchronize)
        train(lambda: moments.append(watch.read()))
        returned, _ = watch.read()
        [trained] = moments
        return trained, returned

    def peak_gpu_memory(self) -> int:
        """Bytes of the GPU's memory that this process's tensors took at most; 0 on the CPU."""
        return int(self.module.peak_gpu_memory()) if self.device == "gpu" else 0

    def limits(self) -> dict[str, float]:
        """The limits of this process: `products` in FLOP/s, `memory` in bytes/s."""
        return {"products": limits.products(), "memory": limits.memory()}

    def peak_memory(self) -> int:
        """Bytes that this process held at most."""
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def clock(self, call: Callable[[int], Any], iterations: int) -> tuple[float, float]:
        """Wall and CPU seconds per call."""
        watch = Watch(self.trainer.synchronize)
        for i in range(iterations):
            call(i)
        wall, cpu = watch.read()
        return wall / iterations, cpu / iterations

    def limited(self, times: tuple[float, float], iterations: int) -> tuple[float, float]:
        """The same times; raises RuntimeError once they show more threads than were allowed."""
        self.wall += times[0] * iterations
        self.cpu += times[1] * iterations
        # The kernel counts CPU time in ticks, so short bursts alone prove nothing.
        if self.wall > 0.5 and self.cpu > 1.1 * self.threads * self.wall:
            busy = f"{self.cpu / self.wall:.2f} CPUs were busy"
            raise RuntimeError(f"the limit of {self.threads} threads is not in force: {busy}")
        return times

    def prepared(self) -> list[tuple[Any, Any]]:
        """Batches of images and labels on the device, up to PREPARED_BATCHES of them."""
        form = self.batch_size, self.dtype
        if form not in self.batches:
            stops = range(self.batch_size, len(self.images) + 1, self.batch_size)
            parts = [slice(stop - self.batch_size, stop) for stop in stops[:PREPARED_BATCHES]]
            self.batches[form] = [
                self.trainer.put(data.preprocess(self.images[part]), self.labels[part])
                for part in parts
            ]
        return self.batches[form]

    def training_set(self) -> tuple[Any, Any]:
        """All training images and labels, on the device."""
        if self.dtype not in self.whole:
            self.whole[self.dtype] = self.trainer.put(data.preprocess(self.images), self.labels)
        return self.whole[self.dtype]

    def some(self, batches: int) -> tuple[Any, Any]:
        """The images and labels of the first batches, on the device."""
        part = slice(batches * self.batch_size)
        return self.trainer.put(data.preprocess(self.images[part]), self.labels[part])

    def misread(self) -> list[list[int]]:
        """[image, label, answer] of each test image whose largest logit is not the right one.

        Computed in NumPy. The last batch is filled up, so that no other shape has to be compiled.
        """
        size, total = self.batch_size, len(self.test_images)
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
    """The machine and the Python of this process, under pytest-benchmark's names."""
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


def settings() -> dict[str, str]:
    """Environment variables that are set and change what is measured."""
    return {name: value for name, value in sorted(os.environ.items()) if is_knob(name)}


def is_knob(name: str) -> bool:
    """Whether an environment variable changes what is measured."""
    return name in KNOBS or name.startswith(ALLOCATOR)


def bind(threads: int) -> list[int]:
    """Bind this process to the CPUs for `threads` threads; returns the numbers of those in use."""
    cpus.keep_inherited()
    return cpus.bind(cpus.share(threads)[0])


def serve(channel: Any) -> None:
    """Answer requests until the channel closes."""
    worker = Worker()
    for method, arguments in channel:
        try:
            reply: tuple[Any, ...] = ("ok", getattr(worker, method)(*arguments))
        except Exception as error:  # the controller decides what to do with it
            reply = ("error", type(error).__name__, traceback.format_exc())
        channel.send(reply)
