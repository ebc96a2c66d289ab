"""What can be timed: one object for each operation, with all that the suite must know of it.

A new operation is a new object here, and a test in benchmarks/test_<name>.py.
"""

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_models import parity, profiles, weights
from mnist_models.feeding import FED, Feeding
from mnist_models.leaks import BETWEEN, STEPS, kept, leaks
from mnist_models.parallel import PROVED, Parallel
from mnist_models.shipping import Shipping
from mnist_models.start import PROTOCOL as START_PROTOCOL
from mnist_models.start import start

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# A sample is a burst of calls that lasts about so long, after a warm-up. Longer ones are no less
# noisy, because what disturbs them lasts longer still: more of them tell more (docs/measured.md).
BURST_SECONDS = 0.010
WARM_UP_SECONDS = 0.006
# Predictions that are clocked one by one in a sample: 4,000 in a block of 40 rounds.
CLOCKED = 100


class Operation:
    """An operation whose samples are bursts of many calls, each on another prepared batch.

    `name` is part of test ids. `title` is its name in sentences. A report counts `counted` of them.
    `questions` of `parity.observe` are asked in every block before anything is timed, and `once`
    in the first block, of a trainer with plain SGD. The higher the `rank`, the sooner a row is
    dropped when time is short; of the pair, rank 0 never is. A wrong test accuracy voids what
    `learns`. `for_all` tells whether every implementation is timed, or by default the pair alone.
    """

    name: str
    title: str
    counted: str
    rank: int
    questions: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    learns = False
    for_all = True
    # Whether it is timed where nobody asks for it with --operation.
    by_default = True
    # Whether --quick times it.
    at_a_glance = True
    # What it is timed on where nobody asks for others; empty means all networks, and the batch
    # sizes of the session.
    networks: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    # Whether a block has one sample, of one call, on the whole training set.
    whole = False

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """Do it once, on a batch that is on the device."""
        raise NotImplementedError

    def bind(self, worker: "Worker") -> Callable[[int], Any]:
        """The operation as a function of a counter that walks over the prepared batches."""
        trainer, batches, call = worker.trainer, worker.prepared(), self.call
        count = len(batches)
        return lambda i: call(trainer, *batches[i % count])

    def first_call(self, worker: "Worker") -> float:
        """Seconds of the first call: tracing, compiling, allocating."""
        return worker.clock(self.bind(worker), 1)[0]

    def iterations(self, worker: "Worker") -> int:
        """How many calls make a burst of about BURST_SECONDS."""
        call, iterations = self.bind(worker), 1
        while (seconds := worker.clock(call, iterations)[0]) * iterations < WARM_UP_SECONDS:
            iterations *= 2
        return max(1, round(BURST_SECONDS / seconds))

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Wall and CPU seconds per call, as `seconds` and `cpu_seconds`, after a fresh reset.

        `counted` is what the process did meanwhile, per call (`counters.Counters.read`).
        """
        worker.trainer.reset()
        call = self.bind(worker)
        # Caches are cold, and the threads of the worker before may still be spinning.
        worker.clock(call, max(1, round(iterations * WARM_UP_SECONDS / BURST_SECONDS)))
        wall, cpu, counted = worker.counted(lambda: worker.clock(call, iterations), iterations)
        worker.limited((wall, cpu), iterations)
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted}

    def images(self, batch_size: int, training_set: int) -> int:
        """How many images a call computes with."""
        return training_set if self.whole else batch_size

    def estimate(self, rounds: int) -> float:
        """Seconds that a block takes of one contestant on two cores, very roughly."""
        return 0.5 + 0.05 * rounds


class Forward(Operation):
    """The forward pass: a batch of images to its logits."""

    name, title, counted, rank = "forward", "forward pass", "passes", 1
    questions = ("forward",)

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """The logits."""
        return trainer.forward(images)


class TrainStep(Operation):
    """The training step: forward, loss, backward and update."""

    name, title, counted, rank = "train_step", "training step", "steps", 0
    questions, once = ("train_step",), ("gradients",)
    learns = True

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """The loss."""
        return trainer.train_step(images, labels)


class Epoch(Operation):
    """The epoch: every training image once, in the shared order, from the starting weights."""

    name, title, counted, rank = "epoch", "epoch", "epochs", 2
    questions = ("epoch",)
    learns = whole = True
    for_all = False

    def first_call(self, worker: "Worker") -> float:
        """As for others, on two whole batches and the last partial one: its shape is then known."""
        part = parity.part(self.name, 2, worker.batch_size, len(worker.images))
        (seconds, _), _ = worker.run_epoch(np.arange(part.stop))
        return seconds

    def iterations(self, worker: "Worker") -> int:
        """One call is a sample."""
        return 1

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds until the last step's weights are there, and what it learned.

        `returned_seconds` end when the call has come back. `misread` has [image, label, answer] of
        every test image that it misread.
        """
        worker.trainer.reset()
        order, returned = weights.order(len(worker.images), worker.seed), 0.0

        def run() -> tuple[float, float]:
            nonlocal returned
            trained, returned = worker.run_epoch(order)
            return trained

        seconds, cpu, counted = worker.counted(run, 1)
        worker.limited((seconds, cpu), 1)
        misread = worker.misread()
        return {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "counted": counted,
            "returned_seconds": returned,
            "returns_late": getattr(worker.trainer, "returns_late", ""),
            "accuracy": (len(worker.test_labels) - len(misread)) / len(worker.test_labels),
            "misread": misread,
        }

    def estimate(self, rounds: int) -> float:
        """One epoch in a block."""
        return 4.0


