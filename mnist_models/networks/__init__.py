"""The networks: one folder each, with one file for Keras, one for PyTorch and one for NumPy.

`in_keras.py` and `in_numpy.py` offer `build()`, `in_pytorch.py` ends with the network's class. A
layer has the same name in all three. Names, shapes, starting values and FLOPs of the weights are
read off the NumPy layers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from inspect import signature
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mnist_models.numpy_layers import Dropout, Layer, Weight, leaves

FOLDER = Path(__file__).parent
IMAGE_SHAPE = (28, 28, 1)


@dataclass(frozen=True)
class Network:
    """A network from 28×28×1 images to 10 logits; its files are imported on demand.

    `units` is the width of its hidden layer, if that is not the one in its files.
    """

    folder: str
    units: int | None = None

    @property
    def name(self) -> str:
        """Its name, such as "mlp", or "mlp_2048" for another width."""
        return self.folder if self.units is None else f"{self.folder}_{self.units}"

    @property
    def width(self) -> dict[str, int]:
        """What its files take another width by; empty for their own."""
        return {} if self.units is None else {"units": self.units}

    def module(self, file: str) -> Any:
        """One of the folder's modules, such as "in_keras"; imports the framework."""
        return import_module(f"{__name__}.{self.folder}.{file}")

    def in_keras(self) -> Any:
        """A new `keras.Model`."""
        return self.module("in_keras").build(**self.width)

    def in_pytorch(self) -> Any:
        """A new `torch.nn.Module`, of the class that its file ends with."""
        file = self.module("in_pytorch")
        own = [
            one for one in vars(file).values() if getattr(one, "__module__", "") == file.__name__
        ]
        return own[-1](**self.width)

    def in_numpy(self) -> Layer:
        """The layers by hand, which have no weights yet."""
        model: Layer = self.module("in_numpy").build(**self.width)
        return model

    @property
    def has_width(self) -> bool:
        """Whether its files take another width."""
        return "units" in signature(self.module("in_numpy").build).parameters

    @property
    def for_all(self) -> bool:
        """Whether every implementation is timed on it, or by default the pair alone."""
        return not getattr(import_module(f"{__name__}.{self.folder}"), "PAIR_ALONE", False)

    @cached_property
    def weights(self) -> Mapping[str, Weight]:
        """Every weight by its name, such as "conv1/kernel", in the order of the layers."""
        return {
            f"{name}/{key}": weight
            for name, layer in leaves(self.in_numpy())
            for key, weight in layer.weights.items()
        }

    @cached_property
    def draws(self) -> bool:
        """Whether training draws at random, as dropout does."""
        return any(isinstance(layer, Dropout) for _, layer in leaves(self.in_numpy()))

    @property
    def has_state(self) -> bool:
        """Whether training moves weights that are not trained, such as running statistics."""
        return not all(weight.trained for weight in self.weights.values())

    @property
    def parameters(self) -> int:
        """Number of trained numbers."""
        return sum(prod(weight.shape) for weight in self.weights.values() if weight.trained)

    @cached_property
    def flops(self) -> int:
        """Multiplications and additions in the matrix products of one image's forward pass."""
        return sum(layer.flops for layer in self.counted)

    @cached_property
    def counted(self) -> list[Layer]:
        """The layers by hand, which know their FLOPs: an image has been through them."""
        model = self.in_numpy()
        for _, layer in leaves(model):
            for key, weight in layer.weights.items():
                setattr(layer, key, np.zeros(weight.shape))
        model.forward(np.zeros((1, *IMAGE_SHAPE)))
        return [layer for _, layer in leaves(model)]

    @cached_property
    def step_flops(self) -> int:
        """Multiplications and additions that a training step cannot do without, for one image.

        Those of the forward pass, as many for the gradients of the weights, and as many again for
        those of the inputs, which the first layer does not need.
        """
        first, *later = (layer.flops for layer in self.counted if layer.flops)
        return 2 * first + 3 * sum(later)


@cache
def load(name: str) -> Network:
    """The network of this name; raises KeyError, with the names that exist.

    Some networks also exist in other widths, such as "mlp_2048".
    """
    if name in names():
        return Network(name)
    folder, _, units = name.rpartition("_")
    if folder in names() and Network(folder).has_width and re.fullmatch("[1-9][0-9]*", units):
        return Network(folder, int(units))
    raise KeyError(f"no network is called {name!r}; there are {', '.join(names())}")


@cache
def names() -> tuple[str, ...]:
    """All networks: those for all implementations first, each from few weight tensors to many."""
    found = [Network(path.parent.name) for path in FOLDER.glob("*/in_numpy.py")]
    found.sort(key=lambda network: (not network.for_all, len(network.weights), network.name))
    return tuple(network.name for network in found)
