"""The grid of framework versions: its environments and their packages.

The data are in versions.toml. Standard library only: tox imports this, too, through toxfile.py.
"""

import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.reporting.markdown import table

ROOT = Path(__file__).parents[2]
FILE = ROOT / "versions.toml"
PAGE = ROOT / "docs" / "versions.md"
EXAMPLE = "py312-torch2.9-tf2.20"
CUDA = "cuda12"
# Seconds that an interpreter, or uv, may take to answer.
PYTHON_LIMIT = 60.0
OWN = ".".join(platform.python_version_tuple()[:2])


class NoSuchEnvironment(Exception):
    """No environment has this name; the message has the wrong part, and what to use instead."""


@cache
def grid() -> dict[str, Any]:
    """The content of versions.toml."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def factors() -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """The parts of environments' names, oldest first, with their entries in versions.toml."""
    frameworks = grid()["torch"], grid()["tensorflow"]
    pythons = {one for rows in frameworks for row in rows.values() for one in row["python"]}
    return (
        {f"py{one.replace('.', '')}": one for one in sorted(pythons, key=numbers)},
        {f"torch{minor}": row for minor, row in grid()["torch"].items()},
        {f"tf{minor}": row for minor, row in grid()["tensorflow"].items()},
    )


def numbers(release: str) -> tuple[int, ...]:
    """A version as numbers, to sort by: 3.9 is before 3.10."""
    return tuple(map(int, release.split(".")))


def pins(name: str) -> dict[str, str]:
    """The versions of packages and of Python in the environment of this name.

    Raises `NoSuchEnvironment` for a part that is not in the grid, and for a combination that
    cannot be installed.
    """
    pythons, torch, tensorflow = factors()
    plain = name.removesuffix(f"-{CUDA}")
    if plain != name:
        for kind, prefix in (("torch", "torch"), ("tensorflow", "tf")):
            allowed = [f"{prefix}{minor}" for minor in grid()[CUDA][kind]]
            if not {*plain.split("-")} & {*allowed}:
                raise NoSuchEnvironment(
                    f"{name}: {CUDA} needs one of {', '.join(allowed)}; the reason is in "
                    f"{PAGE.relative_to(ROOT)}"
                )
    match plain.split("-"):
        case [py, one, two] if py in pythons and one in torch and two in tensorflow:
            chosen = {one: (torch, torch[one]), two: (tensorflow, tensorflow[two])}
        case parts:
            known = {*pythons, *torch, *tensorflow}
            unknown = ", ".join(part for part in parts if part not in known)
            raise NoSuchEnvironment(
                f"{name}: {f'unknown {unknown}' if unknown else 'not three parts in order'}; name "
                f"one each of {', '.join(pythons)}; {', '.join(torch)}; {', '.join(tensorflow)}: "
                f"such as {EXAMPLE}; add what is missing to {FILE.name}"
            )
    found = {"python": pythons[py]}
    for part, (others, row) in chosen.items():
        if pythons[py] not in row["python"]:
            older = [each for each, python in pythons.items() if python in row["python"]]
            newer = [each for each, one in others.items() if pythons[py] in one["python"]]
            raise NoSuchEnvironment(
                f"{name}: {part} cannot be installed on Python {pythons[py]}; in place of {py} "
                f"one of {', '.join(older)}, or in place of {part} one of {', '.join(newer)}"
            )
        found |= {package: pin for package, pin in row.items() if package != "python"}
    return found


def environments() -> list[str]:
    """Names of all environments that can be installed."""
    return [name for name in map("-".join, product(*factors())) if possible(name)]


def cuda_environments() -> list[str]:
    """Names of the environments for NVIDIA GPUs."""
    return [name for name in (f"{one}-{CUDA}" for one in environments()) if possible(name)]


def possible(name: str) -> bool:
    """Whether the environment of this name can be installed."""
    try:
        return bool(pins(name))
    except NoSuchEnvironment:
        return False


def labels(name: str) -> list[str]:
    """The labels that select this environment."""
    return [label for label, names in grid()["labels"].items() if name in names]


