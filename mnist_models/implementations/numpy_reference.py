"""The reference: the same networks by hand, in NumPy, to be read beside a textbook.

Every other implementation is compared with this one, and never with another.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np

from mnist_models.networks import Network
from mnist_models.numpy_layers import Convolution, leaves
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


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class Trainer:
    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        device: str = "cpu",
        dtype: str = "float64",
        adam_epsilon: str = ADAM_EPSILON,
    ) -> None:
        self.network, self.model = network, network.in_numpy()
        self.layers = dict(leaves(self.model))
        self.optimizer, self.batch_size = recipe.optimizer, recipe.batch_size
        self.compilation = "eager"
        self.dtype, self.adam_epsilon = dtype, adam_epsilon
        self.set_weights({name: np.zeros(one.shape) for name, one in network.weights.items()})

    def reset(self) -> None:
        for name, array in self.start.items():
            layer, key = name.split("/")
            setattr(self.layers[layer], key, array.copy())
        self.first_moment = {name: np.zeros_like(array) for name, array in self.start.items()}
        self.second_moment = {name: np.zeros_like(array) for name, array in self.start.items()}
        self.steps = 0

    @property
    def weights(self) -> Weights:
        """The arrays that the layers compute with, by name."""
        places = (name.split("/") for name in self.network.weights)
        return {f"{layer}/{key}": getattr(self.layers[layer], key) for layer, key in places}

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.astype(self.dtype), labels.astype(np.int64)

    def fetch(self, tensor: np.ndarray) -> np.ndarray:
        return np.asarray(tensor)

    def forward(self, images: np.ndarray) -> np.ndarray:
        return self.model.forward(images)

    def placement(self, images: np.ndarray) -> dict[str, object]:
        logits = self.model.forward(images)
        layout = None
        if any(isinstance(layer, Convolution) for layer in self.layers.values()):
            layout = "channels_last"
        dtypes = {str(array.dtype) for array in (*self.weights.values(), logits)}
        return {"devices": ["cpu"], "dtypes": sorted(dtypes), "layout": layout}

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return softmax(self.forward(images))

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> np.floating:
        probabilities = softmax(self.model.forward(images, training=True))
        rows = np.arange(len(labels))
        loss = -np.log(probabilities[rows, labels]).mean()
        delta = probabilities
        delta[rows, labels] -= 1
        self.model.backward(delta / len(labels))
        self.update(
            {
                f"{name}/{key}": gradient
                for name, layer in self.layers.items()
                for key, gradient in layer.gradients.items()
            }
        )
        return loss

    def update(self, gradients: Weights) -> None:
        self.steps += 1
        weights = self.weights
        match self.optimizer:
            case SGD(rate, momentum):
                for name, gradient in gradients.items():
                    velocity = self.first_moment[name]
                    velocity *= momentum
                    velocity -= rate * gradient
                    weights[name] += velocity
            case Adam(rate, beta_1, beta_2, epsilon):
                bias_1, bias_2 = 1 - beta_1**self.steps, sqrt(1 - beta_2**self.steps)
                if self.adam_epsilon == "plain":
                    epsilon *= bias_2
                for name, gradient in gradients.items():
                    m, v = self.first_moment[name], self.second_moment[name]
                    m += (1 - beta_1) * (gradient - m)
                    v += (1 - beta_2) * (gradient * gradient - v)
                    weights[name] -= rate * bias_2 / bias_1 * m / (np.sqrt(v) + epsilon)

    def train_epoch(
        self, images: np.ndarray, labels: np.ndarray, order: np.ndarray, trained: Callable[[], None]
    ) -> None:
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            self.train_step(images[batch], labels[batch])
        trained()

    def get_weights(self) -> Weights:
        return {name: array.copy() for name, array in self.weights.items()}

    def set_weights(self, weights: Weights) -> None:
        self.start = {name: array.astype(self.dtype) for name, array in weights.items()}
        self.reset()

    def synchronize(self) -> None:
        pass
