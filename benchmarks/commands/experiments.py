"""The file of an experiment, which is read and checked to continue an interrupted one."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from benchmarks.comparing.machines import cpu_name
from mnist_models import implementations
from mnist_models.implementations import PAIR

Experiment = TypeVar("Experiment", bound=BaseModel)


def continued(
    new: Experiment,
    output: Path,
    read: Callable[[str], Experiment],
    kind: str,
    same: Iterable[str],
) -> Experiment:
    """The experiment in a file, or `new` if there is no file.

    Raises ValueError unless the fields `same` are those of `new`.
    """
    if not output.exists():
        return new
    try:
        old = read(output.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{output} is no experiment of {kind}: {error}") from None
    for field in same:
        there, here = getattr(old, field), getattr(new, field)
        # Older files have only the processor's brand.
        if field == "machine" and here.startswith(f"{there} ("):
            setattr(old, field, here)
        elif there != here:
            words = f"{output} has {field} {there}, this run {here}; give another --output"
            raise ValueError(words)
    return old


def write(found: BaseModel, output: Path) -> None:
    """Write the file completely, or not at all."""
    write_text(found.model_dump_json(), output)


def write_text(text: str, output: Path) -> None:
    """The same for any text."""
    part = output.with_name(f"{output.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, output)


def machine() -> str:
    """The CPU's name with its generation."""
    from cpuinfo import get_cpu_info

    return cpu_name(get_cpu_info())


def versions() -> dict[str, str]:
    """Versions of the packages that the pair imports."""
    packages = set[str]().union(*map(implementations.packages, PAIR))
    found = implementations.installed(sorted(packages))
    return {name: version for name, version in found.items() if version}
