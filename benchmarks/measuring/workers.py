"""Worker processes: started, asked, and ended, whatever state they are in. Built on execnet."""

import os
import signal
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, TypeVar

import execnet
from execnet import gateway_io

import mnist_models
from benchmarks.measuring import launch
from benchmarks.measuring.environments import end, local_spec, offspring
from benchmarks.trial import split
from mnist_models import shipping
from mnist_models.worker import PROTOCOL, source_hash

ROOT = Path(mnist_models.__file__).parents[1]
START_LIMIT = 300.0
# Seconds for a bare interpreter to run, for a request to be taken, for a process to be ended.
INTERPRETER_LIMIT, SEND_LIMIT, END_LIMIT = 60.0, 60.0, 10.0
# Held while a process is started, so that it is known which one that is.
STARTING = Lock()
# Bytes of the largest message that is read. The largest that is sent are weights: some MiB.
LARGEST = 256 * 2**20
T = TypeVar("T")


class TooLarge(EOFError):
    """A process sends more than any answer has; for execnet its connection has ended."""


class Connection(gateway_io.Popen2IOMaster):  # type: ignore[misc]
    """As execnet's own, which would read up to 2 GiB into memory before anybody looks at it."""

    def read(self, numbytes: int) -> bytes:
        """Raises TooLarge."""
        if numbytes > LARGEST:
            most = f"{LARGEST // 2**20} MiB"
            raise TooLarge(f"it sends a message of {numbytes:,} bytes, and {most} are the most")
        return super().read(numbytes)


# execnet has no other way to choose it.
gateway_io.Popen2IOMaster = Connection


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
        root: str = "",
        elsewhere: bool = False,
    ) -> None:
        """`root` holds the source, ours by default.

        `elsewhere`, that and `folder` are on another machine.
        """
        self.contestant, self.root, self.elsewhere = contestant, root or str(ROOT), elsewhere
        self.log = folder / f"{contestant}-{device}-{os.urandom(3).hex()}.log"
        self.group, self.over = execnet.Group(), Event()
        self.pid: int | None = None
        variables = variables_of(device, threads, folder, split(contestant)[1])
        if not elsewhere:
            self.log.touch()  # a full disk is the session's trouble, not the worker's
        try:
            with nullcontext() if elsewhere else alone():
                begin = INTERPRETER_LIMIT, self.begin, spec, variables
                self.channel = within(*begin, until=self.over)
        except Exception as error:  # execnet's own, OSError, and whatever the far side says
            self.over.set()
            words = (
                f"{contestant}: execnet cannot start a worker with {spec}: {reason(error, spec)}"
            )
            raise WorkerError(words, "Unavailable", fatal=True) from error
        try:
            pid = self.receive(START_LIMIT)
        except BaseException:
            self.kill()
            raise
        # Elsewhere, the number is that of a process of another machine.
        self.pid = pid if spec.startswith("popen") and not elsewhere else None

    def begin(self, spec: str, variables: dict[str, str]) -> execnet.Channel:
        """Start the process and tell it what to prepare."""
        with ExitStack() as undo:
            # execnet takes a process that was ended for one that has started.
            undo.callback(self.group.terminate, timeout=2)
            channel = self.group.makegateway(spec).remote_exec(launch)
            channel.send((self.root, str(self.log), variables))
            undo.pop_all()
        return channel

    def send(self, method: str, *arguments: Any) -> None:
        """Ask without waiting for the reply; every `send` needs its `receive`."""
        try:
            # A worker that has stopped reads nothing, and a pipe holds less than the weights.
            within(SEND_LIMIT, self.channel.send, (method, arguments))
        except TimeoutError as error:
            raise self.late(SEND_LIMIT) from error
        except OSError as error:
            raise self.death() from error

    def receive(self, limit: float) -> Any:
        """The next reply; WorkerError when it is an error, or none comes within `limit` s."""
        try:
            status, *reply = self.channel.receive(limit)
        except self.channel.TimeoutError as error:
            raise self.late(limit) from error
        except (EOFError, self.channel.RemoteError) as error:
            raise self.death(error) from error
        if status == "error":
            kind, trace = reply
            if kind == "Unavailable":
                lacks = last_line(trace).partition(": ")[2]
                raise WorkerError(f"{self.contestant}: {lacks}{self.last_output()}", kind)
            raise WorkerError(f"{self.contestant} raised {last_line(trace)}\n{trace}", kind)
        return reply[0]

    def ask(self, method: str, *arguments: Any, limit: float) -> Any:
        """`send` and `receive`."""
        self.send(method, *arguments)
        return self.receive(limit)

    def late(self, limit: float) -> WorkerError:
        """What to say when the process is silent, which ends it."""
        self.kill()
        words = f"{self.contestant}: no answer within {limit:g} s, so its worker was ended"
        return WorkerError(words + self.last_output(), fatal=True)

    def death(self, error: BaseException | None = None) -> WorkerError:
        """What to say when the process is gone."""
        self.kill()
        text = f"{self.contestant}: its worker died (crashed, or killed for want of memory)"
        if isinstance(error, TooLarge):
            text = f"{self.contestant}: {error}"
        if isinstance(error, self.channel.RemoteError):
            text = f"{self.contestant}: its worker ended with {last_line(str(error))}\n{error}"
        return WorkerError(text + self.last_output(), fatal=True)

    def last_output(self, lines: int = 40) -> str:
        """The end of what the worker printed; elsewhere, the place of its log."""
        if self.elsewhere:
            return f"\nits log is {self.log} there"
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\nits last output:\n" + "\n".join(text.splitlines()[-lines:]) if text else ""

    def kill(self) -> None:
        """End the process at once, with all that it has started."""
        self.over.set()
        if self.pid is not None:
            started = offspring(self.pid)
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            end(started)
        with suppress(TimeoutError):
            within(END_LIMIT, self.group.terminate, timeout=2)


