"""What runs first in a worker's process. execnet sends this file's source, so it stands alone."""

import ctypes
import faulthandler
import importlib.util
import os
import signal
import sys
import threading


def prepare(log: str, environment: dict[str, str]) -> None:
    """Settle all that must be settled before NumPy or a framework is imported."""
    for folder in (os.path.dirname(log), environment["KERAS_HOME"]):
        os.makedirs(folder, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    faulthandler.enable()
    # Where its main thread is late, execnet runs this in another one, which may set no signal.
    if threading.current_thread() is threading.main_thread():
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C reaches us too; the controller ends us
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    os.environ.update(environment)
    keep_bytecode(environment["PYTHONPYCACHEPREFIX"])


def keep_bytecode(folder: str) -> None:
    """Where nothing is compiled and nothing may be, compile into a folder of our own.

    PYTHONDONTWRITEBYTECODE and an installer that does not compile would otherwise have every
    worker compile its whole framework, which takes longer than all that is measured.
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
    # The controller's own source comes first; the folder it was started in must not slip in.
    sys.path[:] = [root, *(path for path in sys.path if path not in ("", os.getcwd()))]
    from mnist_models import worker

    worker.serve(channel)
