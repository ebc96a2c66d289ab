"""Other machines that measure blocks of a session. execnet connects to them."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import execnet

from benchmarks.measuring import on_host
from benchmarks.measuring.environments import (
    Environment,
    EnvironmentProblem,
    answer,
    folder_name,
    local_python,
)
from benchmarks.measuring.workers import END_LIMIT, ROOT, reason, within

# Seconds to reach a host, to send it files, and for its environments to be made.
REACH_LIMIT, SEND_LIMIT, MAKE_LIMIT = 60.0, 600.0, 3600.0
# The kinds of execnet specs that a host may have.
KINDS = ("ssh", "vagrant_ssh", "socket", "popen")
# ssh asks no questions, connects to known hosts only, and loses a host that is silent for a minute.
SSH = "-oBatchMode=yes -oStrictHostKeyChecking=yes -oServerAliveInterval=15 -oServerAliveCountMax=4"
# Paths that are accepted from a host.
PATH = re.compile(r"/[\w./+@~ -]{1,500}")
# Code that prints an interpreter's packages, except those from a path or URL, like this project.
# Packages of PyTorch's index, from which uv takes a build such as 2.9.0+cpu.
TORCH = ("torch", "torchaudio", "torchvision")
PINS = """
import json, sys
from importlib import metadata
pins = {}
for one in metadata.distributions():
    if one.read_text("direct_url.json") is None and one.metadata["Name"]:
        pins[one.metadata["Name"].lower()] = one.version
print(json.dumps(["%d.%d" % sys.version_info[:2], pins]))
"""


class HostLost(Exception):
    """A host can no longer measure; the message says why."""


@dataclass(frozen=True)
class Host:
    """A name, the execnet spec without its Python, and the `python` that workers use, if given.

    Without it, and for baselines, environments are made on the host.
    """

    name: str
    spec: str
    python: str = ""


@dataclass(frozen=True)
class Place:
    """A prepared host: the places of its files, and the Python of each environment there.

    `environments` are by the name of a baseline, "" for this process's own. They are commands,
    because a launcher may come before a Python.
    """

    host: Host
    root: str
    dataset: str
    cache: str
    cpu: str
    environments: Mapping[str, str] = field(default_factory=dict)

    def spec(self, environment: str) -> str:
        """The execnet spec of a worker."""
        return f"{self.host.spec}//python={self.environments[environment]}"


def parse_all(texts: Iterable[str]) -> tuple[Host, ...]:
    """All hosts that --host names, from specs and from files of them; raises EnvironmentProblem."""
    found: dict[str, Host] = {}
    for spec in dict.fromkeys(line for text in texts for line in lines(text)):
        host = parse(spec)
        name, count = host.name, 2
        while name in found:
            name, count = f"{host.name}-{count}", count + 1
        found[name] = Host(name, host.spec, host.python)
    return tuple(found.values())


def lines(text: str) -> list[str]:
    """The spec, or those in a file of that name: one a line, # begins a comment."""
    path = Path(text)
    if "=" in text or not path.is_file():
        return [text]
    stripped = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    found = [line for line in stripped if line]
    if not found:
        raise EnvironmentProblem(f"--host {text}: this file names no host")
    return found