class Latency(Operation):
    """One prediction: the forward pass of one image, with how its slowest calls do.

    The time of a sample is the mean of a burst, as everywhere. Then CLOCKED calls are clocked one
    by one, of everybody as many: the slowest of more calls is slower.
    """

    name, title, counted, rank = "latency", "one prediction", "predictions", 3
    questions = ("forward",)
    for_all = at_a_glance = False
    networks, batch_sizes = ("mlp", "lenet5"), (1,)

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """The logits."""
        return trainer.forward(images)

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """As for others; `latencies` are the seconds of each of CLOCKED further calls."""
        found = super().sample(worker, iterations)
        call = self.bind(worker)

        def seconds(number: int) -> float:
            return worker.clock(lambda _: call(number), 1)[0]

        return found | {"latencies": [round(seconds(i), 8) for i in range(CLOCKED)]}


class Startup(Operation):
    """The start: from starting a process to its first training step.

    What takes long is importing, building, tracing and compiling. The framework's files and their
    bytecode are in the file cache, because another process was started before.
    """

    name, title, counted, rank = "startup", "start", "starts", 3
    questions = ("forward",)
    whole = True
    for_all = at_a_glance = False
    networks = ("mlp",)

    def first_call(self, worker: "Worker") -> float:
        """Start a process untimed, which caches all files; seconds of its first step alone."""
        moments = start(*worker.own()).moments
        return moments["stepped"] - moments["built"]

    def iterations(self, worker: "Worker") -> int:
        """One start is a sample."""
        return 1

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds from starting a process to the end of its first training step."""
        found = start(*worker.own())
        return {
            "seconds": found.moments["stepped"],
            "cpu_seconds": found.cpu_seconds,
            "counted": {},
            "start": found.moments | {"protocol": START_PROTOCOL},
        }

    def images(self, batch_size: int, training_set: int) -> int:
        """None: what a start takes has little to do with images."""
        return 0

    def estimate(self, rounds: int) -> float:
        """One start in a block."""
        return 5.0


class Deploy(Operation):
    """Shipping: exported to a file, loaded by a runtime, answering like the network it was.

    Its time is that of saving and loading in the framework's own format; every other route has
    figures of its own. The first block exports; later ones load the same files in new processes.
    """

    name, title, counted, rank = "deploy", "saving and loading", "times", 3
    questions = ("forward",)
    whole = True
    for_all = by_default = at_a_glance = False
    networks = ("mlp", "lenet5")
    shipping: Shipping

    def first_call(self, worker: "Worker") -> float:
        """Export whatever no earlier block did; seconds of the framework's own format."""
        self.shipping = Shipping(worker)
        return self.shipping.export()

    def iterations(self, worker: "Worker") -> int:
        """Once a block."""
        return 1

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds of saving and loading; `routes` has what was found of each."""
        wall, cpu, counted = worker.counted(self.shipping.round_trip, 1)
        routes = {name: self.shipping.found(name) for name in self.shipping.routes}
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted, "routes": routes}

    def images(self, batch_size: int, training_set: int) -> int:
        """None: it is a file that is moved."""
        return 0

    def estimate(self, rounds: int) -> float:
        """Some runtimes take seconds to load."""
        return 10.0


class Feed(Operation):
    """Feeding: an epoch of training on images that are shuffled and shifted as they come.

    Its time is that of the framework's usual way; every other way has figures of its own.
    """

    name, title, counted, rank = "feed", "training with its feeding", "epochs", 3
    questions = ("train_step",)
    whole = True
    for_all = by_default = at_a_glance = False
    networks = ("mlp",)
    feeding: Feeding

    def first_call(self, worker: "Worker") -> float:
        """Make the usual way and prove it; seconds of its first epoch of training."""
        self.feeding = Feeding(worker)
        self.feeding.prepare(self.feeding.usual)
        return self.feeding.training(self.feeding.usual)[0]

    def iterations(self, worker: "Worker") -> int:
        """One epoch is a sample."""
        return 1

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds of the usual way's epoch; `feeds` has what was found of each way."""
        usual = self.feeding.usual
        wall, cpu, counted = worker.counted(lambda: self.feeding.training(usual), 1)
        found = {usual: self.feeding.figures(usual, wall)}
        found |= {name: self.feeding.found(name) for name in self.feeding.ways if name != usual}
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted, "feeds": found}

    def images(self, batch_size: int, training_set: int) -> int:
        """So many as an epoch feeds."""
        return min(FED, training_set)

    def estimate(self, rounds: int) -> float:
        """Each way feeds four epochs."""
        return 15.0


