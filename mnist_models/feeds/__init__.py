"""Ways to feed training: the same images, shuffled and shifted, batch by batch.

Importing this imports no framework. in_keras.py has the ways of Keras on any backend,
in_keras_tensorflow.py those with TensorFlow, and in_pytorch.py those of PyTorch.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_models import data
from mnist_models.implementations import not_installed

FILES = {
    "keras_tensorflow": "in_keras_tensorflow",
    "keras_jax": "in_keras",
    "keras_torch": "in_keras",
    "pytorch_eager": "in_pytorch",
}
# The largest shift of an image in each direction, in pixels; new pixels are black.
SHIFT = 2
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """What an epoch feeds: raw `images` (n, 28, 28), `labels` (n,), their shifts and their order.

    `order` (n,) has the index of each image in turn. `shifts` (n, 2) are the pixels, down and to
    the right, by which each image moves.
    """

    images: Images
    labels: Images
    shifts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    batch_size: int


@dataclass(frozen=True)
class Feed:
    """One way to feed.

    `make` prepares it once for all epochs. Each iteration over its result is an epoch of (images,
    labels). `train` trains a trainer for such an epoch, and calls its third argument right after
    the last step. `needs` are packages. `alone` is whether such an iteration, without training,
    does what `train` does: Keras starts the threads of a `PyDataset` in `fit` alone.
    """

    make: Callable[[Part], Iterable[tuple[Any, Any]]]
    train: Callable[[Any, Any, Callable[[], None]], None]
    needs: tuple[str, ...] = ()
    alone: bool = True

    def missing(self) -> str:
        """What is not installed, as text; empty if nothing is missing."""
        return not_installed(self.needs, "feed")


def feeds(implementation: str) -> dict[str, Feed]:
    """The ways of an implementation by name, the usual one first; most have none."""
    if implementation not in FILES:
        return {}
    found: dict[str, Feed] = import_module(f"{__name__}.{FILES[implementation]}").FEEDS
    return found


def part(images: Images, labels: Images, batch_size: int, seed: int) -> Part:
    """All of `images` in a random order, each with a shift of its own."""
    random = np.random.Generator(np.random.PCG64((seed, len(images))))
    shifts = random.integers(-SHIFT, SHIFT, (len(images), 2), endpoint=True)
    return Part(images, labels, shifts, random.permutation(len(images)), batch_size)


def shifted(images: Images, shifts: npt.NDArray[np.int64]) -> np.ndarray:
    """Each of raw images (n, 28, 28) moved by its shift: float32 (n, 28, 28, 1) within [0, 1]."""
    margin = SHIFT, SHIFT
    padded = np.pad(images, ((0, 0), margin, margin))
    starts = SHIFT - shifts
    along = np.arange(images.shape[1])
    rows = starts[:, 0, np.newaxis] + along
    columns = starts[:, 1, np.newaxis] + along
    each = np.arange(len(images))[:, np.newaxis, np.newaxis]
    return data.preprocess(padded[each, rows[:, :, np.newaxis], columns[:, np.newaxis, :]])
