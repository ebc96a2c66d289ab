"""What the suite must know about each operation that can be timed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# A sample is a burst of calls of about this length, after a warm-up. Longer bursts are no less
# noisy, because disturbances last longer still. More bursts are better (docs/measured.md).
BURST_SECONDS = 0.010
WARM_UP_SECONDS = 0.006


class Operation:
    """An operation whose samples are bursts of many calls, each on another prepared batch.

    `name` is part of test ids. `title` is its name in sentences. `counted` is its plural in
    reports. `questions` of `parity.observe` are asked in every block before anything is timed, and
    `once` in the first block, of a trainer with plain SGD. If time is short, rows of the highest
    `rank` are dropped first; the pair's rows of rank 0 are never dropped. A wrong test accuracy
    voids an operation that `learns`. `for_all` is whether every implementation is timed by default,
    or the pair alone.
    """

    name: str
    title: str
    counted: str
    rank: int
    questions: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    learns = False
    for_all = True
    # Whether it is timed without --operation.
    by_default = True
    # Whether --quick times it.
    at_a_glance = True
    # Networks by default, and batch sizes that replace those of the session; empty means all
    # networks, and the batch sizes of the session.
    networks: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    # Whether a block has one sample, of one call.
    whole = False
    # Rounds in a block, where --rounds asks for more.
    most_rounds = 10**6
    # Whether the first block writes files that later blocks load, beside its first call.
    exports = False

    def call(self, trainer: Any, images: Any, labels: Any) -> Any:
        """Run it once, on a batch that is on the device."""
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

        `counted` is the increase of the counters per call (`counters.Counters.read`).
        """
        worker.trainer.reset()
        call = self.bind(worker)
        # Caches are cold, and the threads of the previous worker may still be spinning.
        worker.clock(call, max(1, round(iterations * WARM_UP_SECONDS / BURST_SECONDS)))
        wall, cpu, counted = worker.counted(lambda: worker.clock(call, iterations), iterations)
        worker.limited((wall, cpu), iterations)
        return {"seconds": wall, "cpu_seconds": cpu, "counted": counted}

    def images(self, batch_size: int, training_set: int) -> int:
        """How many images a call computes with."""
        return batch_size

    def cpus(self, own: list[int]) -> list[int]:
        """The CPUs that it keeps busy, if its worker is bound to `own`."""
        return own

    def estimate(self, rounds: int) -> float:
        """Rough seconds of one contestant in a block, with its checks, on two cores."""
        return 0.6 + (WARM_UP_SECONDS + BURST_SECONDS) * rounds
