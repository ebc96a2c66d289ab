"""The referee's layers by hand: each remembers its input going forward and uses it going back.

`forward` takes a batch of inputs to outputs; `backward` takes the gradient of the loss with respect
to the outputs to that with respect to the inputs, and leaves those of the weights in `gradients`.
Images are (n, height, width, channels).
"""

import numpy as np


class ReLU:
    """max(x, 0)."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.positive = x > 0
        return x * self.positive

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta * self.positive


class Flatten:
    """(n, height, width, channels) to (n, height · width · channels)."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta.reshape(self.shape)


class MaxPool:
    """The largest of each non-overlapping square; the first where several are equal."""

    def __init__(self, size: int) -> None:
        self.size = size

    def forward(self, x: np.ndarray) -> np.ndarray:
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


class Dense:
    """x @ kernel + bias."""

    kernel: np.ndarray
    bias: np.ndarray

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.kernel + self.bias

    def backward(self, delta: np.ndarray) -> np.ndarray:
        self.gradients = (self.x.T @ delta, delta.sum(axis=0))
        return delta @ self.kernel.T


class Convolution:
    """Cross-correlation of stride 1, as a matrix product over all patches."""

    kernel: np.ndarray
    bias: np.ndarray

    def __init__(self, padding: int) -> None:
        self.margin = ((0, 0), (padding, padding), (padding, padding), (0, 0))

    def forward(self, x: np.ndarray) -> np.ndarray:
        x = np.pad(x, self.margin)
        size, _, channels, filters = self.kernel.shape
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
        n, rows, columns = windows.shape[:3]
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * channels)
        self.padded, self.patches = x.shape, patches
        product = patches @ self.kernel.reshape(-1, filters) + self.bias
        return product.reshape(n, rows, columns, filters)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        size, _, _, filters = self.kernel.shape
        _, rows, columns, _ = delta.shape
        flat = delta.reshape(-1, filters)
        self.gradients = ((self.patches.T @ flat).reshape(self.kernel.shape), flat.sum(axis=0))
        padded = np.zeros(self.padded, delta.dtype)
        for i, j in np.ndindex(size, size):
            padded[:, i : i + rows, j : j + columns] += delta @ self.kernel[i, j].T
        _, top, left, _ = (low for low, _ in self.margin)
        return padded[:, top : self.padded[1] - top, left : self.padded[2] - left]
