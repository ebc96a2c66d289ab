"""Training and its forward pass, which are timed by default on all networks."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_models import parity, weights
from mnist_models.operations.operation import Operation

if TYPE_CHECKING:
    from mnist_models.worker import Worker


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
        """Seconds of a first call on two whole batches and the last partial one, for its shape."""
        part = parity.part(self.name, 2, worker.batch_size, len(worker.images))
        (seconds, _), _ = worker.run_epoch(np.arange(part.stop))
        return seconds

    def sample(self, worker: "Worker", iterations: int) -> dict[str, Any]:
        """Seconds until the last step's weights are there, and the accuracy.

        `returned_seconds` end when the call returns. `misread` has [image, label, answer] of every
        test image that it misread.
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

    def images(self, batch_size: int, training_set: int) -> int:
        """All images of the training set."""
        return training_set

    def estimate(self, rounds: int) -> float:
        """Rough seconds of one epoch in a block."""
        return 4.0
