"""Ways to ship a network: a file that a framework exports, and the runtime that loads it.

Importing this imports no framework. in_keras.py and in_pytorch.py have the routes of each.
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from mnist_models.implementations import FILES, not_installed

# A loaded network: a function from the framework's images to logits.
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Route:
    """One way to ship.

    `prepare` comes before anything that is timed. `export` writes the trainer's network to a path
    that ends in `suffix`. `load` reads it and returns a function that predicts on a number of
    threads. `own` marks a framework's own format. `needs` are packages, which `extra` brings.
    `program` must be on the PATH. `runtime` is the distribution that a machine needs to predict
    only, and `beside` are those that it uses without requiring them.
    """

    suffix: str
    export: Callable[[Any, Path], None]
    load: Callable[[Any, Path, int], Predict]
    needs: tuple[str, ...] = ()
    program: str = ""
    own: bool = False
    prepare: Callable[[Any], None] = lambda trainer: None
    extra: str = "deploy"
    runtime: str = field(kw_only=True)
    beside: tuple[str, ...] = ()

    def missing(self) -> str:
        """What is not installed, as text; empty if nothing is missing."""
        if lacks := not_installed(self.needs, self.extra):
            return lacks
        if self.program and shutil.which(self.program) is None:
            return f"there is no {self.program} on the PATH"
        return ""


def routes(implementation: str) -> dict[str, Route]:
    """The routes of an implementation by name, its own format first; most have none."""
    if implementation not in FILES:
        return {}
    found: dict[str, Route] = import_module(f"{__name__}.{FILES[implementation]}").ROUTES
    return found


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@cache
def environment_size(*distributions: str) -> int | None:
    """Bytes of distributions' installed files and of all that they require; None if unknown."""
    try:
        return sum(path.stat().st_size for path in installed_files(distributions))
    except ImportError:  # the distribution, or `packaging`, is not installed
        return None


def installed_files(distributions: Iterable[str]) -> set[Path]:
    """The files of distributions and of all that they require, without extras.

    Raises ImportError where one of them, or `packaging`, is not installed.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    todo, seen, files = [*distributions], set[str](), set[Path]()
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen:
            continue
        seen.add(name)
        found = metadata.distribution(name)
        paths = (Path(str(file.locate())) for file in found.files or ())
        files.update(path for path in paths if path.is_file())
        needs = map(Requirement, found.requires or ())
        todo += [one.name for one in needs if not one.marker or one.marker.evaluate({"extra": ""})]
    return files
