"""Other environments that join a session: a virtual environment, an interpreter, or a spec."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import execnet
import psutil

OLDEST_PYTHON = (3, 11)
# Seconds that an interpreter may take to answer.
ANSWER_LIMIT = 60.0
# glibc keeps freed memory: it neither shortens its heap nor maps large blocks one by one.
# https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
STEADY = {
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": "100000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
}
PACKAGES = (
    *("tensorflow", "tensorflow-cpu", "tf-nightly", "keras", "keras-nightly"),
    *("torch", "jax", "numpy"),
)
# Code that prints the versions in an interpreter without importing a framework.
QUESTION = f"""
import json, sys
from importlib import metadata
found = {{}}
for name in {PACKAGES!r}:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps([list(sys.version_info[:3]), found]))
"""


class EnvironmentProblem(Exception):
    """A baseline environment cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Environment:
    """A name, the execnet spec of its workers, and the versions found in it.

    The versions of a spec that is not a local interpreter are unknown until its workers answer.
    `knob` is a change that its workers make (`mnist_models.knobs`). `threads` is their number of
    threads, None for the session's number.
    """

    name: str
    spec: str
    versions: dict[str, str] = field(default_factory=dict)
    knob: str = ""
    threads: int | None = None


def local_spec(python: str | Path, variables: Mapping[str, str] | None = None) -> str:
    """The execnet spec of a local interpreter; execnet splits its path as a shell does.

    `variables` are set before it starts, because the C library reads some of them only then.
    """
    return f"popen//python={shlex.join([*setting(variables or {}), str(python)])}"


def setting(variables: Mapping[str, str]) -> list[str]:
    """The beginning of a command that sets variables for the rest; empty without variables."""
    words = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *words] if words else []


def steady(environment: Environment) -> Environment:
    """The same environment, with an allocator that returns no memory to the kernel."""
    spec = environment.spec
    if "//python=" not in spec:
        # execnet's default interpreter: https://execnet.readthedocs.io/en/latest/basics.html
        python = sys.executable if spec.startswith("popen") else "python"
        spec += f"//python={shlex.quote(python)}"
    command = shlex.join(setting(STEADY))
    return replace(environment, spec=spec.replace("//python=", f"//python={command} "))


def folder_name(text: str) -> str:
    """A valid name of a folder, made from any text: never "..", a path, or empty."""
    name = re.sub(r"[^\w.-]+", "_", text)[:100]
    return name if name.strip(".") else "environment"


def own() -> Environment:
    """The environment of this process, with the name that tox gives it, or that of its folder."""
    name = os.environ.get("TOX_ENV_NAME") or Path(sys.prefix).name
    return Environment(folder_name(name), local_spec(sys.executable))


def folder_of(environment: Environment) -> Path | None:
    """The folder of a local virtual environment; None for anything else."""
    python = local_python(environment)
    if python is None:
        return None
    folder = python.parent.parent
    return folder if (folder / "pyvenv.cfg").exists() else None


def local_python(environment: Environment) -> Path | None:
    """The interpreter of a local environment; None for anything else."""
    found = re.fullmatch(r"popen//python=(.+)", environment.spec)
    return Path(shlex.split(found[1])[-1]) if found else None


def parse(text: str) -> Environment:
    """The environment that --baseline names; raises EnvironmentProblem."""
    path = Path(os.path.abspath(Path(text).expanduser()))  # keeps links, removes ".."
    if path.is_dir():
        return from_interpreter(interpreter_of(path, text), text)
    if path.is_file():
        return from_interpreter(path, text)
    if not re.match(r"(popen|ssh|vagrant_ssh|socket|via)\b.*", text) or os.sep in text[:2]:
        raise EnvironmentProblem(
            f"--baseline {text}: there is no such folder or file, and it is no execnet spec; "
            "give the folder of a virtual environment (tox makes them: tox run --notest -e ENV, "
            "then --baseline .tox/ENV), its Python, or a spec such as ssh=host//python=python3"
        )
    try:
        execnet.XSpec(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise EnvironmentProblem(f"--baseline {text}: execnet refuses this spec: {error}") from None
    return Environment(folder_name(text), without_prompts(text))


def without_prompts(spec: str) -> str:
    """The spec with an ssh that fails instead of asking for a password or a host's key."""
    return re.sub(r"(^|//)ssh=", r"\1ssh=-oBatchMode=yes ", spec)


def interpreter_of(folder: Path, text: str) -> Path:
    """The Python of a virtual environment."""
    for place in ("bin/python", "Scripts/python.exe"):
        if (folder / place).exists():
            return folder / place
    raise EnvironmentProblem(
        f"--baseline {text}: holds no bin/python, so it is no virtual environment; "
        "make it with tox run --notest -e ENV, or with python -m venv and pip"
    )


def from_interpreter(python: Path, text: str) -> Environment:
    """The environment of a local interpreter, named like its virtual environment's folder."""
    try:
        version, found = json.loads(answer(python, QUESTION))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", "") or str(error)
        remedy = "give the folder of a virtual environment, or its Python"
        problem = f"--baseline {text}: {python} does not run as Python ({words.strip()}); {remedy}"
        raise EnvironmentProblem(problem) from None
    if tuple(version[:2]) < OLDEST_PYTHON:
        has, needs = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
        raise EnvironmentProblem(f"--baseline {text}: has Python {has}, workers need {needs}")
    folder = python.parent.parent
    name = folder.name if (folder / "pyvenv.cfg").exists() else python.name
    found["python"] = ".".join(map(str, version))
    return Environment(folder_name(name), local_spec(python), found)


def answer(python: Path, question: str) -> str:
    """What an interpreter prints when it runs the code `question`, within ANSWER_LIMIT s.

    Raises OSError or subprocess.SubprocessError when it cannot, and leaves no process behind.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [python, "-c", question], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            printed, complaint = process.communicate(timeout=ANSWER_LIMIT)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            asked = psutil.Process(process.pid)
            end([*asked.children(recursive=True), asked])
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, python, printed, complaint)
    return printed


def offspring(pid: int | None = None) -> set[psutil.Process]:
    """All descendants of this process, or of the process `pid`."""
    with suppress(psutil.NoSuchProcess):
        return set(psutil.Process(pid).children(recursive=True))
    return set()


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill those of the processes that still run."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def parse_all(texts: Iterable[str]) -> dict[str, Environment]:
    """All baselines by name; raises EnvironmentProblem if two have the same name."""
    found: dict[str, Environment] = {}
    for text in dict.fromkeys(texts):
        environment = parse(text)
        if environment.name in found:
            raise EnvironmentProblem(
                f"--baseline {text}: another baseline is called '{environment.name}', too; "
                "saved runs go by this name, so give folders of different names"
            )
        found[environment.name] = environment
    return found
