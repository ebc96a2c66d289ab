"""The reference: the same networks by hand, in NumPy, to be read beside a textbook.

Every other implementation is compared with this one, and never with another.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np

from mnist_models.conventions import Conventions
from mnist_models.networks import Network
from mnist_models.numpy_layers import Convolution, Dropout, leaves
from mnist_models.recipe import SGD, Adam, AdamW, Recipe
from mnist_models.weights import Weights

CONVENTIONS = Conventions(rough_statistics=True)


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
        conventions: Conventions = CONVENTIONS,
    ) -> None:
        self.network, self.model = network, network.in_numpy()
        self.layers = dict(leaves(self.model))
        for layer in self.layers.values():
            layer.conventions = conventions
        self.recipe, self.batch_size = recipe, recipe.batch_size
        self.compilation = "eager"
        self.dtype, self.conventions = dtype, conventions
        self.set_weights({name: np.zeros(one.shape) for name, one in network.weights.items()})

    def disable_dropout(self) -> None:
        for layer in self.layers.values():
            if isinstance(layer, Dropout):
                layer.rate = 0.0

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
        share = self.recipe.cosine(self.steps)
        self.steps += 1
        match self.recipe.optimizer:
            case SGD(rate, momentum, nesterov):
                self.descend(gradients, share * rate, momentum, nesterov)
            case AdamW(rate, beta_1, beta_2, epsilon, decay):
                for name in gradients:
                    self.weights[name] *= 1 - share * rate * decay
                self.adapt(gradients, share * rate, beta_1, beta_2, epsilon)
            case Adam(rate, beta_1, beta_2, epsilon):
                self.adapt(gradients, share * rate, beta_1, beta_2, epsilon)

    def descend(self, gradients: Weights, rate: float, momentum: float, nesterov: bool) -> None:
        inside, outside = (rate, 1.0) if self.conventions.velocity == "steps" else (1.0, rate)
        weights = self.weights
        for name, gradient in gradients.items():
            velocity = self.first_moment[name]
            velocity *= momentum
            velocity += inside * gradient
            ahead = momentum * velocity + inside * gradient if nesterov else velocity
            weights[name] -= outside * ahead

    def adapt(
        self, gradients: Weights, rate: float, beta_1: float, beta_2: float, epsilon: float
    ) -> None:
        bias_1, bias_2 = 1 - beta_1**self.steps, sqrt(1 - beta_2**self.steps)
        if self.conventions.adam_epsilon == "plain":
            epsilon *= bias_2
        weights = self.weights
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
