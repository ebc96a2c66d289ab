"""The default behaviour of Keras and PyTorch, observed by running both.

in_keras.py and in_pytorch.py have the same topics under the same names: layers, activations,
initialisers, optimisers and losses, each as its users write it, without optional arguments.
`probe()` runs them all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnist_models import numpy_layers
from mnist_models.numpy_layers import Layer, Weight

# The inputs of topics: batches of images (height, width, channels), of sequences (steps, features),
# of rows of numbers, of tokens.
IMAGES, ROWS, NUMBERS, TOKENS = (16, 10, 10, 8), (16, 12, 64), (16, 64), (16, 12)
DRAWN = (512, 512)
STEPS = 10


@dataclass(frozen=True)
class Topic:
    """What both frameworks have, and which settings of the two mean the same.

    `settings` are names of Keras's and of PyTorch's parameters. `by_hand` is the same layer in
    NumPy, which knows the shapes of the weights. Inputs and weights are of type `dtype`.
    """

    kind: str
    shape: tuple[int, ...] = NUMBERS
    settings: tuple[tuple[str, str], ...] = ()
    by_hand: Callable[[], Layer] = Layer
    dtype: str = "f4"

    def inputs(self) -> np.ndarray:
        """A batch, the same for both."""
        random = np.random.default_rng(1)
        if self.shape == TOKENS:
            return random.integers(0, 50, self.shape)
        return random.standard_normal(self.shape).astype(self.dtype)


def layer(shape: tuple[int, ...], by_hand: Callable[[], Layer] = Layer, **settings: str) -> Topic:
    """A layer; `settings` by Keras's names."""
    return Topic("layer", shape, tuple(settings.items()), by_hand)


def optimizer(**settings: str) -> Topic:
    """An optimiser; its learning rate has the same meaning in all."""
    return Topic("optimiser", NUMBERS, (("learning_rate", "lr"), *settings.items()))


class Weighted(Layer):
    """A layer that is nothing but its weights."""

    def __init__(self, **weights: Weight) -> None:
        super().__init__()
        self.weights |= weights


TOPICS = {
    "dense": layer(NUMBERS, lambda: numpy_layers.Dense(64, 64)),
    "dense in float64": Topic("layer", by_hand=lambda: numpy_layers.Dense(64, 64), dtype="f8"),
    "convolution": layer(IMAGES, lambda: numpy_layers.Convolution(8, 16, 3), padding="padding"),
    "convolution, same, stride 2": layer(IMAGES, lambda: numpy_layers.Convolution(8, 16, 3)),
    "depthwise convolution": layer(IMAGES, lambda: numpy_layers.DepthwiseConvolution(8, 1, 3)),
    "max pooling": layer(IMAGES),
    "average pooling": layer(IMAGES),
    "upsampling": layer(IMAGES, interpolation="mode"),
    "flatten": layer(IMAGES),
    "batch normalisation": layer(
        IMAGES,
        lambda: numpy_layers.BatchNormalization(8, keep=0.9, epsilon=1e-5),
        epsilon="eps",
        momentum="momentum",
    ),
    "layer normalisation": layer(
        ROWS, lambda: numpy_layers.LayerNormalization(64, 1e-5), epsilon="eps"
    ),
    "group normalisation": layer(
        IMAGES, lambda: Weighted(gamma=Weight((8,), 0.5), beta=Weight((8,), 0.5)), epsilon="eps"
    ),
    "RMS normalisation": layer(ROWS, lambda: Weighted(scale=Weight((64,), 0.5)), epsilon="eps"),
    "LSTM": layer(
        ROWS,
        lambda: numpy_layers.LSTM(64, 64),
        return_sequences="",
        unit_forget_bias="",
        **{"": "batch_first"},
    ),
    "GRU": layer(ROWS, lambda: numpy_layers.GRU(64, 64), return_sequences="", reset_after=""),
    "embedding": layer(TOKENS, lambda: numpy_layers.Embedding(50, 64)),
    "attention": layer(
        ROWS, lambda: numpy_layers.Attention(64, 4), use_bias="bias", **{"": "need_weights"}
    ),
    "dropout": layer(NUMBERS, rate="p"),
    "leaky ReLU": Topic("activation", settings=(("negative_slope", "negative_slope"),)),
    "PReLU": Topic("activation", settings=(("alpha_initializer", "init"),)),
    "ELU": Topic("activation", settings=(("alpha", "alpha"),)),
    "GELU": Topic("activation", settings=(("approximate", "approximate"),)),
    "SiLU": Topic("activation"),
    "hard sigmoid": Topic("activation"),
    "softplus": Topic("activation"),
    "Mish": Topic("activation"),
    "SELU": Topic("activation"),
    "random normal": Topic("initialiser", DRAWN, (("mean", "mean"), ("stddev", "std"))),
    "random uniform": Topic("initialiser", DRAWN, (("minval", "a"), ("maxval", "b"))),
    "truncated normal": Topic("initialiser", DRAWN, (("mean", "mean"), ("stddev", "std"))),
    "Glorot (Xavier) uniform": Topic("initialiser", DRAWN),
    "Glorot (Xavier) normal": Topic("initialiser", DRAWN),
    "He (Kaiming) uniform": Topic("initialiser", DRAWN),
    "He (Kaiming) normal": Topic("initialiser", DRAWN),
    "orthogonal": Topic("initialiser", DRAWN),
    "SGD": optimizer(momentum="momentum"),
    "Adam": optimizer(epsilon="eps", beta_1="betas"),
    "AdamW": optimizer(epsilon="eps", weight_decay="weight_decay"),
    "RMSprop": optimizer(epsilon="eps", rho="alpha"),
    "Adagrad": optimizer(epsilon="eps", initial_accumulator_value="initial_accumulator_value"),
    "Adadelta": optimizer(epsilon="eps", rho="rho"),
    "Adamax": optimizer(epsilon="eps"),
    "NAdam": optimizer(epsilon="eps"),
    "cross-entropy": Topic("loss", settings=(("from_logits", ""),)),
    "binary cross-entropy": Topic("loss", settings=(("from_logits", ""),)),
    "mean squared error": Topic("loss", settings=(("reduction", "reduction"),)),
    "Huber": Topic("loss", settings=(("delta", "delta"), ("reduction", "reduction"))),
    "Poisson": Topic("loss", settings=(("", "log_input"),)),
    "the loss of the second step": Topic("loss"),
    "Kullback-Leibler divergence": Topic("loss", settings=(("reduction", "reduction"),)),
}


def weights_of(topic: Topic) -> dict[str, np.ndarray]:
    """Weights for the topic's layer, which both are given; variances are positive."""
    found = {}
    for seed, (name, weight) in enumerate(topic.by_hand().weights.items()):
        array = np.random.default_rng(seed).uniform(-0.5, 0.5, weight.shape)
        found[name] = (array + name.endswith("variance")).astype(topic.dtype)
    return found


def gradients() -> np.ndarray:
    """Gradients of STEPS steps, the same for both."""
    random = np.random.default_rng(2)
    return random.standard_normal((STEPS, *NUMBERS)).astype("f4")


def spread(array: np.ndarray) -> list[float]:
    """Mean, standard deviation, and largest size of what was drawn."""
    return [float(array.mean()), float(array.std()), float(np.abs(array).max())]


def shown(value: Any) -> str:
    """A setting in words that do not depend on where an object lies in memory."""
    return value if isinstance(value, str) else f"{value!r}".partition(" at 0x")[0]