def parse(text: str) -> Host:
    """The host of a spec; raises EnvironmentProblem."""
    kind, _, address = text.partition("//")[0].partition("=")
    if kind not in KINDS or (not address and kind != "popen"):
        choices = "ssh=user@box, ssh=-p 2222 user@box//python=/opt/venv/bin/python, a file of such"
        raise EnvironmentProblem(f"--host {text}: no host; give {choices} lines, or popen for here")
    try:
        spec = execnet.XSpec(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise EnvironmentProblem(f"--host {text}: execnet refuses this spec: {error}") from None
    python = getattr(spec, "python", None) or ""
    rest = "//".join(part for part in text.split("//") if not part.startswith("python="))
    rest = re.sub(r"(^|//)ssh=", rf"\1ssh={SSH} ", rest)
    named = getattr(spec, "id", None) or (address.split()[-1] if address else "here")
    name = folder_name(named)
    return Host(name, rest, python)


class Caretaker:
    """The connection to one host before its first block; requests raise HostLost."""

    def __init__(self, host: Host) -> None:
        self.host, self.group = host, execnet.Group()
        here = shlex.quote(sys.executable) if host.spec.startswith("popen") else "python3"
        spec = f"{host.spec}//python={host.python or here}"
        try:
            self.channel = within(REACH_LIMIT, self.begin, spec)
        except Exception as error:  # execnet's own, OSError, and errors of the other side
            self.close()
            raise HostLost(f"cannot be reached: {reason(error, spec)}") from error

    def begin(self, spec: str) -> Any:
        """Open the channel."""
        return self.group.makegateway(spec).remote_exec(on_host)

    def ask(self, method: str, *arguments: Any, limit: float = REACH_LIMIT) -> Any:
        """The host's answer to a request."""
        try:
            within(limit, self.channel.send, (method, arguments))
            status, found = self.channel.receive(limit)
        except (EOFError, OSError, TimeoutError, self.channel.TimeoutError) as error:
            raise HostLost(f"{method}: {error or type(error).__name__}") from error
        except (self.channel.RemoteError, TypeError, ValueError) as error:
            raise HostLost(f"{method}: {str(error).strip().splitlines()[-1]}") from error
        if status != "ok":
            raise HostLost(f"{method}: {str(found)[:500]}")
        return found

    def path(self, method: str, *arguments: Any, limit: float) -> str:
        """An answer that must be a path."""
        found = self.ask(method, *arguments, limit=limit)
        if not (isinstance(found, str) and (found == "" or PATH.fullmatch(found))):
            raise HostLost(f"{method}: answered {found!r:.80}, which is no path")
        return found

    def sent(self, kind: str, files: Mapping[str, bytes]) -> str:
        """The host's folder with these files, which are sent if they are missing."""
        wanted = on_host.digest_of(files)
        there = self.path("have", kind, wanted, limit=SEND_LIMIT)
        return there or self.path("put", kind, wanted, dict(files), limit=SEND_LIMIT)

    def close(self) -> None:
        """Close the connection."""
        with suppress(TimeoutError):
            within(END_LIMIT, self.group.terminate, timeout=2)


def prepare(
    host: Host,
    dataset: Path,
    environments: Mapping[str, Environment],
    opened: Callable[[Caretaker], None] = lambda caretaker: None,
    stale: tuple[str, list[str]] = ("", []),
) -> Place:
    """Send a host the source, the data set and the environments that it lacks.

    `opened` gets the caretaker, so that the caller can close it. `stale` names a session, and the
    caches of its workers that are removed. Raises HostLost, and EnvironmentProblem for an
    environment that cannot be made elsewhere.
    """
    caretaker = Caretaker(host)
    try:
        opened(caretaker)
        found = caretaker.ask("about")
        if not (isinstance(found, dict) and PATH.fullmatch(str(found.get("cache")))):
            raise HostLost(f"about: answered {found!r:.80}")
        caretaker.ask("forget", *stale)
        root = caretaker.sent("source", source())
        data = caretaker.sent("data", {path.name: path.read_bytes() for path in files(dataset)})
        pythons = {
            name: host.python
            if host.python and not name
            else shlex.quote(caretaker.path("environment", *pins(environment), limit=MAKE_LIMIT))
            for name, environment in environments.items()
        }
        return Place(host, root, data, str(found["cache"]), str(found.get("cpu"))[:100], pythons)
    finally:
        caretaker.close()


def source() -> dict[str, bytes]:
    """The files of `mnist_models`, by path."""
    found = (path for path in (ROOT / "mnist_models").rglob("*") if path.suffix in (".py", ".json"))
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(found)}


def files(dataset: Path) -> list[Path]:
    """The files of a data set."""
    return sorted(path for path in dataset.iterdir() if path.is_file() and "ubyte" in path.name)


def pins(environment: Environment) -> tuple[str, list[str]]:
    """Python's version and the installed packages, to make the same environment elsewhere.

    Raises EnvironmentProblem for one that is not local.
    """
    python = local_python(environment)
    if python is None:
        raise EnvironmentProblem(f"{environment.name}: only a local environment can be made again")
    try:
        minor, found = json.loads(answer(python, PINS))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EnvironmentProblem(f"{environment.name}: {python}: {error}") from error
    # A local part, as in 2.9.0+cpu, names a build of another index.
    parts = {name: one if name in TORCH else one.partition("+")[0] for name, one in found.items()}
    return minor, sorted(f"{name}=={one}" for name, one in parts.items())
