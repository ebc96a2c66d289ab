"""The referee: the same networks by hand, in NumPy, to be read beside a textbook.

Every other implementation is compared with this one, and never with another.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np

from mnist_models import architectures
from mnist_models.architectures import Architecture
from mnist_models.numpy_layers import Convolution, Dense, Flatten, MaxPool, ReLU
from mnist_models.recipe import SGD, Adam, Recipe
from mnist_models.weights import Weights

ADAM_EPSILON = "plain"


def versions() -> dict[str, str]:
    return {"numpy": np.__version__}


def devices() -> list[str]:
    return ["cpu"]


def configure(threads: int) -> dict[str, object]:
    # NumPy's BLAS took its number of threads from the environment when it was loaded.
    return {"threads": threads}


def set_precision(precision: str) -> dict[str, bool]:
    return {}


def peak_gpu_memory() -> int:
    return 0


Layer = ReLU | Flatten | MaxPool | Dense | Convolution


def build_model(architecture: Architecture) -> list[Layer]:
    model: list[Layer] = []
    for layer in architecture.layers:
        match layer:
            case architectures.Convolution(padding=padding):
                model += [Convolution(padding), ReLU()]
            case architectures.MaxPool(size):
                model.append(MaxPool(size))
            case architectures.Flatten():
                model.append(Flatten())
            case architectures.Dense(relu=relu):
                model += [Dense(), ReLU()] if relu else [Dense()]
    return model


class Trainer:
    def __init__(
        self,
        architecture: Architecture,
        recipe: Recipe,
        device: str = "cpu",
        dtype: str = "float64",
        adam_epsilon: str = ADAM_EPSILON,
    ) -> None:
        self.names = list(architecture.weight_shapes())
        self.model = build_model(architecture)
        self.weighted = [layer for layer in self.model if isinstance(layer, Dense | Convolution)]
        self.optimizer, self.batch_size = recipe.optimizer, recipe.batch_size
        self.compilation = "eager"
        self.dtype, self.adam_epsilon = dtype, adam_epsilon

    def reset(self) -> None:
        self.weights = [array.copy() for array in self.start]
        self.first_moment = [np.zeros_like(array) for array in self.start]
        self.second_moment = [np.zeros_like(array) for array in self.start]
        self.steps = 0
        for index, layer in enumerate(self.weighted):
            layer.kernel, layer.bias = self.weights[2 * index : 2 * index + 2]

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.astype(self.dtype), labels.astype(np.int64)

    def fetch(self, tensor: np.ndarray) -> np.ndarray:
        return np.asarray(tensor)

    def forward(self, images: np.ndarray) -> np.ndarray:
        for layer in self.model:
            images = layer.forward(images)
        return images

    def placement(self, images: np.ndarray) -> dict[str, object]:
        layout = None
        for layer in self.model:
            images = layer.forward(images)
            if isinstance(layer, Convolution):
                last = images.shape[-1] == layer.kernel.shape[-1]
                layout = "channels_last" if last else "channels_first"
        dtypes = {str(array.dtype) for array in (*self.weights, images)}
        return {"devices": ["cpu"], "dtypes": sorted(dtypes), "layout": layout}

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        logits = self.forward(images)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> np.floating:
        probabilities = self.probabilities(images)
        rows = np.arange(len(labels))
        loss = -np.log(probabilities[rows, labels]).mean()
        delta = probabilities
        delta[rows, labels] -= 1
        delta /= len(labels)
        for layer in reversed(self.model):
            delta = layer.backward(delta)
        self.update([gradient for layer in self.weighted for gradient in layer.gradients])
        return loss

    def update(self, gradients: list[np.ndarray]) -> None:
        self.steps += 1
        moments = zip(self.weights, gradients, self.first_moment, self.second_moment, strict=True)
        match self.optimizer:
            case SGD(rate, momentum):
                for weight, gradient, velocity, _ in moments:
                    velocity *= momentum
                    velocity -= rate * gradient
                    weight += velocity
            case Adam(rate, beta_1, beta_2, epsilon):
                bias_1, bias_2 = 1 - beta_1**self.steps, sqrt(1 - beta_2**self.steps)
                if self.adam_epsilon == "plain":
                    epsilon *= bias_2
                for weight, gradient, m, v in moments:
                    m += (1 - beta_1) * (gradient - m)
                    v += (1 - beta_2) * (gradient * gradient - v)
                    weight -= rate * bias_2 / bias_1 * m / (np.sqrt(v) + epsilon)

    def train_epoch(
        self, images: np.ndarray, labels: np.ndarray, order: np.ndarray, trained: Callable[[], None]
    ) -> None:
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            self.train_step(images[batch], labels[batch])
        trained()

    def get_weights(self) -> Weights:
        return {name: array.copy() for name, array in zip(self.names, self.weights, strict=True)}

    def set_weights(self, weights: Weights) -> None:
        self.start = [weights[name].astype(self.dtype) for name in self.names]
        self.reset()

    def synchronize(self) -> None:
        pass
