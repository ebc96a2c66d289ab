"""Changes of one property of an implementation that may affect a time, each a small function.

`changed` makes one in a worker before it builds trainers to time. in_keras.py and in_pytorch.py
have the changes of one of the pair, this file those of any implementation.
`benchmarks/causes/knobs.py` lists them together with variables and threads, which need no code.
"""

import gc
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mnist_models import exports
from mnist_models.exports import runtimes

# Threads of ONNX Runtime that spin between calls would slow the other contestants down.
BETWEEN_CALLS = {"session.force_spinning_stop": "1"}
# So many sizes have the batches of an epoch in which they change; the largest is the usual one.
SIZES = 48


def changed(module: Any, knob: str, **more: Any) -> Any:
    """An implementation's trainer with one thing changed; raises LookupError for unknown knobs.

    A knob is a function of the implementation's module that returns a class in place of its
    Trainer; some take `more`.
    """
    framework = "keras" if "keras" in module.versions() else "pytorch"
    own = import_module(f"mnist_models.knobs.in_{framework}")
    for place in (own, import_module(__name__)):
        if (change := getattr(place, knob, None)) is not None:
            return change(module, **more)
    raise LookupError(f"{framework} has no knob {knob}")


def gc_off(module: Any) -> Any:
    """Python collects no garbage."""
    gc.disable()
    return module.Trainer


def both_frameworks(module: Any) -> Any:
    """The other framework is imported into the same process."""
    # The worker hides other frameworks.
    sys.meta_path[:] = [getattr(finder, "finder", finder) for finder in sys.meta_path]
    import_module("torch" if "keras" in module.versions() else "tensorflow")
    return module.Trainer


def float64(module: Any) -> Any:
    """The trainer computes in float64."""

    class Trainer(module.Trainer):  # type: ignore[misc]
        def __init__(self, network: Any, recipe: Any, device: str, dtype: str) -> None:
            super().__init__(network, recipe, device, "float64")

    return Trainer


def other_epsilon(module: Any) -> Any:
    """Adam's epsilon is ten times as large, as between the two frameworks' defaults."""

    class Trainer(module.Trainer):  # type: ignore[misc]
        def __init__(self, network: Any, recipe: Any, device: str, dtype: str) -> None:
            if hasattr(recipe.optimizer, "epsilon"):
                adam = replace(recipe.optimizer, epsilon=10 * recipe.optimizer.epsilon)
                recipe = replace(recipe, optimizer=adam)
            super().__init__(network, recipe, device, dtype)

    return Trainer


def from_numpy(module: Any) -> Any:
    """Batches are NumPy arrays, and are moved to the device at each call."""

    class Trainer(module.Trainer):  # type: ignore[misc]
        def put(self, images: Any, labels: Any) -> tuple[Any, Any]:
            return images, labels

        def train_step(self, images: Any, labels: Any) -> Any:
            return super().train_step(*super().put(images, labels))

        def forward(self, images: Any) -> Any:
            return super().forward(super().put(images, images[:, 0, 0, 0].astype("uint8"))[0])

    return Trainer


def parts(images: int, batch_size: int) -> Iterator[slice]:
    """An epoch of `images` in batches of which each has another size than the one before."""
    start, number = 0, 0
    while start < images:
        size = max(1, batch_size - number % SIZES)
        yield slice(start, start + size)
        start, number = start + size, number + 1


def onnx_runtime(module: Any, threads: int = 1) -> Any:
    """ONNX Runtime predicts, with the network that the framework exports."""
    route = exports.routes(module.__name__.rpartition(".")[2])["ONNX"]

    class Trainer(module.Trainer):  # type: ignore[misc]
        example: Any

        def set_weights(self, weights: Any) -> None:
            super().set_weights(weights)
            self.predict: exports.Predict | None = None

        def put(self, images: Any, labels: Any) -> tuple[Any, Any]:
            # A worker's trainers share the batches that one of them has put.
            Trainer.example, labels = super().put(images, labels)
            return self.fetch(Trainer.example), labels

        def forward(self, images: Any) -> Any:
            if self.predict is None:
                super().forward(self.example)  # Keras exports no model that was never called
                with TemporaryDirectory() as folder:
                    path = Path(folder, f"network{route.suffix}")
                    route.prepare(self)
                    route.export(self, path)
                    self.predict = runtimes.onnx(self, path, threads, BETWEEN_CALLS)
            return self.predict(images)

    return Trainer


def onnx_runtime_spins(module: Any) -> Any:
    """ONNX Runtime has two threads on one CPU: one of them waits for work in a busy loop."""
    return changed(module, "onnx_runtime", threads=2)


def loss_read(module: Any) -> Any:
    """The loss is read as a Python number at every step."""

    class Trainer(module.Trainer):  # type: ignore[misc]
        def train_step(self, images: Any, labels: Any) -> Any:
            return float(super().train_step(images, labels))

    return Trainer


def loss_printed(module: Any) -> Any:
    """The loss is printed at every step."""

    class Trainer(module.Trainer):  # type: ignore[misc]
        def train_step(self, images: Any, labels: Any) -> Any:
            loss = super().train_step(images, labels)
            print(f"loss {float(loss):.4f}", flush=True)
            return loss

    return Trainer
