"""What Keras does by itself, where this package says something else."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import keras
import numpy as np
from keras import initializers, layers, losses, optimizers

from mnist_models.defaults import TOPICS, Topic, gradients, shown, spread, weights_of
from mnist_models.keras_weights import names_of
from mnist_models.networks import Network
from mnist_models.recipe import Adam

# The settings of layers that the two frameworks do not agree about.
SETTINGS = ("momentum", "epsilon")


def seed(number: int) -> None:
    """Make random starting weights and dropout those of a seed."""
    keras.utils.set_random_seed(number)


def adam() -> Adam:
    """The optimiser with the values that it has when none is given."""
    given = default_of(optimizers.Adam)
    return Adam(*(given[name] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")))


def default_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a class or function that have a default, with it."""
    found = signature(kind).parameters.values()
    return {each.name: each.default for each in found if each.default is not each.empty}


def by_default(layer: keras.Layer) -> keras.Layer:
    """The same layer with its class's own SETTINGS."""
    config, own = layer.get_config(), default_of(type(layer))
    settings = {name: own[name] for name in SETTINGS if name in config and name in own}
    return type(layer).from_config(config | settings)


class Own(Network):
    """A network whose layers have the settings that Keras gives them."""

    def in_keras(self) -> keras.Model:
        """A new model; the same layers with other SETTINGS."""
        return keras.models.clone_model(super().in_keras(), clone_function=by_default)


LAYERS = {
    "dense": lambda: layers.Dense(64),
    "dense in float64": lambda: layers.Dense(64, dtype="float64"),
    "convolution": lambda: layers.Conv2D(16, 3),
    "convolution, same, stride 2": lambda: layers.Conv2D(16, 3, 2, "same"),
    "depthwise convolution": lambda: layers.DepthwiseConv2D(3),
    "max pooling": lambda: layers.MaxPooling2D(2),
    "average pooling": lambda: layers.AveragePooling2D(2),
    "upsampling": lambda: layers.UpSampling2D(2),
    "flatten": lambda: layers.Flatten(),
    "batch normalisation": lambda: layers.BatchNormalization(),
    "layer normalisation": lambda: layers.LayerNormalization(),
    "group normalisation": lambda: layers.GroupNormalization(4),
    "RMS normalisation": lambda: layers.RMSNormalization(),
    "LSTM": lambda: layers.LSTM(64),
    "GRU": lambda: layers.GRU(64),
    "embedding": lambda: layers.Embedding(50, 64),
    "attention": lambda: layers.MultiHeadAttention(4, 16),
    "dropout": lambda: layers.Dropout(0.5),
    "leaky ReLU": lambda: layers.LeakyReLU(),
    "PReLU": lambda: layers.PReLU(),
    "ELU": lambda: layers.ELU(),
    "GELU": lambda: layers.Activation("gelu"),
    "SiLU": lambda: layers.Activation("silu"),
    "hard sigmoid": lambda: layers.Activation("hard_sigmoid"),
    "softplus": lambda: layers.Activation("softplus"),
    "Mish": lambda: layers.Activation("mish"),
    "SELU": lambda: layers.Activation("selu"),
}
# The functions behind names such as "gelu".
FUNCTIONS = {"GELU": keras.activations.gelu}
INITIALISERS = {
    "random normal": initializers.RandomNormal,
    "random uniform": initializers.RandomUniform,
    "truncated normal": initializers.TruncatedNormal,
    "Glorot (Xavier) uniform": initializers.GlorotUniform,
    "Glorot (Xavier) normal": initializers.GlorotNormal,
    "He (Kaiming) uniform": initializers.HeUniform,
    "He (Kaiming) normal": initializers.HeNormal,
    "orthogonal": initializers.Orthogonal,
}
OPTIMISERS = {
    "SGD": optimizers.SGD,
    "Adam": optimizers.Adam,
    "AdamW": optimizers.AdamW,
    "RMSprop": optimizers.RMSprop,
    "Adagrad": optimizers.Adagrad,
    "Adadelta": optimizers.Adadelta,
    "Adamax": optimizers.Adamax,
    "NAdam": optimizers.Nadam,
}
LOSSES = {
    "cross-entropy": losses.SparseCategoricalCrossentropy,
    "binary cross-entropy": losses.BinaryCrossentropy,
    "mean squared error": losses.MeanSquaredError,
    "Huber": losses.Huber,
    "Poisson": losses.Poisson,
    "the loss of the second step": keras.Model.train_on_batch,
    "Kullback-Leibler divergence": losses.KLDivergence,
}


