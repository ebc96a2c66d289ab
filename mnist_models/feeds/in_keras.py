"""How Keras's users feed a network, whatever it computes with."""

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil

import keras
import numpy as np

from mnist_models.feeds import Feed, Part, shifted


class Batches(keras.utils.PyDataset):
    """Whole batches, by NumPy."""

    def __init__(self, part: Part, workers: int = 1) -> None:
        super().__init__(workers=workers)
        self.part = part

    def __len__(self) -> int:
        return ceil(len(self.part.order) / self.part.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # Older Keras has none, and Python would go on after the last batch.
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        size = self.part.batch_size
        batch = self.part.order[index * size : (index + 1) * size]
        return shifted(self.part.images[batch], self.part.shifts[batch]), self.part.labels[batch]


class Arrays:
    """All images at once, by NumPy, and slices of them."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        order = self.part.order
        return shifted(self.part.images[order], self.part.shifts[order]), self.part.labels[order]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        images, labels = self.whole()
        for start in range(0, len(images), self.part.batch_size):
            batch = slice(start, start + self.part.batch_size)
            yield images[batch], labels[batch]


def train(trainer, feed, trained: Callable[[], None]) -> None:
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained())
    trainer.model.fit(feed, shuffle=False, verbose=0, callbacks=[after])


def train_on_arrays(trainer, feed: Arrays, trained: Callable[[], None]) -> None:
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained())
    images, labels = feed.whole()
    trainer.model.fit(
        images,
        labels,
        batch_size=feed.part.batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[after],
    )


FEEDS = {
    "PyDataset": Feed(Batches, train),
    "PyDataset_2_threads": Feed(partial(Batches, workers=2), train, alone=False),
    "arrays": Feed(Arrays, train_on_arrays),
}
