"""The reference's layers by hand: each remembers its input going forward and uses it going back.

`forward` takes a batch of inputs to outputs; `backward` takes the gradient of the loss with respect
to the outputs to that with respect to the inputs, and leaves those of the weights in `gradients`.
Images are (n, height, width, channels).
"""

from collections.abc import Iterator
from math import prod, sqrt
from typing import NamedTuple

import numpy as np


class Weight(NamedTuple):
    """One weight of a layer: its shape, and where training starts.

    Starting values are uniform in `centre` ± `spread`. A weight that is not `trained` is state,
    such as a running mean. `grid` is the (height, width, channels) that a dense kernel's inputs
    were flattened from: who lays channels out first needs it.
    """

    shape: tuple[int, ...]
    spread: float
    centre: float = 0.0
    trained: bool = True
    grid: tuple[int, int, int] | None = None


def kernel_and_bias(
    shape: tuple[int, ...], grid: tuple[int, int, int] | None = None
) -> dict[str, Weight]:
    """The weights of a layer with a kernel of `shape`, inputs before outputs.

    The kernel has the variance 2 / fan-in (He et al., "Delving Deep into Rectifiers", 2015). The
    bias is not zero, so that a bias left out is seen at once. Neither is a framework's default.
    """
    fan_in = prod(shape[:-1])
    return {
        "kernel": Weight(shape, sqrt(6 / fan_in), grid=grid),
        "bias": Weight(shape[-1:], 1 / sqrt(fan_in)),
    }


