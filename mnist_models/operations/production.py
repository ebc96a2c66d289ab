"""From import to production: starts, single predictions, shipping, feeding, leaks, and parts."""

import gc
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_models import cpus, profiles
from mnist_models.feeding import FED, Feeding
from mnist_models.implementations import Unavailable
from mnist_models.leaks import BETWEEN, STEPS, kept, leaks
from mnist_models.neighbour import beside, neighbour
from mnist_models.operations.operation import Operation
from mnist_models.parallel import MOST, Parallel
from mnist_models.shipping import Shipping
from mnist_models.start import PROTOCOL as START_PROTOCOL
from mnist_models.start import start

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# Predictions that are timed one by one in a sample, and samples in a block: 4,000 together.
CLOCKED, SAMPLES = 400, 10
# The keys of a sample's lists of latencies, and of their quantiles in a saved run.
LATENCIES = {"latencies": "latency_seconds", "busy_latencies": "latency_busy_seconds"}


class Latency(Operation):
    """One prediction: the forward pass of one image, and its slowest calls.

    The time of a sample is the mean of a burst, as for other operations. Then CLOCKED calls are
    timed one by one. Their number is the same for all, because the slowest of more calls is slower.
    Then as many are timed while another process copies memory on another CPU.
    """

    name, title, counted, rank = "latency", "one prediction", "predictions", 3
    questions = ("forward",)
    for_all = at_a_glance = False
    networks, batch_sizes = ("mlp", "lenet5"), (1,)
    most_rounds = SAMPLES

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """The logits."""
        return trainer.forward(images)

    def cpus(self, own: list[int]) -> list[int]:
        """The worker's, and its neighbour's."""
        busy = beside(own)
        return own if busy is None else sorted([*own, busy])

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """As for other operations; `latencies` are the seconds of each of CLOCKED further calls.

        `busy_latencies` are those beside a busy neighbour, if there is another CPU.
        """
        found = super().sample(worker, iterations)
        call = self.bind(worker)

        def seconds(number: int) -> float:
            return round(worker.clock(lambda _: call(number), 1)[0], 8)

        def latencies() -> list[float]:
            return [seconds(number) for number in range(CLOCKED)]

        found["latencies"] = latencies()
        with neighbour(worker.cpu_ids) as cpu:
            if cpu is not None:
                found["busy_latencies"] = latencies()
        return found


class Startup(Operation):
    """The start: from starting a process to its first training step.

    Most of it is importing, building, tracing and compiling. The framework's files and their
    bytecode are in the file cache, because another process was started before.
    """

    name, title, counted, rank = "startup", "start", "starts", 3
    questions = ("forward",)
    whole = True
    for_all = at_a_glance = False
    networks = ("mlp",)

    def first_call(self, worker: "Worker") -> float:
        """Start a process untimed, which caches all files; seconds of its first step alone."""
        moments = start(*worker.own(), worker.precision).moments
        return moments["stepped"] - moments["built"]

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds from starting a process to the end of its first training step."""
        found = start(*worker.own(), worker.precision)
        return {
            "seconds": found.moments["stepped"],
            "cpu_seconds": found.cpu_seconds,
            "counted": {},
            "start": found.moments | {"protocol": START_PROTOCOL},
        }

    def images(self, batch_size: int, training_set: int) -> int:
        """0, because the time of a start hardly depends on images."""
        return 0

    def estimate(self, rounds: int) -> float:
        """Rough seconds of one start in a block."""
        return 5.0


class Deploy(Operation):
    """Shipping: export a network to a file, load it with a runtime, and check its answers.

    Its time is that of saving and loading in the framework's own format; every other route has
    separate figures. The first block exports; later ones load the same files in new processes.
    """

    name, title, counted, rank = "deploy", "saving and loading", "times", 3
    questions = ("forward",)
    whole = exports = True
    for_all = by_default = at_a_glance = False
    networks = ("mlp", "lenet5")
    shipping: Shipping

    def first_call(self, worker: "Worker") -> float:
        """Export what no earlier block has exported; seconds of the framework's own format."""
        self.shipping = Shipping(worker)
        return self.shipping.export()

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds of saving and loading; `routes` has the figures of each route."""
        wall, cpu, counted = worker.counted(self.shipping.round_trip, 1)
        routes = {name: self.shipping.found(name) for name in self.shipping.routes}
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted, "routes": routes}

    def images(self, batch_size: int, training_set: int) -> int:
        """0, because only a file is saved and loaded."""
        return 0

    def estimate(self, rounds: int) -> float:
        """Rough seconds; some runtimes take several to load."""
        return 10.0


class Feed(Operation):
    """Feeding: an epoch of training on images that are shuffled and shifted as they come.

    Its time is that of the framework's usual way; every other way has separate figures.
    """

    name, title, counted, rank = "feed", "training with its feeding", "epochs", 3
    questions = ("train_step",)
    whole = True
    for_all = by_default = at_a_glance = False
    networks = ("mlp",)
    feeding: Feeding

    def first_call(self, worker: "Worker") -> float:
        """Make the usual way and check it; seconds of its first epoch of training."""
        self.feeding = Feeding(worker)
        self.feeding.prepare(self.feeding.usual)
        seconds = self.feeding.training(self.feeding.usual)[0]
        self.feeding.expect()
        return seconds

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds of the usual way's epoch; `feeds` has the figures of each way."""
        usual = self.feeding.usual
        wall, cpu, counted = worker.counted(lambda: self.feeding.training(usual), 1)
        found = {usual: self.feeding.figures(usual, wall)}
        found |= {name: self.feeding.found(name) for name in self.feeding.ways if name != usual}
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted, "feeds": found}

    def images(self, batch_size: int, training_set: int) -> int:
        """How many images an epoch feeds."""
        return min(FED, training_set)

    def estimate(self, rounds: int) -> float:
        """Rough seconds; each way feeds four epochs, and the expected images two."""
        return 20.0


