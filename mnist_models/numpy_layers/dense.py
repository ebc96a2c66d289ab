"""Dense layers, embeddings, activations, dropout, means, and changes of shape."""

from math import erf, pi, prod, sqrt

import numpy as np

from mnist_models.numpy_layers.base import Layer, Weight, kernel_and_bias


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.positive = x > 0
        return x * self.positive

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta * self.positive


class GELU(Layer):
    """x · Φ(x), with the normal distribution Φ, or its approximation by a hyperbolic tangent.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016), section 2.
    """

    def __init__(self, tanh: bool = False) -> None:
        super().__init__()
        self.tanh = tanh

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        if self.tanh:
            cubic, scale = self.conventions.gelu_cubic, sqrt(2 / pi)
            bent = np.tanh(scale * (x + cubic * x**3))
            share = (1 + bent) / 2
            density = (1 - bent**2) / 2 * scale * (1 + 3 * cubic * x**2)
        else:
            root = self.conventions.sqrt_half
            share = (1 + elementwise_erf(root * x)) / 2
            density = root / sqrt(pi) * np.exp(-((root * x) ** 2))
        self.slope = share + x * density
        return x * share

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta * self.slope


def elementwise_erf(x: np.ndarray) -> np.ndarray:
    """The error function, which NumPy does not have, in the type of x."""
    return np.asarray(np.frompyfunc(erf, 1, 1)(x), x.dtype)


class Flatten(Layer):
    """(n, height, width, channels) to (n, height · width · channels)."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta.reshape(self.shape)


class Reshape(Layer):
    """(n, ...) to (n, *shape)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.before = x.shape
        return x.reshape(len(x), *self.shape)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta.reshape(self.before)


class Mean(Layer):
    """The mean over all axes except the first and the last: global pooling, also of tokens."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), -1, x.shape[-1]).mean(axis=1)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        n, *inner, last = self.shape
        spread = delta.reshape(n, *(1 for _ in inner), last) / prod(inner)
        return np.broadcast_to(spread, self.shape)


class Dropout(Layer):
    """In training, zero the share `rate` of the inputs and divide the others by 1 - rate.

    A `mask`, if given, decides which are kept, instead of chance.
    Source: Srivastava et al., "Dropout" (2014), in the form that does not change inference.
    """

    def __init__(self, rate: float, seed: int = 0) -> None:
        super().__init__()
        self.rate, self.mask = rate, None
        self.random = np.random.Generator(np.random.PCG64(seed))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.scale: np.ndarray | float = 1.0
        if training and self.rate:
            kept = self.random.random(x.shape) >= self.rate if self.mask is None else self.mask
            self.scale = kept / (1 - self.rate)
        return x * self.scale

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta * self.scale


class Dense(Layer):
    """x @ kernel + bias, along the last axis.

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
        inputs, units = self.kernel.shape
        flat = delta.reshape(-1, units)
        kernel = self.x.reshape(-1, inputs).T @ flat
        self.gradients = {"kernel": kernel, "bias": flat.sum(axis=0)}
        return delta @ self.kernel.T


class Embedding(Layer):
    """A vector for each of `tokens` whole numbers: (n, steps) to (n, steps, width)."""

    embeddings: np.ndarray

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.weights = {"embeddings": Weight((tokens, width), 0.5)}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.x = x.astype(int)
        return self.embeddings[self.x]

    def backward(self, delta: np.ndarray) -> np.ndarray:
        gradient = np.zeros_like(self.embeddings)
        np.add.at(gradient, self.x, delta)
        self.gradients = {"embeddings": gradient}
        return np.zeros(self.x.shape)  # whole numbers have no slope


class Positions(Layer):
    """x plus a learned vector for each of `steps` positions: (n, steps, width)."""

    embeddings: np.ndarray

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.weights = {"embeddings": Weight((steps, width), 0.5)}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return x + self.embeddings

    def backward(self, delta: np.ndarray) -> np.ndarray:
        self.gradients = {"embeddings": delta.sum(axis=0)}
        return delta
