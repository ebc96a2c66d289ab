"""The first code of a worker's process. execnet sends its source, so it is self-contained."""

import contextlib
import ctypes
import faulthandler
import importlib.util
import os
import signal
import sys
import threading


def prepare(log: str, environment: dict[str, str]) -> None:
    """Do all that must be done before NumPy or a framework is imported."""
    for folder in (os.path.dirname(log), environment["KERAS_HOME"]):
        os.makedirs(folder, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    faulthandler.enable()
    # If its main thread is late, execnet runs this in another one, which cannot set signals.
    if threading.current_thread() is threading.main_thread():
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C reaches workers, too; the controller ends them
    with contextlib.suppress(OSError):  # the leader of a session, as over ssh, has a group
        os.setpgid(0, 0)  # of its own, which can be ended as a whole
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    os.environ.update(environment)
    keep_bytecode(environment["PYTHONPYCACHEPREFIX"])


def keep_bytecode(folder: str) -> None:
    """If a package has no bytecode and none may be written, write it into a separate folder.

    Otherwise, with PYTHONDONTWRITEBYTECODE and an installer that does not compile, every worker
    would compile its whole framework, which takes longer than the measurement.
    """
    for package in ("numpy", "tensorflow", "keras", "torch", "jax"):
        found = importlib.util.find_spec(package) if sys.dont_write_bytecode else None
        source = found and found.origin
        if source and not os.path.exists(importlib.util.cache_from_source(source)):
            sys.dont_write_bytecode, sys.pycache_prefix = False, folder


if __name__ == "__channelexec__":
    channel = globals()["channel"]
    root, *settings = channel.receive()
    prepare(*settings)
    channel.send(("ok", os.getpid()))
    # The controller's source comes first. The current folder must not be on the path.
    sys.path[:] = [root, *(path for path in sys.path if path not in ("", os.getcwd()))]
    from mnist_models import worker

    worker.serve(channel)
