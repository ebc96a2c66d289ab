"""What can be timed: what the suite must know of each operation."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# A sample is a burst of calls that lasts about so long, after a warm-up. Longer ones are no less
# noisy, because what disturbs them lasts longer still: more of them tell more (docs/measured.md).
BURST_SECONDS = 0.010
WARM_UP_SECONDS = 0.006


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
    # Whether a block has one sample, of one call.
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
        return batch_size

    def estimate(self, rounds: int) -> float:
        """Seconds that a block takes of one contestant with its checks, about, on two cores."""
        return 0.6 + (WARM_UP_SECONDS + BURST_SECONDS) * rounds
