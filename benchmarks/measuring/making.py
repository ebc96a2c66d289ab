"""Environments of exact versions, which uv makes within a limit of disk; and lists of releases.

The folder holds the environments and uv's cache, which share files. Both are removed when the limit
would be exceeded. A removed environment is made again when it is needed.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from packaging.version import Version
from uv import find_uv_bin

from benchmarks.measuring.environments import (
    Environment,
    EnvironmentProblem,
    folder_name,
    from_interpreter,
)

# Exact version by package, and by "python". If a package comes from another distribution, its name
# precedes the version: "keras-nightly 3.16.0.dev2026102704".
Pins = Mapping[str, str]
NIGHTLY = {"keras": "keras-nightly", "tensorflow": "tf-nightly"}
CACHE, MARK = "cache", "made.json"
# Workers always need NumPy; only the controller needs the suite's other requirements.
ALWAYS = "numpy"
# Seconds for an installation, and for a question to the index.
INSTALL_LIMIT, INDEX_LIMIT = 3600.0, 180.0
GIGABYTE = 10**9
# Bytes of a package with its dependencies, in its largest build.
SIZES = {"torch": 6 * GIGABYTE, "tensorflow": 2 * GIGABYTE, "jax": GIGABYTE // 2}
SMALL = GIGABYTE // 2


def title(pins: Pins) -> str:
    """The name of an environment, such as python3.12-keras3.15.0-tensorflow2.21.0."""
    order = sorted(pins, key=lambda package: (package != "python", package))
    return folder_name("-".join("".join(distribution(package, pins[package])) for package in order))


def distribution(package: str, pin: str) -> tuple[str, str]:
    """The distribution and the version of a package."""
    name, _, version = pin.rpartition(" ")
    return name or package, version


def size(pins: Pins) -> int:
    """About how many bytes an environment takes at most."""
    return SMALL + sum(SIZES.get(package, 0) for package in pins)


class Unresolvable(EnvironmentProblem):
    """Versions cannot be installed together; the message is the resolver's."""