class Layer:
    """A layer without weights; `flops` are those of its matrix products, for one image."""

    flops = 0

    def __init__(self) -> None:
        self.weights: dict[str, Weight] = {}
        self.gradients: dict[str, np.ndarray] = {}
        self.layers: dict[str, Layer] = {}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        raise NotImplementedError

    def backward(self, delta: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Sequential(Layer):
    """Layers by name, one after the other."""

    def __init__(self, **layers: Layer) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        for layer in self.layers.values():
            x = layer.forward(x, training)
        return x

    def backward(self, delta: np.ndarray) -> np.ndarray:
        for layer in reversed(self.layers.values()):
            delta = layer.backward(delta)
        return delta


def leaves(layer: Layer, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield the layers that are made of no other ones, with names such as "block1_conv1"."""
    for name, inner in layer.layers.items():
        if inner.layers:
            yield from leaves(inner, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", inner


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.positive = x > 0
        return x * self.positive

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta * self.positive


class Flatten(Layer):
    """(n, height, width, channels) to (n, height · width · channels)."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta.reshape(self.shape)


class MaxPool(Layer):
    """The largest of each non-overlapping square; the first where several are equal."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        n, height, width, channels = x.shape
        rows, columns, size = height // self.size, width // self.size, self.size
        x = x[:, : rows * size, : columns * size]
        squares = x.reshape(n, rows, size, columns, size, channels).transpose(0, 1, 3, 5, 2, 4)
        squares = squares.reshape(n, rows, columns, channels, size * size)
        self.shape, self.winner = (n, height, width, channels), squares.argmax(axis=-1)[..., None]
        return np.take_along_axis(squares, self.winner, axis=-1)[..., 0]

    def backward(self, delta: np.ndarray) -> np.ndarray:
        n, rows, columns, channels = delta.shape
        size = self.size
        squares = np.zeros((*delta.shape, size * size), delta.dtype)
        np.put_along_axis(squares, self.winner, delta[..., None], axis=-1)
        squares = squares.reshape(n, rows, columns, channels, size, size)
        gradient = np.zeros(self.shape, delta.dtype)
        gradient[:, : rows * size, : columns * size] = squares.transpose(0, 1, 4, 2, 5, 3).reshape(
            n, rows * size, columns * size, channels
        )
        return gradient


class Dense(Layer):
    """x @ kernel + bias.

    `inputs` is their number, or the (height, width, channels) that were flattened before.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __init__(self, inputs: int | tuple[int, int, int], units: int) -> None:
        super().__init__()
        if isinstance(inputs, int):
            self.weights = kernel_and_bias((inputs, units))
        else:
            self.weights = kernel_and_bias((prod(inputs), units), inputs)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.x = x
        self.flops = 2 * x[0, ..., 0].size * self.kernel.size
        return x @ self.kernel + self.bias

    def backward(self, delta: np.ndarray) -> np.ndarray:
        self.gradients = {"kernel": self.x.T @ delta, "bias": delta.sum(axis=0)}
        return delta @ self.kernel.T


class Convolution(Layer):
    """Cross-correlation of stride 1, zero-padded, as a matrix product over all patches.

    The kernel is a square of `size` pixels, the border `padding` pixels wide.
    """

    kernel: np.ndarray
    bias: np.ndarray | float = 0.0

    def __init__(
        self, channels: int, filters: int, size: int, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__()
        self.weights = kernel_and_bias((size, size, channels, filters))
        if not bias:
            del self.weights["bias"]
        self.margin = ((0, 0), (padding, padding), (padding, padding), (0, 0))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        x = np.pad(x, self.margin)
        size, _, channels, filters = self.kernel.shape
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
        n, rows, columns = windows.shape[:3]
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * channels)
        self.padded, self.patches = x.shape, patches
        self.flops = 2 * rows * columns * self.kernel.size
        product = patches @ self.kernel.reshape(-1, filters) + self.bias
        return product.reshape(n, rows, columns, filters)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        size, _, _, filters = self.kernel.shape
        _, rows, columns, _ = delta.shape
        flat = delta.reshape(-1, filters)
        kernel = (self.patches.T @ flat).reshape(self.kernel.shape)
        gradients = {"kernel": kernel, "bias": flat.sum(axis=0)}
        self.gradients = {key: gradients[key] for key in self.weights}
        padded = np.zeros(self.padded, delta.dtype)
        for i, j in np.ndindex(size, size):
            padded[:, i : i + rows, j : j + columns] += delta @ self.kernel[i, j].T
        _, top, left, _ = (low for low, _ in self.margin)
        return padded[:, top : self.padded[1] - top, left : self.padded[2] - left]


class BatchNormalization(Layer):
    """Each channel with mean 0 and variance 1, then scaled by gamma and shifted by beta.

    Training takes mean and variance from the batch, and moves the running ones, of which it keeps
    the share `keep`. Inference takes the running ones. Source: Ioffe and Szegedy, "Batch
    Normalization" (2015), algorithms 1 and 2, with the biased variance throughout.
    """

    gamma: np.ndarray
    beta: np.ndarray
    moving_mean: np.ndarray
    moving_variance: np.ndarray

    def __init__(self, channels: int, keep: float, epsilon: float) -> None:
        super().__init__()
        self.keep, self.epsilon = keep, epsilon
        self.weights = {
            "gamma": Weight((channels,), 0.1, centre=1.0),
            "beta": Weight((channels,), 0.1),
            "moving_mean": Weight((channels,), 0.1, trained=False),
            "moving_variance": Weight((channels,), 0.1, centre=1.0, trained=False),
        }

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            self.axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(self.axes), x.var(self.axes)
            self.moving_mean = self.keep * self.moving_mean + (1 - self.keep) * mean
            self.moving_variance = self.keep * self.moving_variance + (1 - self.keep) * variance
        self.scale = 1 / np.sqrt(variance + self.epsilon)
        self.normal = (x - mean) * self.scale
        return self.gamma * self.normal + self.beta

    def backward(self, delta: np.ndarray) -> np.ndarray:
        gamma, beta = (delta * self.normal).sum(self.axes), delta.sum(self.axes)
        self.gradients = {"gamma": gamma, "beta": beta}
        count = delta.size // len(beta)
        return self.gamma * self.scale * (delta - (beta + self.normal * gamma) / count)