@contextmanager
def alone() -> Generator[None, None, None]:
    """Nothing else is started meanwhile; what was started is ended where that fails."""
    with STARTING:
        known = offspring()
        try:
            yield
        except BaseException:
            end(offspring() - known)
            raise


def within(
    limit: float,
    call: Callable[..., T],
    *arguments: Any,
    until: Event | None = None,
    **options: Any,
) -> T:
    """The result of a call that is made in a thread; TimeoutError when it takes over `limit` s.

    For calls of execnet that wait for ever for a process that is silent. The thread is left alone
    and ends with that process. It lives until the event is there: Linux takes a process whose
    thread of birth has ended for one that has lost its parent.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call(*arguments, **options))
        except Exception as error:  # whatever it is, the waiting thread raises it
            outcome.set_exception(error)
        if until:
            until.wait()

    Thread(target=run, daemon=True).start()
    return outcome.result(limit)


def reason(error: Exception, spec: str) -> str:
    """Why no worker could be started, and what to do."""
    words = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        words = f"no answer within {INTERPRETER_LIMIT:g} s: it does not run as Python"
    if spec.startswith(("ssh", "vagrant_ssh")):
        words += "; ssh must reach it without asking for anything: set up a key, and connect once"
    return words


def last_line(trace: str) -> str:
    """Return the last line of a traceback."""
    return trace.strip().rpartition("\n")[2]


def check_handshake(worker: WorkerProcess, info: dict[str, Any]) -> None:
    """Refuse a worker that would measure something else than this controller means."""
    if info["protocol"] != PROTOCOL:
        speaks = f"speaks protocol {info['protocol']}, this session {PROTOCOL}"
        remedy = "its environment must not hold a mnist_models of another version"
        raise WorkerError(f"{worker.contestant}: its worker {speaks}; {remedy}")
    if info["source"] != source_hash():
        raise WorkerError(f"{worker.contestant}: its worker runs other source code")
    if info["other_frameworks"]:
        others = ", ".join(info["other_frameworks"])
        raise WorkerError(f"{worker.contestant}: its worker also imported {others}")


def variables_of(device: str, threads: int, folder: Path, environment: str) -> dict[str, str]:
    """Environment variables of a worker, set before it imports NumPy or a framework."""
    number, place = str(threads), f"at-{environment}" if environment else "here"
    variables = {
        "OMP_NUM_THREADS": number,
        "OPENBLAS_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "KERAS_HOME": str(folder / "keras"),  # empty: a user's keras.json could change floatx
        # Files that the first block exports, and later ones load.
        shipping.FOLDER: str(folder / "exports" / place),
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
