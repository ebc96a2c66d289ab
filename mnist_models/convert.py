"""Convert a network's weights from one framework's file to the other's, both ways.

Keras runs on PyTorch here, so that PyTorch is enough. Keras's files are the same on each backend.
"""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnist_models.networks import Network
from mnist_models.weights import Weights, check

KERAS_ENDINGS, PYTORCH_ENDINGS = (".keras", ".weights.h5"), (".pt", ".pth")


class FileError(ValueError):
    """A file cannot be converted; the message says which, why, and what to do."""


def convert(network: Network, source: Path, target: Path, overwrite: bool = False) -> None:
    """Read a network's weights from `source`, and write them to `target` in the target's format.

    Raises FileError, and then leaves `target` unchanged.
    """
    read, write = reader(source), writer(target)
    if not source.is_file():
        raise FileError(f"{source}: there is no such file")
    if target.exists() and not overwrite:
        raise FileError(f"{target} exists: choose another name, or give --force")
    if not target.absolute().parent.is_dir():
        raise FileError(f"{target}: its folder does not exist")
    os.environ["KERAS_BACKEND"] = "torch"
    weights = read(network, source)
    # Keras chooses a format by the ending of a name.
    part = target.with_name(f".part-{target.name}")
    try:
        write(network, weights, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def reader(path: Path) -> Callable[[Network, Path], Weights]:
    """The function that reads a file of this name; raises FileError."""
    found: Callable[[Network, Path], Weights] = by_ending(path, read_keras, read_pytorch)
    return found


def writer(path: Path) -> Callable[[Network, Weights, Path], None]:
    """The function that writes a file of this name; raises FileError."""
    found: Callable[[Network, Weights, Path], None] = by_ending(path, write_keras, write_pytorch)
    return found


def by_ending(path: Path, of_keras: Any, of_pytorch: Any) -> Any:
    """The one of both that is for files of this name; raises FileError."""
    for endings, found in ((KERAS_ENDINGS, of_keras), (PYTORCH_ENDINGS, of_pytorch)):
        if path.name.endswith(endings):
            return found
    known = f"{' or '.join(KERAS_ENDINGS)} for Keras, {' or '.join(PYTORCH_ENDINGS)} for PyTorch"
    raise FileError(f"{path}: its name must end with {known}")


def read_keras(network: Network, path: Path) -> Weights:
    """The weights in a file of `Model.save` or `Model.save_weights`."""
    from mnist_models.keras_weights import names

    model = network.in_keras()
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise unfit(path, network, "Keras", error) from None
    found = dict(zip(names(model), model.get_weights(), strict=True))
    check(found, network)
    return found


def write_keras(network: Network, weights: Weights, path: Path) -> None:
    """Write weights as `Model.save` or `Model.save_weights` does."""
    from mnist_models.keras_weights import names

    model = network.in_keras()
    model.set_weights([weights[name] for name in names(model)])
    if path.name.endswith(KERAS_ENDINGS[0]):
        model.save(path)
    else:
        model.save_weights(path)


def read_pytorch(network: Network, path: Path) -> Weights:
    """The weights in a file of `torch.save(model.state_dict(), …)`."""
    import torch
    from torch import nn

    from mnist_models.pytorch_weights import held

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise unfit(path, network, "PyTorch", error) from None
    if not isinstance(state, dict):
        raise unfit(path, network, "PyTorch", TypeError(f"it holds a {type(state).__name__}"))
    model = network.in_pytorch()
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise unfit(path, network, "PyTorch", error) from None
    for layer in model.modules():
        if isinstance(layer, nn.LSTM):
            # Keras has one bias, the sum of PyTorch's two. The second is not 0 if both are trained.
            with torch.no_grad():
                layer.bias_ih_l0 += layer.bias_hh_l0
    found = {name: part.read(network.weights[name]) for name, part in held(model).items()}
    check(found, network)
    return found


def write_pytorch(network: Network, weights: Weights, path: Path) -> None:
    """Write weights as `torch.save(model.state_dict(), …)` does."""
    import torch

    from mnist_models.pytorch_weights import held

    model = network.in_pytorch()
    with torch.no_grad():
        for name, part in held(model).items():
            started = part.converted(weights[name], network.weights[name])
            for tensor, value in zip(part.tensors, started, strict=True):
                tensor.copy_(value)
    torch.save(model.state_dict(), path)


def unfit(path: Path, network: Network, framework: str, error: Exception) -> FileError:
    """The error for a file that does not hold this network's weights."""
    saved = {
        "Keras": "model.save or model.save_weights",
        "PyTorch": "torch.save(model.state_dict(), …)",
    }[framework]
    said = " ".join(str(error).split())
    said = said if len(said) <= 300 else f"{said[:300]} …"
    return FileError(
        f"{path} does not hold the weights of {network.name}. Give the file of this network that "
        f"{saved} wrote. {framework} says: {said or type(error).__name__}"
    )
