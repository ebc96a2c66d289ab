"""Worker processes: started, asked, and ended, whatever state they are in. Built on execnet."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import execnet

import mnist_models
from benchmarks.measuring import launch
from benchmarks.measuring.environments import local_spec, split
from mnist_models.worker import PROTOCOL, source_hash

ROOT = Path(mnist_models.__file__).parents[1]
START_LIMIT = 300.0


class WorkerError(Exception):
    """A request failed; `fatal` tells that the worker is gone with it."""

    def __init__(self, message: str, kind: str = "", fatal: bool = False) -> None:
        super().__init__(message)
        self.kind, self.fatal = kind, fatal


class WorkerProcess:
    """One contestant in a process of its own, started by the execnet `spec`."""

    def __init__(
        self,
        contestant: str,
        device: str,
        threads: int,
        folder: Path,
        spec: str = local_spec(sys.executable),
    ) -> None:
        self.contestant = contestant
        self.log = folder / f"{contestant}-{device}-{os.urandom(3).hex()}.log"
        self.group = execnet.Group()
        self.pid: int | None = None
        try:
            gateway = self.group.makegateway(spec)
        except Exception as error:  # execnet's own, OSError, and whatever the far side says
            words = f"{contestant}: execnet cannot start a worker with {spec}: {error}"
            raise WorkerError(words, "Unavailable", fatal=True) from error
        self.channel = gateway.remote_exec(launch)
        variables = variables_of(device, threads, folder, split(contestant)[1])
        self.channel.send((str(ROOT), str(self.log), variables))
        pid = self.receive(START_LIMIT)
        # Elsewhere, the number is that of a process of another machine.
        self.pid = pid if spec.startswith("popen") else None

    def send(self, method: str, *arguments: Any) -> None:
        """Ask without waiting; every `send` needs its `receive`."""
        try:
            self.channel.send((method, arguments))
        except OSError as error:
            raise self.death() from error

    def receive(self, limit: float) -> Any:
        """The next reply; WorkerError when it is an error, or none comes within `limit` s."""
        try:
            status, *reply = self.channel.receive(limit)
        except self.channel.TimeoutError as error:
            self.kill()
            late = f"{self.contestant}: no answer within {limit:g} s, so its worker was ended"
            raise WorkerError(late + self.last_output(), fatal=True) from error
        except (EOFError, self.channel.RemoteError) as error:
            raise self.death(error) from error
        if status == "error":
            kind, trace = reply
            if kind == "Unavailable":
                reason = last_line(trace).partition(": ")[2]
                raise WorkerError(f"{self.contestant}: {reason}{self.last_output()}", kind)
            raise WorkerError(f"{self.contestant} raised {last_line(trace)}\n{trace}", kind)
        return reply[0]

    def ask(self, method: str, *arguments: Any, limit: float) -> Any:
        """`send` and `receive`."""
        self.send(method, *arguments)
        return self.receive(limit)

    def death(self, error: BaseException | None = None) -> WorkerError:
        """What to say when the process is gone."""
        self.kill()
        text = f"{self.contestant}: its worker died (crashed, or killed for want of memory)"
        if isinstance(error, self.channel.RemoteError):
            text = f"{self.contestant}: its worker ended with {last_line(str(error))}\n{error}"
        return WorkerError(text + self.last_output(), fatal=True)

    def last_output(self, lines: int = 40) -> str:
        """The end of what the worker printed."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\nits last output:\n" + "\n".join(text.splitlines()[-lines:]) if text else ""

    def kill(self) -> None:
        """End the process at once."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.group.terminate(timeout=2)


def last_line(trace: str) -> str:
    """What a traceback says was wrong."""
    return trace.strip().rpartition("\n")[2]


def check_handshake(worker: WorkerProcess, info: dict[str, Any]) -> None:
    """Refuse a worker that would measure something else than this controller means."""
    if info["protocol"] != PROTOCOL:
        speaks = f"speaks protocol {info['protocol']}, this session {PROTOCOL}"
        remedy = "its environment must not hold a mnist_models of another version"
        raise WorkerError(f"{worker.contestant}: its worker {speaks}; {remedy}")
    if info["source"] != source_hash():
        raise WorkerError(f"{worker.contestant}: its worker runs other source code")
    if info["strangers"]:
        others = ", ".join(info["strangers"])
        raise WorkerError(f"{worker.contestant}: its worker also imported {others}")


def variables_of(device: str, threads: int, folder: Path, environment: str) -> dict[str, str]:
    """Environment variables of a worker, set before it imports NumPy or a framework."""
    number = str(threads)
    keras = folder / "keras"
    keras.mkdir(exist_ok=True)
    variables = {
        "OMP_NUM_THREADS": number,
        "OPENBLAS_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "KERAS_HOME": str(keras),  # empty: a user's keras.json could change floatx
        "PYTHONPYCACHEPREFIX": str(folder.parent / "bytecode"),
        # What was compiled in earlier sessions, or in another environment, must not make this
        # one's first calls look cheap.
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor" / environment),
        "TRITON_CACHE_DIR": str(folder / "triton" / environment),
    }
    if device == "gpu":
        # Keras on PyTorch would choose by itself; JAX would take most of the memory at its start.
        return variables | {"KERAS_TORCH_DEVICE": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return variables | {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_TORCH_DEVICE": "cpu"}
