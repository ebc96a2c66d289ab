"""The workers of one machine: started anew for each block, prepared, and sampled in rounds."""

import errno
import os
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import PurePosixPath
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import gpu, workers
from benchmarks.measuring.hosts import HostLost, Place
from benchmarks.measuring.journal import JournalError
from benchmarks.measuring.load import Meter
from benchmarks.measuring.remote import FarMeter, check_answers
from benchmarks.measuring.results import Results
from benchmarks.measuring.workers import WorkerError, WorkerProcess
from benchmarks.trial import Trial, split
from mnist_models import cpus, networks, recipe, weights
from mnist_models.conventions import Conventions
from mnist_models.operations import LATENCIES
from mnist_models.recipe import Recipe

if TYPE_CHECKING:
    from benchmarks.measuring.session import Session

# An implementation that raises one of these is skipped with the reason, unless it was asked for.
UNAVAILABLE = ("ModuleNotFoundError", "Unavailable")
# Seconds of a contestant's rounds in a trial, and the fewest rounds. If calls are long, a block has
# fewer rounds than --rounds.
ROUNDS_SECONDS, LEAST_ROUNDS = 1.0, 10
Entry = dict[str, Any]


class WorkerPool:
    """The workers of this machine, or of the host at `place`, which measure a session's blocks.

    `facts` are the handshakes of the workers; `unavailable` is why one could not be started.
    """

    def __init__(self, session: "Session", place: Place | None = None) -> None:
        self.session, self.place = session, place
        self.plan, self.journal, self.progress = session.plan, session.journal, session.progress
        self.workers: dict[str, WorkerProcess] = {}
        self.facts: dict[str, Entry] = {}
        self.unavailable: dict[str, Entry] = {}

    def run_block(self, block: int) -> None:
        """Run every trial of a block in fresh workers, one device after the other."""
        began = monotonic()
        todo = self.session.unmeasured(block)
        for device in sorted({trial.device for trial in todo}):
            trials = [trial for trial in todo if trial.device == device]
            self.unavailable = {}
            every = {name for trial in trials for name in self.session.contestants(trial, block)}
            # What failed to start takes no time of later blocks.
            began += self.start_workers(every, device)
            if block and self.unavailable:  # they could start before
                again, self.unavailable = [*self.unavailable], {}
                began += self.start_workers(again, device)
            self.check_place(self.unavailable, every)
            for trial in trials:
                if block == 0 and self.session.overdue(trial, began):
                    self.session.drop([(trial, name) for name in self.session.contestants(trial)])
                elif names := self.session.contestants(trial, block):
                    self.progress.trial(block, trial)
                    self.run_trial(block, trial, names)
            self.stop()
        if todo:
            self.session.keep_budget(block, monotonic() - began)
        more = block + 1 < self.plan.blocks
        if todo and more and self.plan.rounds and not self.plan.baselines:
            self.progress.look(Results(self.plan, self.journal))

    def start_workers(self, names: Iterable[str], device: str) -> float:
        """Start a worker for each name; they import their frameworks side by side.

        Returns the seconds that went to those that did not start.
        """
        lost = 0.0
        order = sorted(set(names))
        self.session.chance.shuffle(order)
        for step in (self.spawn, self.check):
            for name in (name for name in order if name not in self.unavailable):
                self.check_halt()
                began = monotonic()
                try:
                    step(name, device)
                except WorkerError as error:
                    lost += monotonic() - began
                    self.refuse_full_disk(error)
                    kind = "unavailable" if error.kind in UNAVAILABLE else "error"
                    self.unavailable[name] = {kind: str(error), "cost": 0.0}
                    if name in self.workers:
                        self.workers.pop(name).kill()
        return lost

    def spawn(self, name: str, device: str) -> None:
        """Start a worker and send its first requests, without waiting for replies."""
        plan = self.plan
        environment = plan.environment(name, self.place)
        threads = environment.threads or plan.threads_on(device)
        where: tuple[Any, ...] = (self.journal.folder, environment.spec)
        dataset = plan.dataset_folder
        if place := self.place:
            folder = PurePosixPath(place.cache, "sessions", self.journal.session)
            where, dataset = (folder, environment.spec, place.root, True), place.dataset
        self.workers[name] = WorkerProcess(name, device, threads, *where)
        implementation, _ = split(name)
        # `read` comes first, because `start` binds the worker to few CPUs.
        self.workers[name].send("read", dataset)
        settings = implementation, device, threads, plan.precision
        self.workers[name].send("start", *settings, environment.knob)

    def check(self, name: str, device: str) -> None:
        """Check that a worker has read the data set, and that it is what it should be."""
        worker = self.workers[name]
        worker.receive(self.plan.call_limit)
        info = worker.receive(workers.START_LIMIT)
        workers.check_handshake(worker, info)
        self.facts[name] = info

    def stop(self) -> None:
        """End all workers; two threads may do this at once."""
        with suppress(KeyError):
            while True:
                self.workers.popitem()[1].kill()

    def run_trial(self, block: int, trial: Trial, names: list[str]) -> None:
        """Prepare every contestant, then sample them in rounds, in random order throughout."""
        began = monotonic()
        chance = random.Random(f"{self.journal.session} {block} {trial}")
        entries: dict[str, Entry] = {name: {"cost": 0.0} for name in names}
        for name in chance.sample(names, len(names)):
            self.attempt(entries[name], self.prepare, name, trial, block)
        self.check_place(entries, names)
        same_bursts(entries)
        live = [name for name in names if not {"error", "unavailable"} & entries[name].keys()]
        here = trial.device == "gpu" and not self.place
        foreign_gpu = gpu.foreign_use() if here else None
        theirs, ours = cpus.share(self.plan.threads_on(trial.device))
        meter = self.meter(trial, live, theirs)
        with cpus.bound(ours) if not self.place else nullcontext():
            rounds = 1 if trial.kind.whole else min(self.session.rounds, trial.kind.most_rounds)
            started, done = monotonic(), 0
            while done < rounds:
                for name in shuffled(live, chance):
                    if "error" not in entries[name]:
                        self.attempt(entries[name], self.sample, name, trial)
                done += 1
                if done == 1:
                    rounds = self.affordable(rounds, (monotonic() - started) / max(1, len(live)))
        foreign = meter.foreign()
        stolen = meter.stolen()
        for name in live:
            entries[name] |= {
                "stolen_cpu": stolen,
                "foreign_cpu": foreign,
                "foreign_gpu": foreign_gpu,
            }
            if "error" not in entries[name]:
                self.attempt(entries[name], self.read_totals, name, trial)
        record = {"block": block, "trial": str(trial), "results": entries}
        if self.place:
            self.check_place(entries, names)
            self.check_halt()
            record["host"] = self.place.host.name
            check_answers(record)
        spent = {"seconds": monotonic() - began, "spent": self.session.spent()}
        self.journal.append(record | spent)

    def meter(self, trial: Trial, live: list[str], theirs: list[int]) -> Meter | FarMeter:
        """What measures the use by others of the CPUs that a trial keeps busy."""
        if self.place:
            return FarMeter(self.workers, live, trial.operation)
        pids = [worker.pid for worker in self.workers.values()]
        watched = trial.kind.cpus(theirs)
        if watched != theirs:  # they may be this process's, which is no stranger
            pids.append(os.getpid())
        return Meter(pids, watched)

    def refuse_full_disk(self, error: WorkerError) -> None:
        """Raise an error of the host, or of the session, if the disk is full: no contestant's."""
        full = os.strerror(errno.ENOSPC)
        if full in str(error) and self.place:
            raise HostLost(full)
        if full in str(error):
            raise JournalError(
                f"a worker found the disk full; what was measured before is safe: make space, then "
                f"run the same command with --resume\n{error}"
            )

    def check_halt(self) -> None:
        """Raise HostLost on a host if the session has ended."""
        if self.place and self.session.halt.is_set():
            raise HostLost("the session was ended")

    def check_place(self, entries: Mapping[str, Entry], names: Iterable[str]) -> None:
        """Raise HostLost if no contestant can measure on a host, which is the host's fault."""
        every = [entries.get(name, {}) for name in names]
        failed = [str(entry.get("error") or entry.get("unavailable") or "") for entry in every]
        if self.place and failed and all(failed):
            raise HostLost(failed[0].strip().splitlines()[0])

    def affordable(self, rounds: int, seconds: float) -> int:
        """How many of the rounds fit, judged by a contestant's `seconds` in the first one.

        A confirmation has more rounds than the screen, and in proportion more time.
        """
        time = ROUNDS_SECONDS * max(1.0, self.session.rounds / max(1, self.plan.rounds))
        return min(rounds, max(LEAST_ROUNDS, round(time / seconds)))

    def attempt(self, entry: Entry, step: Callable[..., None], name: str, *arguments: Any) -> None:
        """Run one step of a contestant; a failure is noted in its entry and affects no other."""
        began = monotonic()
        self.check_halt()
        try:
            if not (name in self.workers or name in self.unavailable):
                self.start_workers([name], arguments[0].device)
            if name in self.unavailable:
                entry.update(self.unavailable[name])
            else:
                step(entry, self.workers[name], *arguments)
        except WorkerError as error:
            self.refuse_full_disk(error)
            entry["error"] = str(error)
            if error.fatal:
                self.workers.pop(name).kill()
        entry["cost"] += monotonic() - began

    def prepare(self, entry: Entry, worker: WorkerProcess, trial: Trial, block: int) -> None:
        """Build, make the first call, compare answers with the reference's, choose a burst."""

        def ask(method: str, *arguments: Any) -> Any:
            return worker.ask(method, *arguments, limit=self.plan.call_limit)

        def take(with_recipe: Recipe, precision: str) -> str:
            record = with_recipe.record()
            return str(ask("take", trial.architecture, record, "float32", start, precision))

        def check_all(
            questions: Iterable[str], with_recipe: Recipe, precision: str
        ) -> dict[str, float]:
            place = (trial.architecture, with_recipe, conventions, precision)
            found: dict[str, float] = {}
            for question in questions:
                found |= self.session.reference.check(ask, question, *place)
            return found

        facts = self.facts[worker.contestant]
        conventions = Conventions(**facts["conventions"])
        network = networks.load(trial.architecture)
        start = weights.to_bytes(weights.initial(network, self.plan.seed))
        used = replace(recipe.DEFAULT, batch_size=trial.batch_size, seed=self.plan.seed)
        entry |= {"facts": facts, "recipe": used.record()}
        entry |= {"samples": [], "counted": {}}
        precision = self.plan.precision_on(trial.device)
        entry["compilation"] = take(used, precision)
        began = monotonic()
        entry["first_call_seconds"] = ask("first_call", trial.operation)
        took = monotonic() - began if trial.kind.exports else entry["first_call_seconds"]
        kind = "parity_tf32" if precision == "tf32" else "parity"
        entry[kind] = check_all(trial.kind.questions, used, precision)
        began = monotonic()
        if precision == "tf32":
            # TF32 rounds so much that a wrong recipe would pass. The same code is therefore
            # checked in float32.
            take(used, "float32")
            entry["parity"] = check_all(trial.kind.questions, used, "float32")
        draws = ("dropout",) if network.draws and trial.kind.learns else ()
        entry["parity"] |= check_all(draws, used, "float32") if block == 0 else {}
        once = trial.kind.once if block == 0 else ()
        if once:
            plain = replace(used, optimizer=recipe.DYADIC_SGD)
            take(plain, "float32")
            entry["parity"] |= check_all(once, plain, "float32")
        if once or precision == "tf32":
            take(used, precision)
        entry["once_seconds"] = took + monotonic() - began
        if not trial.kind.whole:
            entry["iterations"] = ask("iterations", trial.operation)
        ask("threads_that_ran")  # starts the count

    def sample(self, entry: Entry, worker: WorkerProcess, trial: Trial) -> None:
        """Take one sample: a burst, or a whole operation such as an epoch with its accuracy."""
        limit, iterations = self.plan.call_limit, entry.get("iterations", 1)
        found = worker.ask("sample", trial.operation, iterations, limit=limit)
        entry["samples"].append((found.pop("seconds"), found.pop("cpu_seconds")))
        for what, count in found.pop("counted").items():
            entry["counted"].setdefault(what, []).append(round(count, 9))
        for key in LATENCIES:
            if latencies := found.pop(key, None):
                entry.setdefault(key, []).extend(latencies)
        entry |= found

    def read_totals(self, entry: Entry, worker: WorkerProcess, trial: Trial) -> None:
        """Note the worker's peak memory so far, and how many threads ran."""
        for what in ("peak_memory", "peak_gpu_memory"):
            entry[f"{what}_bytes"] = worker.ask(what, limit=self.plan.call_limit)
        entry["threads_that_ran"] = worker.ask("threads_that_ran", limit=self.plan.call_limit)


def same_bursts(entries: dict[str, Entry]) -> None:
    """Give all environments of an implementation the same number of operations in a burst.

    The first operations of a burst find caches that another worker has filled, so the mean is
    shorter in a longer burst: with identical code, by 5 % in a burst of 6 against one of 3.
    """
    groups: dict[str, list[Entry]] = {}
    for name, entry in entries.items():
        if "iterations" in entry:
            groups.setdefault(split(name)[0], []).append(entry)
    for group in groups.values():
        iterations = round(median(entry["iterations"] for entry in group))
        for entry in group:
            entry["iterations"] = iterations


def shuffled(contestants: Iterable[str], chance: random.Random) -> list[str]:
    """Contestants in random order, an implementation's environments next to each other.

    The machine's state changes within a tenth of a second, and neighbours mostly share it.
    """
    groups: dict[str, list[str]] = {}
    for name in contestants:
        groups.setdefault(split(name)[0], []).append(name)
    order = chance.sample(list(groups.values()), len(groups))
    return [name for group in order for name in chance.sample(group, len(group))]