def installed(python: str) -> bool:
    """Whether a Python such as 3.12 is on this machine, as tox looks for it: with uv if it has uv.

    A command of pyenv that fails, because this Python is not installed, does not count.
    """
    if python == ".".join(platform.python_version_tuple()[:2]):
        return True
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [f"python{python}", "--version"]
    if uv := shutil.which("uv", path=path):
        command = [uv, "python", "find", "--system", "--no-python-downloads", python]
    try:
        ended = subprocess.run(command, capture_output=True, check=False, timeout=PYTHON_LIMIT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


def missing_python(name: str) -> str:
    """What to do if this machine lacks an environment's Python; empty if it has it."""
    own, _, rest = name.partition("-")
    pythons = factors()[0]
    if installed(pythons[own]):
        return ""
    found = [part for part, python in pythons.items() if installed(python)]
    others = [other for other in (f"{part}-{rest}" for part in found) if possible(other)]
    here = f"only {', '.join(pythons[part] for part in found)}" if found else "and no other"
    remedy = f"use {' or '.join(others)}, or " if others else ""
    return (
        f"{name}: no Python {pythons[own]} was found on this machine, {here}; {remedy}install "
        f"it, for example with `uv python install {pythons[own]}`"
    )


def differences(name: str) -> list[str]:
    """How this Python and its packages differ from those of the environment's name, as text."""
    found = []
    for package, pin in pins(name).items():
        if package == "python":
            here = ".".join(platform.python_version_tuple()[:2])
        else:
            try:
                here = version(package).split("+")[0]  # 2.9.1+cpu is a build of 2.9.1
            except PackageNotFoundError:
                here = "not installed"
        if here != pin:
            found.append(f"{package} is {here}, and should be {pin}")
    return found


def run(check: str | None, write: bool, here: bool) -> int:
    """`python -m benchmarks versions`: check this environment, list, write or print the page."""
    if check:
        try:
            wrong = differences(check)
        except NoSuchEnvironment as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        for line in wrong:
            print(f"error: {check}: {line}", file=sys.stderr)
        if wrong:
            print(f"build it again: tox run -r -e {check}", file=sys.stderr)
        return int(bool(wrong))
    if here:
        found = {part for part, python in factors()[0].items() if installed(python)}
        names = [*environments(), *cuda_environments()]
        print("\n".join(name for name in names if name.partition("-")[0] in found))
    elif write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
    return 0


# The page


def pinned(rows: dict[str, dict[str, Any]], packages: dict[str, str]) -> Iterator[str]:
    """A table of one framework: a row for each minor version."""
    headings = ["in the name", *packages.values(), "Python"]
    cells = (
        [f"`{part}`", *(row[package] for package in packages), ", ".join(row["python"])]
        for part, row in rows.items()
    )
    yield from ("", *table(headings, cells), "")


def gpu() -> Iterator[str]:
    """The section about NVIDIA GPUs."""
    names = cuda_environments()
    pairs = list(dict.fromkeys(name.partition("-")[2] for name in names))
    example = f"{EXAMPLE.partition('-')[0]}-{pairs[-1]}"
    yield from (
        "## NVIDIA GPUs",
        "",
        "In the environments above, TensorFlow cannot use a GPU, because its wheel has no CUDA.",
        "In the following ones, both frameworks use the same CUDA 12 libraries:",
        "",
        f"{', '.join(f'`{pair}`' for pair in pairs)}, each after",
        f"{', '.join(f'`{part}-`' for part in dict.fromkeys(n.partition('-')[0] for n in names))}.",
        "",
        "```bash",
        f"tox run -e {example} -- --device gpu",
        f"pip install -e '.[{CUDA},bench]'                # the same by hand",
        "pip install 'jax[cuda12]'                     # also for keras_jax",
        "```",
        "",
        "These environments need Linux on x86-64, 10 GB of disk, and NVIDIA's driver 525.60.13 or",
        "later (`nvidia-smi` shows the version). They bring CUDA itself. No other pair of the grid",
        "can share a GPU environment: TensorFlow 2.16 to 2.19 and each PyTorch pin different",
        "releases of CUDA 12; PyTorch 2.4 to 2.6 pin older ones than TensorFlow 2.20 and 2.21",
        "need; TensorFlow 2.21 needs a newer NCCL than PyTorch 2.7 to 2.10 pin; PyTorch 2.11 and",
        "later bring CUDA 13, which overwrites files of CUDA 12.",
        "",
        f"None of these environments has run on a GPU yet. `{example}` was built and",
        "computes on the CPU (2026-11-26).",
        "",
    )


def page() -> str:
    """docs/versions.md."""
    _, torch, tensorflow = factors()
    runs = grid()["runs"]
    lines = [
        "# Framework versions",
        "",
        "<!-- Written by `python -m benchmarks versions --write` from versions.toml. -->",
        "",
        "Each combination of a TensorFlow, a PyTorch and a Python that both support is an",
        f"environment, such as `{EXAMPLE}`. There are {len(environments())} environments.",
        "",
        "```bash",
        f"tox run -e {EXAMPLE}             # tests, then benchmarks, in this environment",
        f"tox run -e {EXAMPLE} -- --quick  # arguments after -- are the benchmarks'",
        "tox run -m corners                           # all environments of a label",
        "tox list                                     # all environments",
        "python -m benchmarks versions --here         # those whose Python is on this machine",
        "```",
        "",
        "tox installs and checks these versions, and runs the tests of parity, imports and data,",
        "then the benchmarks. Results are saved in `.benchmarks/environments/NAME/`. With a CUDA",
        "build of PyTorch, one environment takes 5 to 6 GB.",
        "",
        "## TensorFlow",
        *pinned(tensorflow, {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}),
        "Keras is the newest release before the next TensorFlow; with TensorFlow 2.16, Keras is",
        "the oldest release that the suite supports. NumPy is the newest compatible release.",
        "",
        "## PyTorch",
        *pinned(torch, {"torch": "PyTorch", "torchvision": "torchvision"}),
        *gpu(),
        "## Labels",
        "",
        *table(
            ["label", "environments"],
            (
                [f"`{label}`", ", ".join(f"`{name}`" for name in names)]
                for label, names in grid()["labels"].items()
            ),
        ),
        "",
        "## What was run",
        "",
        "These ran on a CPU with Linux on x86-64, by `tox run -e <name> -- --quick`, with the",
        "tests of that day. Skipped benchmarks need a GPU or did not fit into 40 seconds.",
        "[measured.md](measured.md) and [releases.md](releases.md) have sessions of others.",
        "",
        *table(
            ["environment", "date", "tests", "benchmarks"],
            (
                [f"`{name}`", run["date"], run["tests"], run["benchmarks"]]
                for name, run in runs.items()
            ),
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"
