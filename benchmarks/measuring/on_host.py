"""The preparation of another host. execnet sends this file's source, so it is self-contained.

Files are in a cache, in a folder named by their digest, which every session checks again. uv makes
the environments from pins.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

NAME = "mnist-benchmarks-host"
# Seconds for making an environment: the frameworks take gigabytes.
LIMIT = 3600
MADE = "made"


def cache() -> str:
    """The folder with all that the suite keeps on this host."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(os.path.abspath(base), NAME)


def about() -> dict[str, object]:
    """The cache of this host, and the name of its CPU."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
        model = names[0] if names else model
    return {"cache": cache(), "cpu": model}


def digest(folder: str) -> str:
    """SHA-256 over names and contents of a folder's files, except bytecode; "" without a folder."""
    if not os.path.isdir(folder):
        return ""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder).replace(os.sep, "/")] = file.read()
    return digest_of(found)


def digest_of(files: Mapping[str, bytes]) -> str:
    """The same for files that are given as contents by name."""
    total = hashlib.sha256()
    for name in sorted(files):
        line = f"{name} {hashlib.sha256(files[name]).hexdigest()}\n"
        total.update(line.encode())
    return total.hexdigest()


def have(kind: str, wanted: str) -> str:
    """The folder of files with this digest; "" if it is missing or damaged."""
    folder = os.path.join(cache(), kind, wanted)
    return folder if digest(folder) == wanted else ""


def put(kind: str, wanted: str, files: Mapping[str, bytes]) -> str:
    """Store files, all or none, and return their folder; raises ValueError for other contents."""
    if digest_of(files) != wanted:
        raise ValueError("what came is not what was sent")
    parent = os.path.join(cache(), kind)
    os.makedirs(parent, exist_ok=True)
    part = tempfile.mkdtemp(dir=parent)
    for name, content in files.items():
        path = os.path.join(part, *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    folder = os.path.join(parent, wanted)
    try:
        os.rename(part, folder)
    except OSError:
        # Another host that shares the disk was faster, or the folder there is damaged.
        if digest(folder) != wanted:
            damaged = tempfile.mkdtemp(dir=parent)
            os.rename(folder, damaged)
            os.rename(part, folder)
            part = damaged
        shutil.rmtree(part, ignore_errors=True)
    return folder


def forget(session: str, caches: list[str]) -> None:
    """Remove what workers of a session left in some of their caches here."""
    folder = os.path.join(cache(), "sessions", os.path.basename(session))
    for name in caches if session else []:
        shutil.rmtree(os.path.join(folder, os.path.basename(name)), ignore_errors=True)


def environment(version: str, pins: list[str]) -> str:
    """The Python of an environment with these packages, which is made if it is missing."""
    name = hashlib.sha256("\n".join([version, *pins]).encode()).hexdigest()[:16]
    folder = os.path.join(cache(), "environments", name)
    python = os.path.join(folder, "bin", "python")
    with alone():
        if os.path.exists(os.path.join(folder, MADE)):
            return python
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        uv = find_uv()
        run([uv, "venv", "--quiet", "--allow-existing", "--python", version, folder])
        listed = os.path.join(folder, "pins.txt")
        with open(listed, "w", encoding="utf-8") as file:
            file.write("\n".join(pins) + "\n")
        # A local part, as in 2.9.0+cpu, names a build of PyTorch's own index.
        builds = [pin.partition("+")[2] for pin in pins if pin.startswith("torch==") and "+" in pin]
        of = ["--torch-backend", *builds] if builds else []
        run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, *of, "-r", listed])
        open(os.path.join(folder, MADE), "w").close()
    return python


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Lock the environments of this cache against other processes and hosts that share the disk."""
    os.makedirs(cache(), exist_ok=True)
    with open(os.path.join(cache(), "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel releases it if this process ends
        yield


def find_uv() -> str:
    """The path of uv: an installed one, or one in a separate environment."""
    own = os.path.join(cache(), "uv")
    made = os.path.join(own, "bin", "uv")
    for place in (shutil.which("uv"), os.path.expanduser("~/.local/bin/uv"), made):
        if place and os.path.exists(place):
            return place
    run([sys.executable, "-m", "venv", own])
    run([os.path.join(own, "bin", "python"), "-m", "pip", "install", "--quiet", "uv"])
    return made


def run(command: list[str]) -> None:
    """Run a command to its end; raises RuntimeError with its last lines if it fails."""
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )
    if ended.returncode:
        said = ended.stdout.decode("utf-8", "replace").strip().splitlines()[-5:]
        raise RuntimeError(f"{' '.join(command[:3])} failed: {' '.join(said)}")


if __name__ == "__channelexec__":
    channel = globals()["channel"]
    known: dict[str, Callable[..., Any]] = {"about": about, "have": have, "put": put}
    known |= {"environment": environment, "forget": forget}
    for method, arguments in channel:
        try:
            channel.send(("ok", known[method](*arguments)))
        except Exception as error:
            channel.send(("error", f"{type(error).__name__}: {error}"))
