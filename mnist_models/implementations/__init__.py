"""One file per implementation: the folder listing is the feature list.

An implementation is a module that offers, in this order, what `Implementation` says. Nothing
inherits from the protocols: they are the documentation of the contract, checked by the tests.
"""

import ast
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from mnist_models.conventions import Conventions
from mnist_models.networks import Network
from mnist_models.recipe import Adam, Recipe
from mnist_models.weights import Weights

FOLDER = Path(__file__).parent

# The two files people came to read. Ratios are the first's seconds over the second's.
PAIR = ("keras_tensorflow", "pytorch_eager")

# In folders that have one file for each framework: the pair's.
FILES = dict(zip(PAIR, ("in_keras", "in_pytorch"), strict=True))


class Unavailable(Exception):
    """Raised on import if this machine cannot run an implementation; names what is missing."""


class Trainer(Protocol):
    """One network with its optimiser on one device.

    `dtype` is "float32" or "float64". A tensor is whatever the framework computes with.
    `compilation` tells how it is run: "eager", "graph", "XLA", … An optional `returns_late` tells
    why the call of an epoch may return long after its last step. An optional method `compilations`
    tells how often its code was traced or compiled so far: what is timed should do neither.
    """

    compilation: str

    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None: ...

    def disable_dropout(self) -> None:
        """Compute without dropout from now on; called before anything is traced or compiled."""

    def reset(self) -> None:
        """Restore, in place, the weights last set and a fresh optimiser; compile nothing again."""

    def put(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Move float (n, 28, 28, 1) images and integer (n,) labels from NumPy to the device."""

    def fetch(self, tensor: Any) -> Any:
        """Bring a tensor back as a NumPy array."""

    def forward(self, images: Any) -> Any:
        """Logits (n, 10) of a batch."""

    def placement(self, images: Any) -> dict[str, Any]:
        """Devices, types and layout of a forward pass of a batch, read off its tensors.

        `devices` and `dtypes` of parameters and logits, and the `layout` of what a convolution
        gives: "channels_first" or "channels_last", None where there is no convolution.
        """

    def probabilities(self, images: Any) -> Any:
        """Softmax of the logits, (n, 10)."""

    def train_step(self, images: Any, labels: Any) -> Any:
        """Forward, mean cross-entropy, backward, update; returns the loss before the update.

        Or its mean over the steps since `reset`, as `train_on_batch` of Keras before 3.15.
        """

    def train_epoch(
        self, images: Any, labels: Any, order: Any, trained: Callable[[], None]
    ) -> None:
        """One pass over `order` (n,), in steps of the batch size, the last partial batch kept.

        Calls `trained` once, right after the last step.
        """

    def get_weights(self) -> Weights:
        """The weights as NumPy arrays in the layout of `Network.weights`."""

    def set_weights(self, weights: Weights) -> None:
        """Take the weights in and start from them, now and at each `reset`."""

    def synchronize(self) -> None:
        """Return when the device has finished all that was asked of it."""


class Defaults(Protocol):
    """The contract of defaults/in_keras.py and defaults/in_pytorch.py."""

    Own: type[Network]

    def seed(self, number: int) -> None:
        """Make random starting weights and dropout those of a seed."""

    def adam(self) -> Adam:
        """The optimiser with the values that it has when none is given."""

    def probe(self) -> dict[str, dict[str, Any]]:
        """What each topic of `defaults.TOPICS` is, starts with and answers, by its name."""


class Implementation(Protocol):
    """The contract of a module in this folder.

    An optional `DEFAULTS` has what its framework does by itself (`Defaults`): `python -m benchmarks
    learn` asks for it.
    """

    # The formulas it computes by, where they are not the textbook's to the last digit.
    CONVENTIONS: Conventions

    def versions(self) -> dict[str, str]:
        """Version of each package that the computation depends on."""

    def devices(self) -> list[str]:
        """Of "cpu" and "gpu", those that it can use on this machine."""

    def configure(self, threads: int) -> dict[str, Any]:
        """Set process-wide knobs, before anything else; return everything that is in force."""

    def set_precision(self, precision: str) -> dict[str, bool]:
        """Switch TF32 on ("tf32") or off ("float32"); return the settings that are in force."""

    def peak_gpu_memory(self) -> int:
        """Bytes of the GPU's memory that this process's tensors took at most."""

    Trainer: Callable[[Network, Recipe, str, str], Trainer]


def names() -> list[str]:
    """All implementations, installed or not, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


@cache
def packages(name: str) -> frozenset[str]:
    """Top-level packages that implementation `name`, or one that it builds on, imports.

    Reads the files without running them, so that asking costs no import.
    """
    modules: set[str] = set()
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    siblings = {other for other in names() if f"{__name__}.{other}" in modules}
    found = {module.split(".")[0] for module in modules}
    return frozenset(found.union(*map(packages, siblings)))


def missing(name: str) -> list[str]:
    """Packages that implementation `name` imports and that are not installed here."""
    return sorted(package for package in packages(name) if find_spec(package) is None)


def not_installed(needs: Iterable[str], extra: str) -> str:
    """Which packages are not installed, with the extra that brings them; empty if all are."""
    lacks = ", ".join(name for name in needs if find_spec(name) is None)
    return lacks and f"not installed: {lacks}; pip install -e '.[{extra}]'"


def first_line(error: Exception) -> str:
    """What an error says, on one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip() if lines else ''}"[:200]


def installed(wanted: Iterable[str]) -> dict[str, str]:
    """Distributions and versions that packages come from, asked of no package; empty if none."""
    known = distributions()
    return {
        package: ", ".join(
            f"{found} {version(found)}" for found in sorted(set(known.get(package, ())))
        )
        for package in wanted
    }


@cache
def distributions() -> Mapping[str, list[str]]:
    """Distributions by package. Looking through all of them takes half a second."""
    return packages_distributions()


def load(name: str) -> Any:
    """Import implementation `name` and with it its framework.

    Raises ImportError when the framework is not installed, `Unavailable` when this machine cannot
    run it.
    """
    return import_module(f"{__name__}.{name}")
