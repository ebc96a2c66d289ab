"""The time to feed images, alone and in an epoch of training; and a check of the images.

Every way is made once. Its first epoch is compared with the expected images, the second one trains
untimed, the third one trains and is timed, and the fourth one is timed alone. The weights after the
timed epoch are compared with those after training on the expected images.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_models import feeds
from mnist_models.implementations import Unavailable, first_line
from mnist_models.parity import worst
from mnist_models.weights import Weights

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# Images of an epoch, if the data set has as many: 100 batches of 128.
FED = 12_800
# Largest difference of a pixel, within [0, 1], because frameworks may divide differently.
BOUND = 1e-6
# Weights after an epoch may differ by this share, or by this multiple of what rounding alone does.
# They are not compared if that is more than MOST: with mlp, two images in each other's place make
# 3 %, and a lost last batch 0.7 %.
LEAST, ROUNDING, MOST = 0.003, 10, 0.01


class Feeding:
    """All ways of a worker's implementation to feed its network."""

    def __init__(self, worker: "Worker") -> None:
        self.worker = worker
        name, *_ = worker.own()
        self.ways = feeds.feeds(name)
        if not self.ways:
            raise Unavailable(f"{name} has no ways to feed")
        raw = worker.images[:FED], worker.labels[:FED]
        self.part = feeds.part(*raw, worker.batch_size, worker.seed)
        order = self.part.order
        self.images = feeds.shifted(self.part.images[order], self.part.shifts[order])
        self.labels = self.part.labels[order]
        self.made: dict[str, Any] = {}
        self.faults: dict[str, int] = {}
        self.usual = next(iter(self.ways))
        # Weights after training on the expected images; none if they are not compared.
        self.expected: Weights = {}
        self.bound = 0.0

    def expect(self) -> None:
        """Train on the expected images; measure how far rounding moves the weights.

        Images of a batch in another order change nothing but the rounding. Where training draws at
        random, or rounding moves the weights too far, weights are not compared.
        """
        if self.worker.network.draws:
            return
        size, count = self.worker.batch_size, len(self.labels)
        batches = np.split(np.arange(count), range(size, count, size))
        found = self.steps(batches)
        rounding = ROUNDING * worst(self.steps([batch[::-1] for batch in batches]), found)
        if rounding <= MOST:
            self.expected, self.bound = found, max(LEAST, rounding)

    def steps(self, batches: Iterable[np.ndarray]) -> Weights:
        """The weights after a training step with each of these batches of expected images."""
        trainer = self.worker.trainer
        trainer.reset()
        for batch in batches:
            trainer.train_step(*trainer.put(self.images[batch], self.labels[batch]))
        found: Weights = trainer.get_weights()
        return found

    def prepare(self, name: str) -> None:
        """Make one way, and compare an epoch of it with the expected images."""
        self.made[name] = self.ways[name].make(self.part)
        self.faults[name] = self.wrong(self.made[name])

    def wrong(self, batches: Iterable[tuple[Any, Any]]) -> int:
        """How many images, or their labels, are not the expected ones at their place."""
        seen = wrong = 0
        for images, labels in batches:
            found = np.asarray(images).reshape(-1, *self.images.shape[1:])
            due = slice(seen, seen + len(found))
            if len(self.labels[due]) < len(found):
                return len(self.labels)
            off = np.abs(found - self.images[due]).max(axis=(1, 2, 3)) > BOUND
            wrong += int((off | (np.asarray(labels) != self.labels[due])).sum())
            seen += len(found)
        return wrong + len(self.labels) - seen

    def alone(self, name: str) -> float:
        """Seconds of an epoch of images without training."""
        iterating = []

        def consume(_: int) -> None:
            # tf.data's iterator takes up to seconds to be deleted, which is no time of an image.
            iterating.append(iter(self.made[name]))
            for _images, _labels in iterating[0]:
                pass

        return self.worker.clock(consume, 1)[0]

    def training(self, name: str) -> tuple[float, float]:
        """Wall and CPU seconds of an epoch of training, from the starting weights."""
        trainer, way = self.worker.trainer, self.ways[name]
        trainer.reset()
        trained, _ = self.worker.trained(lambda done: way.train(trainer, self.made[name], done))
        return trained

    def found(self, name: str) -> dict[str, Any]:
        """Figures of a way that is not the usual one; or why there are none."""
        if reason := self.ways[name].missing():
            return {"missing": reason}
        try:
            self.prepare(name)
            self.training(name)
            return self.figures(name, self.training(name)[0])
        except Exception as error:  # loaders may raise any exception
            return {"missing": f"cannot feed: {first_line(error)}"}
        finally:
            # Ends the processes of a loader.
            self.made.pop(name, None)

    def figures(self, name: str, training: float) -> dict[str, Any]:
        """The figures of a way, given the seconds of its epoch of training, which was the last."""
        compared = {}
        if self.expected:
            off = worst(self.worker.trainer.get_weights(), self.expected)
            compared = {"difference": off, "bound": self.bound}
        return {
            "images": len(self.labels),
            "wrong": self.faults[name],
            "alone_seconds": self.alone(name) if self.ways[name].alone else None,
            "training_seconds": training,
        } | compared