def probe() -> dict[str, dict[str, Any]]:
    """What each topic is, starts with and answers, by its name."""
    return {name: found(name, topic) for name, topic in TOPICS.items()}


def found(name: str, topic: Topic) -> dict[str, Any]:
    """One topic; only "missing" where this release does not have it."""
    keras.utils.set_random_seed(0)
    try:
        match topic.kind:
            case "initialiser":
                return described(INITIALISERS[name]) | {"start": {"": drawn(name, topic)}}
            case "optimiser":
                return described(OPTIMISERS[name]) | {"answers": {"weights": stepped(name, topic)}}
            case "loss":
                return described(LOSSES[name]) | {"answers": {"loss": lost(name, topic)}}
        return of_layer(name, topic)
    except AttributeError as error:
        return {"missing": str(error)}


def described(kind: Callable[..., Any]) -> dict[str, Any]:
    """Its name, and its settings as they come."""
    settings = {name: shown(value) for name, value in default_of(kind).items()}
    return {"name": kind.__name__, "settings": settings}


def of_layer(name: str, topic: Topic) -> dict[str, Any]:
    """A layer's starting weights, and its outputs and state with those that both are given."""
    layer, inputs = LAYERS[name](), topic.inputs()
    given = (inputs, inputs) if name == "attention" else (inputs,)
    modes: tuple[dict[str, Any], ...] = ({"training": False}, {"training": True})
    if "training" not in signature(layer.call).parameters:
        modes = ({}, {})
    layer(*given)
    weights = dict(zip(names_of(layer), layer.weights, strict=True))
    weights = {key: weight for key, weight in weights.items() if "seed" not in key}
    start = {key: spread(keras.ops.convert_to_numpy(weight)) for key, weight in weights.items()}
    counted = sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    for key, array in weights_of(topic).items():
        weights[key].assign(array)
    answers = {}
    if name != "dropout":
        answers["inference"] = keras.ops.convert_to_numpy(layer(*given, **modes[0]))
        answers["training"] = keras.ops.convert_to_numpy(layer(*given, **modes[1]))
        answers |= {
            key: keras.ops.convert_to_numpy(weight)
            for key, weight in weights.items()
            if not weight.trainable
        }
    about = described(FUNCTIONS.get(name, type(layer)))
    return about | {"parameters": counted, "start": start, "answers": answers}


def drawn(name: str, topic: Topic) -> list[float]:
    """How wide an initialiser draws."""
    return spread(keras.ops.convert_to_numpy(INITIALISERS[name]()(topic.shape)))


def stepped(name: str, topic: Topic) -> np.ndarray:
    """How far an optimiser moves weights by the gradients that both are given."""
    variable, optimizer = keras.Variable(topic.inputs()), OPTIMISERS[name]()
    for gradient in gradients():
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return keras.ops.convert_to_numpy(variable) - topic.inputs()


def lost(name: str, topic: Topic) -> np.ndarray:
    """A loss of the outputs of a network's last layer, as they are."""
    outputs = topic.inputs()
    if name == "the loss of the second step":
        model = keras.Sequential([keras.Input(outputs.shape[1:]), layers.ReLU()])
        model.compile(loss="mse")
        model.train_on_batch(outputs, outputs)
        return np.asarray(model.train_on_batch(2 * outputs, outputs))
    if name == "cross-entropy":
        return keras.ops.convert_to_numpy(LOSSES[name]()(np.arange(len(outputs)), outputs))
    targets = np.abs(outputs) / np.abs(outputs).sum(axis=1, keepdims=True)
    return keras.ops.convert_to_numpy(LOSSES[name]()(targets, outputs))
