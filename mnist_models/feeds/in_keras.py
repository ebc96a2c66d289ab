"""How Keras's users feed a network that computes with TensorFlow."""

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil

import keras
import numpy as np
import tensorflow as tf

from mnist_models.feeds import SHIFT, Feed, Part, shifted


def shift_image(image, shift):
    padded = tf.pad(image, [[SHIFT, SHIFT], [SHIFT, SHIFT]])
    moved = tf.slice(padded, SHIFT - shift, [28, 28])
    return tf.cast(moved, tf.float32)[..., tf.newaxis] / 255


def shift_images(images, shifts):
    padded = tf.pad(images, [[0, 0], [SHIFT, SHIFT], [SHIFT, SHIFT]])
    starts, along = SHIFT - shifts, tf.range(28, dtype=tf.int64)
    rows = tf.gather(padded, starts[:, :1] + along, axis=1, batch_dims=1)
    moved = tf.gather(rows, starts[:, 1:] + along, axis=2, batch_dims=1)
    return tf.cast(moved, tf.float32)[..., tf.newaxis] / 255


def tf_data(part: Part, whole_batches: bool = False) -> tf.data.Dataset:
    images, labels, shifts = map(tf.constant, (part.images, part.labels, part.shifts))
    shift = shift_images if whole_batches else shift_image

    def load(place):
        return shift(tf.gather(images, place), tf.gather(shifts, place)), tf.gather(labels, place)

    order = tf.data.Dataset.from_tensor_slices(part.order)
    if whole_batches:
        found = order.batch(part.batch_size).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    else:
        found = order.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(part.batch_size)
    return found.prefetch(tf.data.AUTOTUNE)


class Batches(keras.utils.PyDataset):
    """Whole batches, by NumPy."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part

    def __len__(self) -> int:
        return ceil(len(self.part.order) / self.part.batch_size)

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


def grain(part: Part):
    from grain import MapDataset

    def load(place):
        images, shifts = part.images[place, np.newaxis], part.shifts[place, np.newaxis]
        return shifted(images, shifts)[0], part.labels[place]

    return MapDataset.source(part.order).map(load).batch(part.batch_size)


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
    "tf.data": Feed(tf_data, train),
    "tf.data_batched": Feed(partial(tf_data, whole_batches=True), train),
    "PyDataset": Feed(Batches, train),
    "arrays": Feed(Arrays, train_on_arrays),
    "grain": Feed(grain, train, ("grain",)),
}
