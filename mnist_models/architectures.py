"""The networks, in numbers. Every implementation builds its layers from these and nothing else.

Shapes are (height, width, channels). Sources: `lenet5` follows LeCun et al., "Gradient-Based
Learning Applied to Document Recognition" (1998), figure 2, with ReLU and max-pooling in place of
the sigmoids and the subsampling of its day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

IMAGE_SHAPE = (28, 28, 1)
CLASSES = 10


@dataclass(frozen=True)
class Convolution:
    """A square convolution of stride 1, zero-padded by `padding` pixels, followed by ReLU."""

    filters: int
    kernel: int
    padding: int = 0


@dataclass(frozen=True)
class MaxPool:
    """Maximum over non-overlapping squares of `size` pixels."""

    size: int = 2


@dataclass(frozen=True)
class Flatten:
    """(height, width, channels) to one axis, in this order."""


@dataclass(frozen=True)
class Dense:
    """A fully connected layer, followed by ReLU unless it gives the logits."""

    units: int
    relu: bool = True


Layer = Convolution | MaxPool | Flatten | Dense


@dataclass(frozen=True)
class Architecture:
    """A stack of layers from a 28×28×1 image to 10 logits."""

    name: str
    layers: tuple[Layer, ...]

    def walk(self) -> Iterator[tuple[Layer, tuple[int, ...], tuple[int, ...]]]:
        """Yield each layer with the shapes of one image before and after it."""
        shape: tuple[int, ...] = IMAGE_SHAPE
        for layer in self.layers:
            before = shape
            match layer:
                case Convolution(filters, kernel, padding):
                    shape = (*(n + 2 * padding - kernel + 1 for n in before[:2]), filters)
                case MaxPool(size):
                    shape = (before[0] // size, before[1] // size, before[2])
                case Flatten():
                    shape = (prod(before),)
                case Dense(units):
                    shape = (units,)
            yield layer, before, shape

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight, kernels (in, out) or (height, width, in, out).

        The order is that of the layers, each kernel before its bias.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for index, (layer, before, _) in enumerate(self.walk()):
            match layer:
                case Convolution(filters, kernel):
                    shapes[f"{index}_convolution/kernel"] = (kernel, kernel, before[2], filters)
                    shapes[f"{index}_convolution/bias"] = (filters,)
                case Dense(units):
                    shapes[f"{index}_dense/kernel"] = (before[0], units)
                    shapes[f"{index}_dense/bias"] = (units,)
        return shapes

    def kernel_grids(self) -> dict[str, tuple[int, int, int]]:
        """The (height, width, channels) under each kernel, for who lays channels out first.

        A dense kernel covers the grid that was flattened before it, or a 1×1 grid.
        """
        grids: dict[str, tuple[int, int, int]] = {}
        flattened: tuple[int, ...] | None = None
        for index, (layer, before, _) in enumerate(self.walk()):
            match layer:
                case Convolution(_, kernel):
                    grids[f"{index}_convolution/kernel"] = (kernel, kernel, before[2])
                case Flatten():
                    flattened = before
                case Dense():
                    height, width, channels = flattened or (1, 1, before[0])
                    grids[f"{index}_dense/kernel"] = (height, width, channels)
                    flattened = None
        return grids

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(map(prod, self.weight_shapes().values()))

    @property
    def flops(self) -> int:
        """Multiplications and additions of one image's forward pass, without biases and ReLU."""
        total = 0
        for layer, before, after in self.walk():
            match layer:
                case Convolution(_, kernel):
                    total += 2 * prod(after) * kernel * kernel * before[2]
                case Dense():
                    total += 2 * before[0] * after[0]
        return total


MLP = Architecture("mlp", (Flatten(), Dense(512), Dense(CLASSES, relu=False)))

DEEP_MLP = Architecture(
    "deep_mlp",
    (Flatten(), Dense(512), Dense(256), Dense(128), Dense(CLASSES, relu=False)),
)

LENET5 = Architecture(
    "lenet5",
    (
        Convolution(6, kernel=5, padding=2),
        MaxPool(),
        Convolution(16, kernel=5),
        MaxPool(),
        Flatten(),
        Dense(120),
        Dense(84),
        Dense(CLASSES, relu=False),
    ),
)

ARCHITECTURES = {architecture.name: architecture for architecture in (MLP, DEEP_MLP, LENET5)}
