"""Start worker processes, send them requests, and end them in any state. Built on execnet."""

import os
import signal
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import chain
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, TypeVar

import execnet
import psutil
from execnet import gateway_io

import mnist_models
from benchmarks.measuring import launch
from benchmarks.measuring.environments import end, local_spec, offspring
from benchmarks.measuring.journal import JournalError
from benchmarks.trial import split
from mnist_models import shipping
from mnist_models.worker import PROTOCOL, source_hash

ROOT = Path(mnist_models.__file__).parents[1]
START_LIMIT = 300.0
# Seconds to start a bare interpreter, to send a request, and to end a process.
INTERPRETER_LIMIT, SEND_LIMIT, END_LIMIT = 60.0, 60.0, 10.0
# Held while a process is started, so that it can be distinguished from others.
STARTING = Lock()
# Bytes of the largest message that is read. The largest ones that are sent are weights of some MiB.
LARGEST = 256 * 2**20
T = TypeVar("T")


class TooLarge(EOFError):
    """A message is larger than any answer; execnet then ends the connection."""


class Connection(gateway_io.Popen2IOMaster):  # type: ignore[misc]
    """Like execnet's own, which would read up to 2 GiB into memory without a check."""

    def read(self, numbytes: int) -> bytes:
        """Read this many bytes; raises TooLarge."""
        if numbytes > LARGEST:
            most = f"{LARGEST // 2**20} MiB"
            raise TooLarge(f"it sends a message of {numbytes:,} bytes, and {most} are the most")
        return super().read(numbytes)


# execnet has no other way to set its class.
gateway_io.Popen2IOMaster = Connection


class WorkerError(Exception):
    """A request failed; `fatal` means that the worker has ended."""

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
        """`root` holds the source, by default that of this process.

        If `elsewhere`, `root` and `folder` are on another machine.
        """
        self.contestant, self.root, self.elsewhere = contestant, root or str(ROOT), elsewhere
        self.log = folder / f"{contestant}-{device}-{os.urandom(3).hex()}.log"
        self.group, self.over = execnet.Group(), Event()
        self.pid: int | None = None
        variables = variables_of(device, threads, folder, split(contestant)[1])
        if not elsewhere:
            try:
                self.log.touch()
            except OSError as error:  # a full disk is an error of the session, not of the worker
                raise JournalError(
                    f"{self.log} cannot be written: {error.strerror}; make space there"
                ) from error
        try:
            with nullcontext() if elsewhere else alone():
                begin = INTERPRETER_LIMIT, self.begin, spec, variables
                self.channel = within(*begin, until=self.over)
        except Exception as error:  # execnet's own, OSError, and errors of the other side
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
        # Elsewhere, it is the number of a process on another machine.
        self.pid = pid if spec.startswith("popen") and not elsewhere else None

    def begin(self, spec: str, variables: dict[str, str]) -> execnet.Channel:
        """Start the process and send it its settings."""
        with ExitStack() as undo:
            # execnet takes an ended process for a started one.
            undo.callback(self.group.terminate, timeout=2)
            channel = self.group.makegateway(spec).remote_exec(launch)
            channel.send((self.root, str(self.log), variables))
            undo.pop_all()
        return channel

    def send(self, method: str, *arguments: Any) -> None:
        """Send a request without waiting for the reply; every `send` needs a `receive`."""
        try:
            # A stopped worker reads nothing, and a pipe holds less than the weights.
            within(SEND_LIMIT, self.channel.send, (method, arguments))
        except TimeoutError as error:
            raise self.late(SEND_LIMIT) from error
        except OSError as error:
            raise self.death() from error

    def receive(self, limit: float) -> Any:
        """The next reply; raises WorkerError if it is an error, or none comes within `limit` s."""
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
        """End a silent process; returns the error."""
        self.kill()
        words = f"{self.contestant}: no answer within {limit:g} s, so its worker was ended"
        return WorkerError(words + self.last_output(), fatal=True)

    def death(self, error: BaseException | None = None) -> WorkerError:
        """Clean up after a process that has ended; returns the error."""
        self.kill()
        text = f"{self.contestant}: its worker died (crashed, or killed because memory ran out)"
        if isinstance(error, TooLarge):
            text = f"{self.contestant}: {error}"
        if isinstance(error, self.channel.RemoteError):
            text = f"{self.contestant}: its worker ended with {last_line(str(error))}\n{error}"
        return WorkerError(text + self.last_output(), fatal=True)

    def last_output(self, lines: int = 40) -> str:
        """The last lines that the worker printed; elsewhere, the path of its log."""
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
            # The others of its process group: what it started meanwhile, or left when it died.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            within(END_LIMIT, self.group.terminate, timeout=2)


@contextmanager
def alone() -> Generator[None, None, None]:
    """Start nothing else meanwhile; if the start fails, end the started processes."""
    with STARTING:
        known = {*psutil.Process().children()}
        try:
            yield
        except BaseException:
            # Not what the workers of before start meanwhile.
            begun = {*psutil.Process().children()} - known
            end([*begun, *chain.from_iterable(offspring(one.pid) for one in begun)])
            raise


def within(
    limit: float,
    call: Callable[..., T],
    *arguments: Any,
    until: Event | None = None,
    **options: Any,
) -> T:
    """The result of a call in a thread; raises TimeoutError if it takes over `limit` s.

    It is for calls of execnet, which wait for a silent process forever. The thread is not ended;
    it ends with that process. It lives until the event `until` is set, because Linux treats a
    process as an orphan when the thread that started it ends.
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
    """Raise WorkerError for a worker of another protocol or source, or with other frameworks."""
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
        # First calls must not find code that another session or environment has compiled.
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor" / environment),
        "TRITON_CACHE_DIR": str(folder / "triton" / environment),
    }
    if device == "gpu":
        # Otherwise Keras on PyTorch would choose the device, JAX would take most of its memory, and
        # CUDA would number devices in another order than nvidia-smi.
        ours = {"KERAS_TORCH_DEVICE": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        return variables | ours | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return variables | {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_TORCH_DEVICE": "cpu"}
