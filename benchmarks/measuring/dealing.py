"""Deal blocks out over hosts: each host takes the next one as soon as it is free."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from benchmarks.measuring.environments import own
from benchmarks.measuring.hosts import Caretaker, Host, HostLost, Place, prepare
from benchmarks.measuring.pool import WorkerPool
from benchmarks.measuring.remote import NONSENSE

if TYPE_CHECKING:
    from benchmarks.measuring.session import Session


class Dealer:
    """Measures the blocks of a session: on this machine, or with one worker pool for each host.

    If a host is lost, its current block goes to the others.
    """

    def __init__(self, session: "Session") -> None:
        self.session, self.plan = session, session.plan
        self.here = WorkerPool(session)
        self.pools: dict[str, WorkerPool] = {}
        self.lock, self.lost = Lock(), dict[str, str]()
        self.asked: list[Caretaker] = []
        self.todo = deque[int]()

    @property
    def hands(self) -> int:
        """How many blocks are measured at once."""
        return len(self.pools) or 1

    def waiting(self) -> list[int]:
        """The blocks that nobody has begun."""
        with self.lock:
            return [*self.todo]

    def begin(self) -> None:
        """Prepare all hosts side by side; raises HostLost if none is available."""
        if not self.plan.hosts:
            return
        threads = ThreadPoolExecutor(len(self.plan.hosts))
        try:
            found = [*threads.map(self.prepared, self.plan.hosts)]
        except BaseException:  # the threads wait for the hosts' answers
            self.session.halt.set()
            for caretaker in [*self.asked]:
                caretaker.close()
            raise
        finally:
            threads.shutdown(cancel_futures=True)
        self.pools = {one.host.name: WorkerPool(self.session, one) for one in found if one}
        self.check_left()

    def opened(self, caretaker: Caretaker) -> None:
        """Remember a conversation with a host; raises HostLost if the session has ended."""
        self.asked.append(caretaker)
        if self.session.halt.is_set():
            raise HostLost("the session was ended")

    def prepared(self, host: Host) -> Place | None:
        """A prepared host, or None if it is not available."""
        try:
            here = {"": self.plan.here or own()}
            every = here | self.plan.baselines
            folder = Path(self.plan.dataset_folder)
            stale = self.session.journal.session, self.session.stale_caches()
            place = prepare(host, folder, every, self.opened, stale)
        except HostLost as error:
            self.lose(host.name, str(error))
            return None
        self.session.progress.say(f"host {host.name} is ready: {place.cpu}")
        return place

    def deal(self, blocks: Iterable[int]) -> None:
        """Measure blocks; raises HostLost if no host is left.

        The first block is measured alone, because it shows which rows fit into the time.
        """
        self.todo = todo = deque(blocks)
        if not self.plan.hosts:
            while todo:
                self.here.run_block(todo.popleft())
            return
        first = deque([todo.popleft()] if todo and todo[0] == 0 else [])
        while first:
            self.serve(next(iter(self.pools.values())), first)
            self.check_left()
        while todo:
            self.serve_all(todo)
            self.check_left()

    def serve_all(self, todo: deque[int]) -> None:
        """Let all hosts measure until nothing is left to do; Ctrl-C ends them all at once."""
        pools = [*self.pools.values()]
        threads = ThreadPoolExecutor(len(pools))
        try:
            served = [threads.submit(self.serve, pool, todo) for pool in pools]
            done, _ = wait(served, return_when=FIRST_EXCEPTION)
            for one in done:
                one.result()
        except BaseException:
            self.session.halt.set()
            self.end()
            raise
        finally:
            threads.shutdown()

    def serve(self, pool: WorkerPool, todo: deque[int]) -> None:
        """Let one host measure block after block; a lost block goes back to `todo`."""
        assert pool.place
        while True:
            with self.lock:
                if not todo or self.session.halt.is_set():
                    return
                block = todo.popleft()
            try:
                pool.run_block(block)
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
                self.lose(pool.place.host.name, f"block {block + 1} goes to the others: {why}")
                return
            finally:
                pool.stop()

    def lose(self, name: str, why: str) -> None:
        """Use a host no longer, and report it."""
        with self.lock:
            self.pools.pop(name, None)
            self.lost[name] = why
        self.session.progress.say(f"host {name} is lost: {why}")

    def check_left(self) -> None:
        """Raise HostLost when no host is left."""
        if not self.pools:
            raise HostLost("; ".join(f"{name}: {why}" for name, why in self.lost.items()))

    def end(self) -> None:
        """End all workers, here and on all hosts."""
        with self.lock:
            pools = [self.here, *self.pools.values()]
        for pool in pools:
            pool.stop()