class Leak(Operation):
    """What stays behind: memory, threads and open files that calls keep when they are over.

    Its time is that of a training step, over all of them.
    """

    name, title, counted, rank = "leak", "repeated calls", "steps", 3
    questions = ("train_step",)
    whole = True
    for_all = by_default = at_a_glance = False
    networks = ("mlp",)

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """A training step."""
        return trainer.train_step(images, labels)

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds of a step, of STEPS; `leaks` has what each call keeps, by the call's name."""
        worker.trainer.reset()
        step, times = self.bind(worker), []
        # What is there already is of no interest, and would be looked through at every collection.
        gc.collect()
        gc.freeze()
        found: dict[str, Any] = {}

        def steps() -> tuple[float, float]:
            some = lambda: times.append(worker.clock(step, BETWEEN))  # noqa: E731
            found["steps"] = kept(some, STEPS // BETWEEN, BETWEEN)
            wall, cpu = np.mean(times, axis=0)
            return float(wall), float(cpu)

        wall, cpu, counted = worker.counted(steps, STEPS)
        found |= leaks(worker)
        gc.unfreeze()
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted, "leaks": found}

    def images(self, batch_size: int, training_set: int) -> int:
        """A step takes a batch."""
        return batch_size

    def estimate(self, rounds: int) -> float:
        """Steps, and 150 calls."""
        return 20.0


class Parts(Operation):
    """Where a training step goes: forward, backward, optimiser, and the rest.

    Told twice, by subtraction and by the framework's profiler. Its time is that of the whole step.
    """

    name, title, counted, rank = "parts", "training step, taken apart", "steps", 3
    questions = ("train_step",)
    whole = True
    for_all = by_default = at_a_glance = False

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """The loss."""
        return trainer.train_step(images, labels)

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """As for others; `parts` are seconds `subtracted` and `profiled`, and the `kernels`."""
        iterations = self.iterations(worker)
        found = super().sample(worker, iterations)
        parts = {"subtracted": profiles.subtracted(worker, iterations)}
        told, kernels = profiles.profiled(worker)
        return found | {"parts": parts | {"profiled": told, "kernels": kernels}}

    def images(self, batch_size: int, training_set: int) -> int:
        """A step takes a batch."""
        return batch_size

    def estimate(self, rounds: int) -> float:
        """All stages in turns, and the profiler."""
        return 6.0


class DataParallel(Operation):
    """Training on several devices with the same global batch, each with its part of it.

    Its time is that of a step on two devices. Every number of devices has figures of its own, and
    must compute what one device computes with the whole batch.
    """

    name, title, counted, rank = "data_parallel", "training step on two devices", "steps", 3
    questions = ("train_step",)
    whole = True
    by_default = at_a_glance = False
    networks = ("mlp", "lenet5", "resnet")
    parallel: Parallel

    def first_call(self, worker: "Worker") -> float:
        """Start a group of two untimed, which fills caches; seconds of it all."""
        self.parallel = Parallel(worker)
        return worker.clock(lambda _: self.parallel.run(2, "float32", PROVED), 1)[0]

    def iterations(self, worker: "Worker") -> int:
        """One group is a sample."""
        return 1

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds of a step on two devices; `devices` has what was found of each number."""
        counts = sorted({1, 2, self.parallel.most})
        found = {str(count): self.parallel.found(count) for count in counts}
        seconds = found["2"]["seconds"]
        return {"seconds": seconds, "cpu_seconds": 2 * seconds, "counted": {}, "devices": found}

    def images(self, batch_size: int, training_set: int) -> int:
        """A step takes a batch."""
        return batch_size

    def estimate(self, rounds: int) -> float:
        """Five groups start, compile and train."""
        return 25.0


FORWARD, TRAIN_STEP, EPOCH = Forward(), TrainStep(), Epoch()
LATENCY, STARTUP, DEPLOY = Latency(), Startup(), Deploy()
FEED, LEAK, PARTS, DATA_PARALLEL = Feed(), Leak(), Parts(), DataParallel()
OPERATIONS: dict[str, Operation] = {
    each.name: each
    for each in (
        *(FORWARD, TRAIN_STEP, EPOCH, LATENCY, STARTUP),
        *(DEPLOY, FEED, LEAK, PARTS, DATA_PARALLEL),
    )
}
