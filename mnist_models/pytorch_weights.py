"""PyTorch's weights in the layout of `Network.weights`, and back: by name, by type of layer."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mnist_models.numpy_layers import Weight

Conversion = Callable[[np.ndarray, Weight], np.ndarray]


def dense_to_pytorch(kernel: np.ndarray, weight: Weight) -> np.ndarray:
    """(in, out) to (out, in); PyTorch flattens channels, height, width in this order."""
    grid = weight.grid or (1, 1, len(kernel))
    return kernel.reshape(*grid, -1).transpose(3, 2, 0, 1).reshape(kernel.T.shape)


def dense_from_pytorch(kernel: np.ndarray, weight: Weight) -> np.ndarray:
    """The inverse of `dense_to_pytorch`."""
    height, width, channels = weight.grid or (1, 1, kernel.shape[1])
    grid = kernel.reshape(-1, channels, height, width)
    return grid.transpose(2, 3, 1, 0).reshape(kernel.T.shape)


class Place(NamedTuple):
    """PyTorch's name of a layer's weight, and how it is converted."""

    name: str
    to_pytorch: Conversion = lambda array, weight: array
    from_pytorch: Conversion = lambda array, weight: array


BIAS = Place("bias")
DENSE = Place("weight", dense_to_pytorch, dense_from_pytorch)
# (height, width, in, out) here, (out, in, height, width) in PyTorch.
CONVOLUTION = Place(
    "weight",
    lambda kernel, weight: kernel.transpose(3, 2, 0, 1),
    lambda kernel, weight: kernel.transpose(2, 3, 1, 0),
)

# Where each type of layer keeps the weights that the shared layout names.
PLACES: dict[type[nn.Module], dict[str, Place]] = {
    nn.BatchNorm2d: {
        "gamma": Place("weight"),
        "beta": BIAS,
        "moving_mean": Place("running_mean"),
        "moving_variance": Place("running_var"),
    },
    nn.Conv2d: {"kernel": CONVOLUTION, "bias": BIAS},
    nn.Linear: {"kernel": DENSE, "bias": BIAS},
}


def places(model: nn.Module) -> dict[str, tuple[torch.Tensor, Place]]:
    """The tensor of each weight and its place, by shared names such as "block1_conv1/kernel".

    Names have no dots: Keras cannot have them in the names of layers when it runs on PyTorch.
    """
    return {
        f"{name.replace('.', '_')}/{key}": (getattr(layer, place.name), place)
        for name, layer in model.named_modules()
        for key, place in PLACES.get(type(layer), {}).items()
        if getattr(layer, place.name) is not None
    }
