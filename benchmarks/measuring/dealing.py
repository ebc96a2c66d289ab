"""Blocks dealt out over hosts: each takes the next one as soon as it is free."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from pydantic import ValidationError

from benchmarks.measuring.environments import own
from benchmarks.measuring.hosts import Caretaker, Host, HostLost, Place, prepare
from benchmarks.measuring.journal import Record
from benchmarks.measuring.workers import WorkerError, WorkerProcess

if TYPE_CHECKING:
    from benchmarks.measuring.session import Session

# A sample that lasts longer than this is none, in seconds.
LONGEST = 1e6
# What reading an answer raises that is none.
NONSENSE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    BadZipFile,
)
# Seconds for a worker to tell what its machine has done.
TELL_LIMIT = 60.0


class Dealer:
    """What measures the blocks of a session: this machine, or one helper for each host.

    A host that is lost costs the block that it is at, which goes to the others.
    """

    def __init__(self, session: "Session") -> None:
        self.session, self.plan = session, session.plan
        self.crews: dict[str, Session] = {}
        self.lock, self.lost = Lock(), dict[str, str]()
        self.asked: list[Caretaker] = []

    @property
    def hands(self) -> int:
        """How many blocks are measured at once."""
        return len(self.crews) or 1

    def begin(self) -> None:
        """Prepare all hosts side by side; raises HostLost if none can be had."""
        if not self.plan.hosts:
            return
        pool = ThreadPoolExecutor(len(self.plan.hosts))
        try:
            found = [*pool.map(self.prepared, self.plan.hosts)]
        except BaseException:  # the threads wait for the hosts' answers
            for caretaker in [*self.asked]:
                caretaker.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        self.crews = {place.host.name: self.session.on(place) for place in found if place}
        self.check_left()

    def prepared(self, host: Host) -> Place | None:
        """A host with everything, or None where it cannot be had."""
        try:
            here = {"": self.plan.here or own()}
            every = here | self.plan.baselines
            place = prepare(host, Path(self.plan.dataset_folder), every, self.asked)
        except HostLost as error:
            self.lose(host.name, str(error))
            return None
        self.session.progress.say(f"host {host.name} is ready: {place.cpu}")
        return place

    def deal(self, blocks: Iterable[int], suspected: dict[str, list[str]] | None = None) -> None:
        """Measure blocks; raises HostLost when nobody is left to.

        The first block is measured alone: it finds out what fits into the time.
        """
        todo = deque(blocks)
        if not self.plan.hosts:
            for block in todo:
                self.session.run_block(block)
            return
        for crew in self.crews.values():
            crew.suspected, crew.rounds = suspected or {}, self.session.rounds
        first = deque([todo.popleft()] if todo and todo[0] == 0 else [])
        while first:
            self.serve(next(iter(self.crews.values())), first)
            self.check_left()
        while todo:
            self.serve_all(todo)
            self.check_left()

    def serve_all(self, todo: deque[int]) -> None:
        """Let all hosts measure until nothing is left to do; Ctrl-C ends them all at once."""
        crews = [*self.crews.values()]
        pool = ThreadPoolExecutor(len(crews))
        try:
            served = [pool.submit(self.serve, crew, todo) for crew in crews]
            done, _ = wait(served, return_when=FIRST_EXCEPTION)
            for one in done:
                one.result()
        except BaseException:
            self.session.halt.set()
            self.end()
            raise
        finally:
            pool.shutdown()

    def serve(self, crew: "Session", todo: deque[int]) -> None:
        """Let one host measure block after block; what it loses goes back to `todo`."""
        assert crew.place
        while True:
            with self.lock:
                if not todo or self.session.halt.is_set():
                    return
                block = todo.popleft()
            try:
                crew.run_block(block)
            except (HostLost, *NONSENSE) as error:
                if self.session.halt.is_set():
                    return
                with self.lock:
                    todo.append(block)
                why = (
                    str(error)
                    if isinstance(error, HostLost)
                    else f"its answer is invalid: {error!r}"
                )
                self.lose(crew.place.host.name, f"block {block + 1} goes to the others: {why}")
                return
            finally:
                crew.stop_workers()

    def lose(self, name: str, why: str) -> None:
        """Do without a host from now on, and say so."""
        with self.lock:
            self.crews.pop(name, None)
            self.lost[name] = why
        self.session.progress.say(f"host {name} is lost: {why}")

    def check_left(self) -> None:
        """Raise HostLost when no host is left."""
        if not self.crews:
            raise HostLost("; ".join(f"{name}: {why}" for name, why in self.lost.items()))

    def end(self) -> None:
        """End all workers on all hosts."""
        with self.lock:
            crews = [*self.crews.values()]
        for crew in crews:
            crew.stop_workers()


class FarMeter:
    """Like `load.Meter`, by what workers on another host tell of their CPUs and of themselves."""

    def __init__(self, workers: Mapping[str, WorkerProcess], names: Sequence[str]) -> None:
        self.workers = {name: workers[name] for name in names if name in workers}
        self.before = self.told()
        self.after: dict[str, dict[str, float]] | None = None

    def told(self) -> dict[str, dict[str, float]]:
        """Seconds since any moment, by worker (`Worker.load`); nothing where one does not tell."""
        found = {}
        for name, worker in self.workers.items():
            try:
                found[name] = worker.ask("load", limit=TELL_LIMIT)
            except WorkerError:
                return {}
        return found

    def foreign(self) -> float | None:
        """Share of the CPUs' time that went to others; None if unknown."""
        return self.share("busy", ours=True)

    def stolen(self) -> float | None:
        """Share of the CPUs' time that the hypervisor gave to other machines; None if unknown."""
        return self.share("stolen")

    def share(self, what: str, ours: bool = False) -> float | None:
        """What was spent between the two readings; None if unknown."""
        self.after = self.told() if self.after is None else self.after
        common = self.before.keys() & self.after.keys()
        if not common:
            return None
        spent = {
            key: {name: self.after[name][key] - self.before[name][key] for name in common}
            for key in ("wall", what, "own")
        }
        one = max(common)
        seconds = spent["wall"][one]
        if not seconds > 0:
            return None
        less = sum(spent["own"].values()) if ours else 0.0
        return max(0.0, (spent[what][one] - less) / seconds)


def check_answers(record: Mapping[str, Any]) -> None:
    """Raise HostLost where what a host answered is no measurement: nothing of it is kept."""
    try:
        Record.model_validate(record)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise HostLost(f"its answer is invalid: {place}: {problem['msg']}") from None
    for name, entry in record["results"].items():
        times = [second for sample in entry.get("samples", ()) for second in sample]
        times += [entry["first_call_seconds"]] if "first_call_seconds" in entry else []
        for seconds in times:
            if not (isfinite(seconds) and 0 <= seconds < LONGEST):
                raise HostLost(f"its answer is invalid: {name} took {seconds} s")
