"""Keep other installed frameworks out of a process."""

import sys
from typing import Any

from mnist_models import implementations

FRAMEWORKS = ("jax", "tensorflow", "torch")
# Keras imports it if it is installed, and with it most of SciPy: a quarter of Keras's start.
UNUSED = ("sklearn",)


class Hiding:
    """A finder of modules that hides some packages."""

    def __init__(self, finder: Any, hidden: set[str]) -> None:
        self.finder, self.hidden = finder, hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the finder's own answer, or None for a hidden package."""
        return (
            None if name.split(".")[0] in self.hidden else self.finder.find_spec(name, path, target)
        )


def hide_others(implementation: str) -> None:
    """Hide all other frameworks from an implementation: TensorFlow imports jax if it can."""
    hidden = {*FRAMEWORKS, *UNUSED} - implementations.packages(implementation)
    sys.meta_path[:] = [Hiding(finder, hidden) for finder in sys.meta_path]
