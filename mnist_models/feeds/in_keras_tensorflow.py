"""How Keras's users feed a network that computes with TensorFlow."""

from functools import partial

import numpy as np
import tensorflow as tf

from mnist_models.feeds import SHIFT, Feed, Part, in_keras, shifted
from mnist_models.feeds.in_keras import train


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


def grain(part: Part):
    from grain import MapDataset

    def load(place):
        images, shifts = part.images[place, np.newaxis], part.shifts[place, np.newaxis]
        return shifted(images, shifts)[0], part.labels[place]

    return MapDataset.source(part.order).map(load).batch(part.batch_size)


FEEDS = {
    "tf.data": Feed(tf_data, train),
    "tf.data_batched": Feed(partial(tf_data, whole_batches=True), train),
    **in_keras.FEEDS,
    "grain": Feed(grain, train, ("grain",)),
}
