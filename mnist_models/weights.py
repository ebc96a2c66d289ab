"""One set of starting weights for everybody, as NumPy arrays in one layout.

The layout is that of `Architecture.weight_shapes`: dense kernels (in, out), convolution kernels
(height, width, in, out), the axis after a flatten in height-width-channel order.
"""

from io import BytesIO
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_models.architectures import Architecture

Weights = dict[str, npt.NDArray[np.floating]]


def initial(architecture: Architecture, seed: int) -> Weights:
    """Starting weights in float32, the same for every implementation.

    Kernels are uniform with variance 2 / fan-in (He et al., "Delving Deep into Rectifiers", 2015);
    biases uniform in ±1/√fan-in, not zero, so that a bias left out is seen at once. Neither is a
    framework's default.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    weights: Weights = {}
    fan_in = 0
    for name, shape in architecture.weight_shapes().items():
        if name.endswith("kernel"):
            fan_in = prod(shape[:-1])
            limit = sqrt(6 / fan_in)
        else:
            limit = 1 / sqrt(fan_in)
        weights[name] = ((2 * random.random(shape) - 1) * limit).astype(np.float32)
    return weights


def order(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The order in which one epoch visits `count` images, the same for every implementation."""
    return np.random.Generator(np.random.PCG64((seed, count))).permutation(count)


def to_bytes(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Arrays by name, as the bytes of an .npz file: NumPy alone reads them in a worker."""
    buffer = BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The inverse of `to_bytes`."""
    with np.load(BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


def save(weights: Weights, path: Path) -> None:
    """Write the weights as a safetensors file."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, path)


def load(path: Path) -> Weights:
    """Read a safetensors file; raises FileNotFoundError or SafetensorError."""
    from safetensors.numpy import load_file

    return load_file(path)