class Leak(Operation):
    """What calls leave behind: memory, threads and open files.

    Its time is that of a training step, over all of its training steps.
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
        """Seconds of a step, over STEPS; `leaks` has what each call keeps, by the call's name."""
        worker.trainer.reset()
        step, times = self.bind(worker), []
        # Existing objects do not matter, and every collection would look through them.
        gc.collect()
        gc.freeze()
        found: dict[str, Any] = {}

        def steps() -> tuple[float, float]:
            some = lambda: times.append(worker.clock(step, BETWEEN))  # noqa: E731
            found["steps"] = kept(some, STEPS // BETWEEN, BETWEEN)
            wall, cpu = np.mean(times, axis=0)
            return float(wall), float(cpu)

        try:
            wall, cpu, counted = worker.counted(steps, STEPS)
            found |= leaks(worker)
        finally:
            gc.unfreeze()
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted, "leaks": found}

    def estimate(self, rounds: int) -> float:
        """Rough seconds of the steps, and of 150 calls."""
        return 20.0


class Parts(Operation):
    """The parts of a training step: forward, backward, optimiser, and the rest.

    They are measured by subtraction and by the framework's profiler. The time of the operation is
    that of the whole step.
    """

    name, title, counted, rank = "parts", "training step, taken apart", "steps", 3
    questions = ("train_step",)
    whole = True
    for_all = by_default = at_a_glance = False

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """The loss."""
        return trainer.train_step(images, labels)

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """As for others; `parts` has seconds `subtracted` and `profiled`, and the `kernels`.

        Raises Unavailable on a GPU, whose kernels run after the call that starts them.
        """
        if worker.device != "cpu":
            raise Unavailable("the parts of a step are timed on the CPU alone")
        iterations = self.iterations(worker)
        found = super().sample(worker, iterations)
        parts = {"subtracted": profiles.subtracted(worker, iterations)}
        told, kernels = profiles.profiled(worker)
        return found | {"parts": parts | {"profiled": told, "kernels": kernels}}

    def estimate(self, rounds: int) -> float:
        """Rough seconds of all stages in turns, and of the profiler."""
        return 6.0


class DataParallel(Operation):
    """Training on several devices with the same global batch, each with its part of it.

    Its time is that of a step on two devices. Every number of devices has separate figures, and
    must compute what one device computes with the whole batch.
    """

    name, title, counted, rank = "data_parallel", "training step on two devices", "steps", 3
    questions = ("train_step",)
    whole = True
    by_default = at_a_glance = False
    networks = ("mlp", "lenet5", "resnet")
    parallel: Parallel

    def cpus(self, own: list[int]) -> list[int]:
        """Those of the largest group."""
        return cpus.share(MOST, cpus.inherited())[0]

    def first_call(self, worker: "Worker") -> float:
        """Start a group of two devices, which fills caches; seconds of its whole run."""
        self.parallel = Parallel(worker)
        return worker.clock(lambda _: self.parallel.run(2, ("float32", "")), 1)[0]

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds of a step on two devices; `devices` has the figures of each number."""
        counts = sorted({1, 2, self.parallel.most})
        found = {str(count): self.parallel.found(count) for count in counts}
        seconds = found["2"]["seconds"]
        return {"seconds": seconds, "cpu_seconds": 2 * seconds, "counted": {}, "devices": found}

    def estimate(self, rounds: int) -> float:
        """Rough seconds; two or three groups start, compile and train."""
        return 20.0