class Maker:
    """Makes environments in `folder`, which may take about `disk` bytes.

    `say` prints a message before slow steps. One process at a time uses a folder, because it may
    remove what it does not need.
    """

    def __init__(self, folder: Path, disk: int, say: Callable[[str], None]) -> None:
        self.folder, self.disk, self.say = folder.resolve(), disk, say
        self.lock = FileLock(self.folder / "lock")

    def begin(self) -> None:
        """Lock the folder for this process; raises EnvironmentProblem if another one has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock.acquire(timeout=0)
        except Timeout:
            raise EnvironmentProblem(
                f"{self.folder}: another command uses these environments; wait for its end, or "
                "give another --environments"
            ) from None

    def make(self, pins: Pins, beside: Iterable[Pins] = ()) -> Environment:
        """The environment of exactly these versions, which is made if it is missing.

        The environments `beside` it are not removed to make room. Raises EnvironmentProblem.
        """
        name = title(pins)
        place = self.folder / name
        self.begin()
        if not made(place, pins):
            self.make_room(pins, {name, *map(title, beside)})
            self.say(f"making {name}")
            try:
                self.install(place, pins)
            except EnvironmentProblem:
                shutil.rmtree(place, ignore_errors=True)
                raise
        try:
            return from_interpreter(place / "bin" / "python", name)
        except EnvironmentProblem as problem:
            raise EnvironmentProblem(str(problem).removeprefix("--baseline ")) from None

    def install(self, place: Path, pins: Pins) -> None:
        """Make an environment anew; the mark is written last, so that no incomplete one is used."""
        shutil.rmtree(place, ignore_errors=True)
        self.uv("venv", "--python", interpreter(pins["python"]), str(place), pins=pins)
        self.uv("pip", "install", "--python", str(place), *requirements(pins), pins=pins)
        (place / MARK).write_text(json.dumps(dict(pins)), encoding="utf-8")

    def resolves(self, pins: Pins) -> str:
        """Why these versions cannot be installed together; empty if they can.

        Raises EnvironmentProblem if that is unknown, for example without a network.
        """
        listed = "\n".join(requirements(pins)).encode()
        version = ("--python-version", pins["python"], "--only-binary", ":all:")
        try:
            self.uv("pip", "compile", "-", "--quiet", *version, pins=pins, given=listed)
        except Unresolvable as problem:
            return str(problem)
        return ""

    def make_room(self, pins: Pins, keep: set[str]) -> None:
        """Remove other environments than `keep`, and uv's cache, until `pins` fit."""
        there = (path for path in self.folder.iterdir() if (path / "pyvenv.cfg").exists())
        idle = sorted((p for p in there if p.name not in keep), key=lambda p: p.stat().st_mtime)
        while idle and self.room() < size(pins):
            self.say(f"removing {idle[0].name} to make room")
            shutil.rmtree(idle.pop(0), ignore_errors=True)
            # The environment's files stay on the disk as long as the cache has them.
            shutil.rmtree(self.folder / CACHE, ignore_errors=True)
        if self.room() < size(pins):
            shutil.rmtree(self.folder / CACHE, ignore_errors=True)
        if (room := self.room()) < size(pins):
            raise EnvironmentProblem(
                f"{title(pins)}: may need {in_gigabytes(size(pins))}, and {in_gigabytes(room)} of "
                f"--disk {in_gigabytes(self.disk)} are left in {self.folder}; allow more, or free "
                "the disk"
            )

    def room(self) -> int:
        """Bytes that are left, by the limit and by the disk."""
        return min(self.disk - taken(self.folder), shutil.disk_usage(self.folder).free)

    def uv(self, *arguments: str, pins: Pins, given: bytes | None = None) -> None:
        """Run uv with the cache of this folder; raises EnvironmentProblem with uv's reason."""
        cache = ("--cache-dir", str(self.folder / CACHE))
        try:
            ended = subprocess.run(
                [find_uv_bin(), *arguments, *cache],
                input=given if given is not None else b"",
                capture_output=True,
                timeout=INSTALL_LIMIT,
                check=False,
                env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentProblem(f"{title(pins)}: uv did not run: {error}") from None
        if ended.returncode:
            said = ended.stderr.decode(errors="replace")
            kind = Unresolvable if "No solution found" in said else EnvironmentProblem
            raise kind(f"{title(pins)}: {why(said)}")


def made(place: Path, pins: Pins) -> bool:
    """Whether the complete environment of these versions is there."""
    with suppress(OSError, ValueError):
        return (
            json.loads((place / MARK).read_text(encoding="utf-8")) == dict(pins)
            and (place / "bin" / "python").exists()
        )
    return False


def interpreter(python: str) -> str:
    """A Python for uv: this process's own if it is of the same minor release."""
    own = ".".join(platform.python_version_tuple()[:2])
    return sys.executable if python in (own, platform.python_version()) else python


def requirements(pins: Pins) -> list[str]:
    """The requirements for the installer."""
    listed = ["==".join(distribution(*pair)) for pair in pins.items() if pair[0] != "python"]
    return listed if ALWAYS in pins else [*listed, ALWAYS]


def why(complaint: str) -> str:
    """The error of uv, on one line."""
    text = re.sub(r"\s+", " ", re.sub(r"[│╰─▶×├]", " ", complaint)).strip()
    for start in ("Because ", "error: "):
        if start in text:
            text = text[text.index(start) :]
    return text.removeprefix("error: ")[:600] or "uv failed and printed no message"


def taken(folder: Path) -> int:
    """Bytes of a folder on the disk; a file with several names counts once."""
    found: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it was removed meanwhile
                about = os.lstat(os.path.join(place, name))
                found[about.st_dev, about.st_ino] = about.st_blocks * 512
    return sum(found.values())


def in_gigabytes(number: int) -> str:
    """Bytes as text, in GB."""
    return f"{number / GIGABYTE:.1f} GB"


def releases(package: str, python: str, pre: bool = False) -> list[str]:
    """All releases of a package that this Python can install, oldest first.

    `pre` includes candidates and nightly builds. Raises EnvironmentProblem.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", package]
    command += ["--python-version", python, "--only-binary", ":all:", *(["--pre"] if pre else [])]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=INDEX_LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(f"{package}: the index does not answer: {error}") from None
    found = re.search(r"^Available versions: (.+)$", ended.stdout, flags=re.M)
    if not found:
        said = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")]
        reason = said[-1] if said else "the index lists no release"
        raise EnvironmentProblem(f"{package}: {reason.removeprefix('ERROR: ')}")
    return sorted(found[1].split(", "), key=Version)


def newest(package: str, python: str, pre: bool = False) -> str:
    """The pin of the newest release; with `pre`, of the nightly build or candidate if there is one.

    Raises EnvironmentProblem.
    """
    if pre and package in NIGHTLY:
        with suppress(EnvironmentProblem):
            return f"{NIGHTLY[package]} {releases(NIGHTLY[package], python, pre=True)[-1]}"
    return releases(package, python, pre)[-1]
