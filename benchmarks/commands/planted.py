"""More work in an environment's training steps, to see whether it is found.

Stands alone: `plant` copies this file into a virtual environment, whose `.pth` file imports it when
Python starts. It waits until a framework's module is imported and wraps one of its methods.
"""

import sys
from collections import deque
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.util import find_spec
from time import perf_counter
from types import ModuleType
from typing import Any

# Doses of work in each training step, as shares of the seconds that it takes without. What a dose
# adds to the measured time is more, and not the same in each environment (docs/measured.md).
SHARES = {"keras": 0.0, "torch": 0.0}
PLACES = {
    "keras.src.backend.tensorflow.trainer": ("keras", "TensorFlowTrainer", "train_on_batch"),
    "torch.optim.adam": ("torch", "Adam", "step"),
}
# Steps whose lower quartile tells how long one takes: few, so that another network is soon
# noticed; not their median, because the first step of each burst seems to take as long as all that
# went on since the last one.
WINDOW = 31


def slower(method: Callable[..., Any], share: float) -> Callable[..., Any]:
    """The method, followed by work for `share` of the time from the end of its last call.

    That is the whole step, wherever in it the method is called.
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
        """As the module's own loader does."""
        return self.original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does; then the method is wrapped."""
        module.__loader__ = self.original
        self.original.exec_module(module)
        package, owner, method = PLACES[module.__name__]
        planted = slower(getattr(getattr(module, owner), method), SHARES[package])
        setattr(getattr(module, owner), method, planted)


sys.meta_path.insert(0, Planter())
