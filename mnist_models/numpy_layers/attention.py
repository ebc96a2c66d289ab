"""Self-attention over sequences (n, steps, width)."""

from math import sqrt

import numpy as np

from mnist_models.numpy_layers.base import Layer, Weight

PROJECTIONS = ("query", "key", "value")
OUTPUT = "attention_output"


class Attention(Layer):
    """Scaled dot-product attention with several heads, each of width / heads features.

    With `causal`, no step attends to a later one. Kernels are (width, heads, features of a head),
    the output's (heads, features, width). Source: Vaswani et al., "Attention Is All You Need"
    (2017), section 3.2. A bias of the keys adds the same to all scores of a query, which softmax
    cancels.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.causal, self.heads, size = causal, heads, width // heads
        spread = sqrt(3 / width)
        for name in PROJECTIONS:
            self.weights[f"{name}_kernel"] = Weight((width, heads, size), spread)
            self.weights[f"{name}_bias"] = Weight(
                (heads, size), 1 / sqrt(width), compared=name != "key"
            )
        self.weights[f"{OUTPUT}_kernel"] = Weight((heads, size, width), spread)
        self.weights[f"{OUTPUT}_bias"] = Weight((width,), 1 / sqrt(width))

    def split(self, x: np.ndarray) -> np.ndarray:
        """(n, steps, width) to (n, heads, steps, features)."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def join(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `split`."""
        return x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1)

    def matrix(self, name: str) -> np.ndarray:
        """A kernel with heads and features as one axis."""
        kernel: np.ndarray = getattr(self, f"{name}_kernel")
        return kernel.reshape(-1, kernel.shape[-1]) if name == OUTPUT else flat(kernel)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.x, steps = x, x.shape[1]
        self.flops = 8 * steps * x.shape[2] ** 2 + 4 * steps**2 * x.shape[2]
        self.q, self.k, self.v = (
            self.split(x @ self.matrix(name) + getattr(self, f"{name}_bias").reshape(-1))
            for name in PROJECTIONS
        )
        self.scale = 1 / sqrt(self.q.shape[-1])
        scores = self.scale * self.q @ self.k.swapaxes(-1, -2)
        if self.causal:
            scores = np.where(np.tri(steps, dtype=bool), scores, -np.inf)
        exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
        self.attended = exponentials / exponentials.sum(axis=-1, keepdims=True)
        self.joined = self.join(self.attended @ self.v)
        bias: np.ndarray = getattr(self, f"{OUTPUT}_bias")
        return self.joined @ self.matrix(OUTPUT) + bias

    def backward(self, delta: np.ndarray) -> np.ndarray:
        self.gradients = {f"{OUTPUT}_bias": delta.sum(axis=(0, 1))}
        self.note(OUTPUT, self.joined, delta)
        heads = self.split(delta @ self.matrix(OUTPUT).T)
        attended = heads @ self.v.swapaxes(-1, -2)
        mean = (attended * self.attended).sum(axis=-1, keepdims=True)
        scores = self.scale * self.attended * (attended - mean)
        found = (
            scores @ self.k,
            scores.swapaxes(-1, -2) @ self.q,
            self.attended.swapaxes(-1, -2) @ heads,
        )
        gradient = np.zeros_like(self.x)
        for name, projected in zip(PROJECTIONS, map(self.join, found), strict=True):
            self.note(name, self.x, projected)
            shape = self.weights[f"{name}_bias"].shape
            self.gradients[f"{name}_bias"] = projected.sum(axis=(0, 1)).reshape(shape)
            gradient += projected @ self.matrix(name).T
        return gradient

    def note(self, name: str, inputs: np.ndarray, delta: np.ndarray) -> None:
        """Store the gradient of a kernel, from its inputs and the gradient of its outputs."""
        product = inputs.reshape(-1, inputs.shape[-1]).T @ delta.reshape(-1, delta.shape[-1])
        self.gradients[f"{name}_kernel"] = product.reshape(self.weights[f"{name}_kernel"].shape)


def flat(kernel: np.ndarray) -> np.ndarray:
    """(inputs, heads, features) to (inputs, heads · features)."""
    return kernel.reshape(len(kernel), -1)
