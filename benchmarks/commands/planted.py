"""Extra work in an environment's training steps, to test whether it is found.

This file is self-contained: `plant` copies it into a virtual environment, whose `.pth` file imports
it when Python starts. When a framework's module is imported, one of its methods is wrapped.
"""

import sys
from collections import deque
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.util import find_spec
from time import perf_counter
from types import ModuleType
from typing import Any

# Extra work in each training step, as a share of its seconds without that work. The measured time
# grows by more, and differently in each environment (docs/measured.md).
SHARES = {"keras": 0.0, "torch": 0.0}
PLACES = {
    "keras.src.backend.tensorflow.trainer": ("keras", "TensorFlowTrainer", "train_on_batch"),
    "torch.optim.adam": ("torch", "Adam", "step"),
}
# The lower quartile of this many last steps is taken as a step's time. They are few, so that a new
# network soon counts. The median would be wrong, because the first step of a burst includes all
# time since the last burst.
WINDOW = 31


def slower(method: Callable[..., Any], share: float) -> Callable[..., Any]:
    """The method, followed by work for `share` of a step's time.

    A step lasts from the end of one call to the end of the next, wherever it calls the method.
    """
    steps: deque[float] = deque(maxlen=WINDOW)
    last: float | None = None

    def slowed(*arguments: Any, **options: Any) -> Any:
        nonlocal last
        began = perf_counter() if last is None else last
        result = method(*arguments, **options)
        steps.append(perf_counter() - began)
        until = perf_counter() + share * sorted(steps)[len(steps) // 4]
        while (last := perf_counter()) < until:
            pass
        return result

    return slowed


class Planter(MetaPathFinder, Loader):
    """Imports a module as it is, then wraps its method."""

    def __init__(self) -> None:
        self.looking = False
        self.original: Any = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The module's own spec, with this as its loader."""
        if name not in PLACES or self.looking or not SHARES[PLACES[name][0]]:
            return None
        self.looking = True
        try:
            spec = find_spec(name)
        finally:
            self.looking = False
        if spec is not None:
            self.original, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: Any) -> Any:
        """Create the module as its own loader does."""
        return self.original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module as its own loader does, then wrap the method."""
        module.__loader__ = self.original
        self.original.exec_module(module)
        package, owner, method = PLACES[module.__name__]
        planted = slower(getattr(getattr(module, owner), method), SHARES[package])
        setattr(getattr(module, owner), method, planted)


sys.meta_path.insert(0, Planter())
