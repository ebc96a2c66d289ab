"""Convolution and pooling, on images (n, height, width, channels)."""

from collections.abc import Callable

import numpy as np

from mnist_models.numpy_layers.base import Layer, kernel_and_bias


def windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """View squares of `size` pixels, `stride` apart: (n, rows, columns, channels, size, size)."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return view[:, ::stride, ::stride]


class MaxPool(Layer):
    """The largest of each non-overlapping square; the first one if several are equal."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        squares = windows(x, self.size, self.size)
        squares = squares.reshape(*squares.shape[:4], -1)
        self.shape, self.winner = x.shape, squares.argmax(axis=-1)[..., None]
        return np.take_along_axis(squares, self.winner, axis=-1)[..., 0]

    def backward(self, delta: np.ndarray) -> np.ndarray:
        size, (_, rows, columns, _) = self.size, delta.shape
        gradient = np.zeros(self.shape, delta.dtype)
        for place, (i, j) in enumerate(np.ndindex(size, size)):
            won = delta * (self.winner[..., 0] == place)
            gradient[:, i : i + rows * size : size, j : j + columns * size : size] = won
        return gradient


class AveragePool(Layer):
    """The mean of each non-overlapping square."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.shape = x.shape
        return windows(x, self.size, self.size).mean(axis=(-2, -1))

    def backward(self, delta: np.ndarray) -> np.ndarray:
        size, (_, rows, columns, _) = self.size, delta.shape
        gradient = np.zeros(self.shape, delta.dtype)
        shares = np.repeat(np.repeat(delta, size, axis=1), size, axis=2) / size**2
        gradient[:, : rows * size, : columns * size] = shares
        return gradient


class Convolution(Layer):
    """Cross-correlation, zero-padded, as a matrix product over all patches.

    The kernel is a square of `size` pixels, the border `padding` pixels wide. The patches are
    `stride` pixels apart.
    """

    kernel: np.ndarray
    bias: np.ndarray | float = 0.0

    def __init__(
        self,
        channels: int,
        filters: int,
        size: int,
        padding: int = 0,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weights = kernel_and_bias((size, size, channels, filters))
        if not bias:
            del self.weights["bias"]
        self.stride = stride
        self.margin = ((0, 0), (padding, padding), (padding, padding), (0, 0))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        x = np.pad(x, self.margin)
        size, _, channels, filters = self.kernel.shape
        squares = windows(x, size, self.stride)
        n, rows, columns = squares.shape[:3]
        patches = squares.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * channels)
        self.padded, self.patches = x.shape, patches
        self.flops = 2 * rows * columns * self.kernel.size
        product = patches @ self.kernel.reshape(-1, filters) + self.bias
        return product.reshape(n, rows, columns, filters)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        flat = delta.reshape(-1, delta.shape[-1])
        kernel = (self.patches.T @ flat).reshape(self.kernel.shape)
        gradients = {"kernel": kernel, "bias": flat.sum(axis=0)}
        self.gradients = {key: gradients[key] for key in self.weights}
        return self.scatter(delta, lambda i, j: delta @ self.kernel[i, j].T)

    def scatter(self, delta: np.ndarray, share: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """Add up the shares of each pixel (i, j) of the kernel in the pixels they came from."""
        _, rows, columns, _ = delta.shape
        padded, step = np.zeros(self.padded, delta.dtype), self.stride
        for i, j in np.ndindex(*self.kernel.shape[:2]):
            padded[:, i : i + rows * step : step, j : j + columns * step : step] += share(i, j)
        _, top, left, _ = (low for low, _ in self.margin)
        return padded[:, top : self.padded[1] - top, left : self.padded[2] - left]


class DepthwiseConvolution(Convolution):
    """Each channel to `multiplier` channels: number c · multiplier + m is the m-th of channel c."""

    def __init__(
        self, channels: int, multiplier: int, size: int, padding: int = 0, stride: int = 1
    ) -> None:
        super().__init__(channels, multiplier, size, padding, stride)
        self.weights["bias"] = self.weights["bias"]._replace(shape=(channels * multiplier,))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        x = np.pad(x, self.margin)
        self.padded, self.squares = x.shape, windows(x, len(self.kernel), self.stride)
        n, rows, columns = self.squares.shape[:3]
        self.flops = 2 * rows * columns * self.kernel.size
        product = np.einsum("nrcaij,ijam->nrcam", self.squares, self.kernel)
        return product.reshape(n, rows, columns, -1) + self.bias

    def backward(self, delta: np.ndarray) -> np.ndarray:
        _, _, channels, multiplier = self.kernel.shape
        apart = delta.reshape(*delta.shape[:3], channels, multiplier)
        kernel = np.einsum("nrcaij,nrcam->ijam", self.squares, apart)
        self.gradients = {"kernel": kernel, "bias": delta.sum(axis=(0, 1, 2))}
        return self.scatter(delta, lambda i, j: (apart * self.kernel[i, j]).sum(axis=-1))
