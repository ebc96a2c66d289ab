"""The starting weights and the order of the images, the same for every implementation.

Weights are NumPy arrays by name, such as "conv1/kernel", in the layout of `Network.weights`: dense
kernels (in, out), convolution kernels (height, width, in, out), the axis after a flatten in
height-width-channel order.
"""

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_models.networks import Network

Weights = dict[str, npt.NDArray[np.floating]]


def initial(network: Network, seed: int) -> Weights:
    """Starting weights in float32, uniform as each `Weight` says."""
    random = np.random.Generator(np.random.PCG64(seed))
    return {
        name: (weight.centre + (2 * random.random(weight.shape) - 1) * weight.spread).astype("f4")
        for name, weight in network.weights.items()
    }


def check(weights: Weights, network: Network) -> None:
    """Raise ValueError unless `weights` have the network's names and shapes."""
    found = {name: array.shape for name, array in weights.items()}
    wanted = {name: weight.shape for name, weight in network.weights.items()}
    if found != wanted:
        differing = sorted(found.items() ^ wanted.items())
        raise ValueError(f"the weights are not those of {network.name}'s in_numpy.py: {differing}")


def order(count: int, seed: int, epoch: int = 0) -> npt.NDArray[np.int64]:
    """The order in which an epoch visits `count` images, the same for every implementation."""
    entropy = (seed, count, epoch) if epoch else (seed, count)
    return np.random.Generator(np.random.PCG64(entropy)).permutation(count)


def to_bytes(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Arrays by name, as the bytes of an .npz file: NumPy alone reads them in a worker."""
    buffer = BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The inverse of `to_bytes`."""
    with np.load(BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)
