"""Normalisation over a batch, or over the features of each example."""

import numpy as np

from mnist_models.numpy_layers.base import Layer, Weight


def gamma_and_beta(channels: int) -> dict[str, Weight]:
    """A scale near 1 and a shift near 0, so that a missing one is noticed."""
    return {"gamma": Weight((channels,), 0.1, centre=1.0), "beta": Weight((channels,), 0.1)}


class BatchNormalization(Layer):
    """Each channel with mean 0 and variance 1, then scaled by gamma and shifted by beta.

    Training takes mean and variance from the batch, and moves the running ones, of which it keeps
    the share `keep`. Inference takes the running ones. Source: Ioffe and Szegedy, "Batch
    Normalization" (2015), algorithms 1 and 2. The batch is normalised by its biased variance; the
    running one is moved by it or by the unbiased one, as the conventions say.
    """

    gamma: np.ndarray
    beta: np.ndarray
    moving_mean: np.ndarray
    moving_variance: np.ndarray

    def __init__(self, channels: int, keep: float, epsilon: float) -> None:
        super().__init__()
        self.keep, self.epsilon = keep, epsilon
        self.weights = gamma_and_beta(channels) | {
            "moving_mean": Weight((channels,), 0.1, trained=False),
            "moving_variance": Weight((channels,), 0.1, centre=1.0, trained=False),
        }

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            self.axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(self.axes), x.var(self.axes)
            count = x[..., 0].size
            unbiased = self.conventions.running_variance == "unbiased"
            seen = variance * (count / (count - 1)) if unbiased else variance
            self.moving_mean = self.keep * self.moving_mean + (1 - self.keep) * mean
            self.moving_variance = self.keep * self.moving_variance + (1 - self.keep) * seen
        self.scale = 1 / np.sqrt(variance + self.epsilon)
        self.normal = (x - mean) * self.scale
        return self.gamma * self.normal + self.beta

    def backward(self, delta: np.ndarray) -> np.ndarray:
        gamma, beta = (delta * self.normal).sum(self.axes), delta.sum(self.axes)
        self.gradients = {"gamma": gamma, "beta": beta}
        count = delta.size // len(beta)
        return self.gamma * self.scale * (delta - (beta + self.normal * gamma) / count)


class LayerNormalization(Layer):
    """The features of each example with mean 0 and variance 1, then scaled and shifted.

    Source: Ba et al., "Layer Normalization" (2016), equation 4, with an epsilon in the root.
    """

    gamma: np.ndarray
    beta: np.ndarray

    def __init__(self, features: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weights = gamma_and_beta(features)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.scale = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + self.epsilon)
        self.normal = (x - x.mean(axis=-1, keepdims=True)) * self.scale
        return self.gamma * self.normal + self.beta

    def backward(self, delta: np.ndarray) -> np.ndarray:
        axes = tuple(range(delta.ndim - 1))
        gamma, beta = (delta * self.normal).sum(axes), delta.sum(axes)
        self.gradients = {"gamma": gamma, "beta": beta}
        delta = self.gamma * delta
        mean = delta.mean(axis=-1, keepdims=True)
        along = (delta * self.normal).mean(axis=-1, keepdims=True)
        return self.scale * (delta - mean - self.normal * along)
