"""Convert PyTorch's weights to the layout of `Network.weights` and back, by type of layer."""

from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mnist_models.numpy_layers import Weight

Conversion = Callable[[np.ndarray, Weight], np.ndarray]


def same(array: np.ndarray, weight: Weight) -> np.ndarray:
    """The array, which needs no conversion."""
    return array


def dense_to_pytorch(kernel: np.ndarray, weight: Weight) -> np.ndarray:
    """(in, out) to (out, in); PyTorch flattens channels, height, width in this order."""
    grid = weight.grid or (1, 1, len(kernel))
    return kernel.reshape(*grid, -1).transpose(3, 2, 0, 1).reshape(kernel.T.shape)


def dense_from_pytorch(kernel: np.ndarray, weight: Weight) -> np.ndarray:
    """The inverse of `dense_to_pytorch`."""
    height, width, channels = weight.grid or (1, 1, kernel.shape[1])
    grid = kernel.reshape(-1, channels, height, width)
    return grid.transpose(2, 3, 1, 0).reshape(kernel.T.shape)


def swap_gates(array: np.ndarray) -> np.ndarray:
    """Exchange the first two of three blocks of columns: a GRU's update and reset gates."""
    update, reset, candidate = np.split(array, 3, axis=-1)
    return np.concatenate([reset, update, candidate], axis=-1)


class Place(NamedTuple):
    """PyTorch's name of a layer's weight, and how it is converted.

    If one tensor holds several weights, this one is `part`, counted from 0, of `parts` blocks of
    its rows. If one weight is in several tensors, they are `names`, and its rows are split.
    """

    names: tuple[str, ...]
    to_pytorch: Conversion = same
    from_pytorch: Conversion = same
    part: int = 0
    parts: int = 1

    def tensors(self, layer: nn.Module) -> list[torch.Tensor]:
        """The memory of a layer's weight."""
        found = [attrgetter(name)(layer) for name in self.names]
        if any(tensor is None for tensor in found):
            return []
        return [tensor.detach().chunk(self.parts)[self.part] for tensor in found]


def transposed(name: str, part: int = 0, parts: int = 1) -> Place:
    """(in, ...) to (out, in), all but the first axis of the shared layout taken as one."""
    return Place(
        (name,),
        lambda kernel, weight: kernel.reshape(len(kernel), -1).T,
        lambda kernel, weight: kernel.T.reshape(weight.shape),
        part,
        parts,
    )


def flattened(name: str, part: int = 0, parts: int = 1) -> Place:
    """(heads, features) to (heads · features)."""
    return Place(
        (name,),
        lambda bias, weight: bias.reshape(-1),
        lambda bias, weight: bias.reshape(weight.shape),
        part,
        parts,
    )


BIAS = Place(("bias",))
NORMALIZATION = {"gamma": Place(("weight",)), "beta": BIAS}
BATCH_NORMALIZATION = NORMALIZATION | {
    "moving_mean": Place(("running_mean",)),
    "moving_variance": Place(("running_var",)),
}
# (height, width, in, out) here, (out, in, height, width) in PyTorch.
CONVOLUTION = Place(
    ("weight",),
    lambda kernel, weight: kernel.transpose(3, 2, 0, 1),
    lambda kernel, weight: kernel.transpose(2, 3, 1, 0),
)
# (height, width, channels, multiplier) here, (channels · multiplier, 1, height, width) in PyTorch.
DEPTHWISE = Place(
    ("weight",),
    lambda kernel, weight: kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2]),
    lambda kernel, weight: kernel.reshape(*weight.shape[2:], *weight.shape[:2]).transpose(
        2, 3, 0, 1
    ),
)
# Both have the gates of an LSTM in the same order. PyTorch's second bias is not among the weights.
LSTM = {
    "kernel": transposed("weight_ih_l0"),
    "recurrent_kernel": transposed("weight_hh_l0"),
    "bias": Place(("bias_ih_l0",)),
}
# Update and reset gate of a GRU change places.
GATED = (
    lambda kernel, weight: swap_gates(kernel).T,
    lambda kernel, weight: swap_gates(kernel.T),
)
GRU = {
    "kernel": Place(("weight_ih_l0",), *GATED),
    "recurrent_kernel": Place(("weight_hh_l0",), *GATED),
    "bias": Place(
        ("bias_ih_l0", "bias_hh_l0"),
        lambda bias, weight: swap_gates(bias).reshape(-1),
        lambda bias, weight: swap_gates(bias.reshape(weight.shape)),
    ),
}
PROJECTIONS = ("query", "key", "value")
# (width, heads, features) here; in PyTorch the rows of one matrix, query above key above value.
ATTENTION = {
    **{f"{n}_kernel": transposed("in_proj_weight", i, 3) for i, n in enumerate(PROJECTIONS)},
    **{f"{n}_bias": flattened("in_proj_bias", i, 3) for i, n in enumerate(PROJECTIONS)},
    # (heads, features, width) here, (width, heads · features) in PyTorch.
    "attention_output_kernel": Place(
        ("out_proj.weight",),
        lambda kernel, weight: kernel.reshape(-1, kernel.shape[-1]).T,
        lambda kernel, weight: kernel.T.reshape(weight.shape),
    ),
    "attention_output_bias": Place(("out_proj.bias",)),
}

# Where each type of layer keeps the weights that the shared layout names.
PLACES: dict[type[nn.Module], dict[str, Place]] = {
    nn.BatchNorm2d: BATCH_NORMALIZATION,
    nn.Conv2d: {"kernel": CONVOLUTION, "bias": BIAS},
    nn.Embedding: {"embeddings": Place(("weight",))},
    nn.GRU: GRU,
    nn.GroupNorm: NORMALIZATION,
    nn.LSTM: LSTM,
    nn.LayerNorm: NORMALIZATION,
    nn.Linear: {"kernel": Place(("weight",), dense_to_pytorch, dense_from_pytorch), "bias": BIAS},
    nn.MultiheadAttention: ATTENTION,
    nn.RMSNorm: {"scale": Place(("weight",))},
}


def places_of(layer: nn.Module) -> dict[str, Place]:
    """Where a layer keeps its weights, by their shared names."""
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return {"kernel": DEPTHWISE, "bias": BIAS}
    return PLACES.get(type(layer), {})


class Held(NamedTuple):
    """A weight as a layer of a model holds it: in one tensor, in several, or in a part of one."""

    layer: nn.Module
    place: Place

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The memory that holds it now: a model that changes its layout moves its weights."""
        return self.place.tensors(self.layer)

    def read(self, weight: Weight) -> np.ndarray:
        """A copy in the shared layout."""
        rows = [tensor.numpy(force=True) for tensor in self.tensors]
        return self.place.from_pytorch(np.concatenate(rows), weight).copy()

    def converted(self, array: np.ndarray, weight: Weight) -> list[torch.Tensor]:
        """The new value of each tensor, of its type and on its device."""
        tensors = self.tensors
        rows = np.split(self.place.to_pytorch(array, weight), len(tensors))
        return [torch.tensor(part).to(tensor) for part, tensor in zip(rows, tensors, strict=True)]


def held(model: nn.Module) -> dict[str, Held]:
    """The weights of a model by shared names such as "block1_conv1/kernel".

    Names have no dots: Keras cannot have them in the names of layers when it runs on PyTorch.
    """
    found = {
        f"{name.replace('.', '_')}/{key}": Held(layer, place)
        for name, layer in model.named_modules()
        for key, place in places_of(layer).items()
    }
    return {name: weight for name, weight in found.items() if weight.tensors}
