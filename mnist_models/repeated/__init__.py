"""Calls that users repeat in one process, to be checked for leaks of memory, threads and files.

Importing this imports no framework. in_keras.py and in_pytorch.py have the calls of each.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

# Takes a trainer, and images and labels on the device.
Call = Callable[[Any, Any, Any], None]


def calls(implementation: str) -> dict[str, Call]:
    """The calls of an implementation by name; none of one that is neither Keras nor PyTorch."""
    for framework in ("keras", "pytorch"):
        if implementation.startswith(framework):
            found: dict[str, Call] = import_module(f"{__name__}.in_{framework}").CALLS
            return found
    return {}
