"""Recurrent layers, on sequences (n, steps, features), with gradients through all steps."""

from math import sqrt

import numpy as np

from mnist_models.numpy_layers.base import Layer, Weight


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), by a function that does not overflow."""
    return (1 + np.tanh(x / 2)) / 2


def recurrent_weights(features: int, units: int, gates: int) -> dict[str, Weight]:
    """Kernels with the variance 1 / fan-in, one block of columns for each gate."""
    return {
        "kernel": Weight((features, gates * units), sqrt(3 / features)),
        "recurrent_kernel": Weight((units, gates * units), sqrt(3 / units)),
        "bias": Weight((gates * units,), 1 / sqrt(units)),
    }


class LSTM(Layer):
    """The last output of a long short-term memory.

    The blocks of columns are the input gate, the forget gate, the candidate and the output gate.
    Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.weights = recurrent_weights(features, units, 4)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        n, steps, _ = x.shape
        self.flops = 2 * steps * (self.kernel.size + self.recurrent_kernel.size)
        self.x, self.memory = x, []
        h = c = np.zeros((n, self.units), x.dtype)
        projected = x @ self.kernel + self.bias
        for t in range(steps):
            gates = np.split(projected[:, t] + h @ self.recurrent_kernel, 4, axis=1)
            i, f, o = (sigmoid(gates[k]) for k in (0, 1, 3))
            candidate = np.tanh(gates[2])
            self.memory.append((h, c, i, f, candidate, o))
            c = f * c + i * candidate
            h = o * np.tanh(c)
        self.last_cell = c
        return h

    def backward(self, delta: np.ndarray) -> np.ndarray:
        flat = np.empty((*self.x.shape[:2], 4 * self.units), delta.dtype)
        recurrent = np.zeros_like(self.recurrent_kernel)
        c_next, dc = self.last_cell, np.zeros_like(delta)
        for t in reversed(range(len(self.memory))):
            h, c, i, f, candidate, o = self.memory[t]
            bent = np.tanh(c_next)
            dc = dc + delta * o * (1 - bent**2)
            gates = (
                dc * candidate * i * (1 - i),
                dc * c * f * (1 - f),
                dc * i * (1 - candidate**2),
                delta * bent * o * (1 - o),
            )
            flat[:, t] = np.concatenate(gates, axis=1)
            recurrent += h.T @ flat[:, t]
            delta, dc, c_next = flat[:, t] @ self.recurrent_kernel.T, dc * f, c
        return input_gradient(self, flat, recurrent, flat.sum(axis=(0, 1)))


class GRU(Layer):
    """The last output of a gated recurrent unit whose reset gate comes after the product.

    The blocks of columns are the update gate, the reset gate and the candidate; the bias (2, 3 ·
    units) has a row for the input and one for the state. Source: Cho et al. (2014), in the form in
    which it is computed on GPUs.
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.weights = recurrent_weights(features, units, 3)
        self.weights["bias"] = self.weights["bias"]._replace(shape=(2, 3 * units))

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        n, steps, _ = x.shape
        self.flops = 2 * steps * (self.kernel.size + self.recurrent_kernel.size)
        self.x, self.memory = x, []
        h = np.zeros((n, self.units), x.dtype)
        projected = x @ self.kernel + self.bias[0]
        for t in range(steps):
            inputs = np.split(projected[:, t], 3, axis=1)
            states = np.split(h @ self.recurrent_kernel + self.bias[1], 3, axis=1)
            z, r = (sigmoid(inputs[k] + states[k]) for k in (0, 1))
            candidate = np.tanh(inputs[2] + r * states[2])
            self.memory.append((h, z, r, states[2], candidate))
            h = z * h + (1 - z) * candidate
        return h

    def backward(self, delta: np.ndarray) -> np.ndarray:
        flat = np.empty((*self.x.shape[:2], 3 * self.units), delta.dtype)
        recurrent, bias = np.zeros_like(self.recurrent_kernel), np.zeros(3 * self.units)
        for t in reversed(range(len(self.memory))):
            h, z, r, state, candidate = self.memory[t]
            bent = delta * (1 - z) * (1 - candidate**2)
            gates = [delta * (h - candidate) * z * (1 - z), bent * state * r * (1 - r)]
            flat[:, t] = np.concatenate([*gates, bent], axis=1)
            through = np.concatenate([*gates, bent * r], axis=1)
            recurrent += h.T @ through
            bias += through.sum(axis=0)
            delta = delta * z + through @ self.recurrent_kernel.T
        return input_gradient(self, flat, recurrent, np.stack([flat.sum(axis=(0, 1)), bias]))


def input_gradient(
    layer: LSTM | GRU, flat: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Store the layer's gradients; return that of its input. `flat` is that of `x @ kernel`."""
    kernel = np.einsum("ntf,ntg->fg", layer.x, flat)
    layer.gradients = {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
    return flat @ layer.kernel.T
