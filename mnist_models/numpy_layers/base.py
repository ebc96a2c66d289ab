"""Layers, their combinations, and the starting values of their weights."""

from collections.abc import Iterator
from math import prod, sqrt
from typing import NamedTuple

import numpy as np

from mnist_models.conventions import TEXTBOOK


class Weight(NamedTuple):
    """One weight of a layer: its shape, and where training starts.

    Starting values are uniform in `centre` ± `spread`. A weight that is not `trained` is state,
    such as a running mean. A weight that is not `compared` has a gradient of zero, except for
    rounding. `grid` is the (height, width, channels) that a dense kernel's inputs were flattened
    from, which frameworks with channels first need.
    """

    shape: tuple[int, ...]
    spread: float
    centre: float = 0.0
    trained: bool = True
    grid: tuple[int, int, int] | None = None
    compared: bool = True


def kernel_and_bias(
    shape: tuple[int, ...], grid: tuple[int, int, int] | None = None
) -> dict[str, Weight]:
    """The weights of a layer with a kernel of `shape`, inputs before outputs.

    The kernel has the variance 2 / fan-in (He et al., "Delving Deep into Rectifiers", 2015). The
    bias is not zero, so that a missing bias is noticed. Neither is a framework's default.
    """
    fan_in = prod(shape[:-1])
    return {
        "kernel": Weight(shape, sqrt(6 / fan_in), grid=grid),
        "bias": Weight(shape[-1:], 1 / sqrt(fan_in)),
    }


class Layer:
    """A layer without weights; `flops` are those of its matrix products, for one image."""

    flops = 0
    conventions = TEXTBOOK

    def __init__(self) -> None:
        self.weights: dict[str, Weight] = {}
        self.gradients: dict[str, np.ndarray] = {}
        self.layers: dict[str, Layer] = {}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        raise NotImplementedError

    def backward(self, delta: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Chain(Layer):
    """One part after the other; the layers of all parts count as the chain's own."""

    def __init__(self, *parts: Layer) -> None:
        super().__init__()
        self.parts = parts
        self.layers = {name: layer for part in parts for name, layer in part.layers.items()}

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        for part in self.parts:
            x = part.forward(x, training)
        return x

    def backward(self, delta: np.ndarray) -> np.ndarray:
        for part in reversed(self.parts):
            delta = part.backward(delta)
        return delta


class Sequential(Chain):
    """Layers by name, one after the other."""

    def __init__(self, **layers: Layer) -> None:
        super().__init__(*layers.values())
        self.layers = layers


class Residual(Layer):
    """The layers' output for x, plus x, or plus the output of the `shortcut` for x.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), equations 1 and 2.
    """

    def __init__(self, shortcut: Layer | None = None, **layers: Layer) -> None:
        super().__init__()
        self.main, self.shortcut = Sequential(**layers), shortcut
        self.layers = layers | ({"shortcut": shortcut} if shortcut else {})

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        aside = self.shortcut.forward(x, training) if self.shortcut else x
        return self.main.forward(x, training) + aside

    def backward(self, delta: np.ndarray) -> np.ndarray:
        aside = self.shortcut.backward(delta) if self.shortcut else delta
        return self.main.backward(delta) + aside


def leaves(layer: Layer, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield the layers that contain no others, with names such as "block1_conv1"."""
    for name, inner in layer.layers.items():
        if inner.layers:
            yield from leaves(inner, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", inner
