"""Measure a plan: blocks of fresh workers, rounds in random order, all of it journaled."""

import copy
import errno
import os
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from math import ceil
from pathlib import PurePosixPath
from statistics import median
from threading import Event
from time import monotonic
from typing import Any, Protocol

from benchmarks.comparing.saved import REFERENCE
from benchmarks.comparing.verdicts import (
    PEAK_MEMORY,
    Comparison,
    blocks_to_decide,
    confirmation_blocks,
    confirmation_rounds,
    decision,
    suspicion,
)
from benchmarks.measuring import gpu, load, memory, workers
from benchmarks.measuring.dealing import Dealer, FarMeter, check_answers
from benchmarks.measuring.hosts import HostLost, Place
from benchmarks.measuring.journal import Journal, JournalError, noted_confirmation, others
from benchmarks.measuring.load import Meter
from benchmarks.measuring.plan import Plan, foreseen, to_drop
from benchmarks.measuring.reference import Reference
from benchmarks.measuring.results import Results, headline
from benchmarks.measuring.workers import WorkerError, WorkerProcess
from benchmarks.trial import Trial, by_trial, contestant, split
from mnist_models import accuracy, cpus, networks, recipe, weights
from mnist_models.conventions import Conventions
from mnist_models.data import Dataset
from mnist_models.operations import EPOCH, FORWARD, LATENCIES
from mnist_models.recipe import Recipe

# An implementation that raises one of these is skipped with the reason, unless it was asked for.
UNAVAILABLE = ("ModuleNotFoundError", "Unavailable")
# Seconds of rounds that a contestant has in a trial, and the fewest rounds: of a network whose
# calls are long, a block has fewer than --rounds.
ROUNDS_SECONDS, LEAST_ROUNDS = 1.0, 10
Entry = dict[str, Any]


class Progress(Protocol):
    """The follower of a session, such as a progress bar."""

    def say(self, line: str) -> None:
        """Something that must not be missed."""

    def trial(self, block: int, trial: Trial) -> None:
        """A trial begins."""

    def block(self, block: int, seconds_left: float) -> None:
        """A block has ended; `seconds_left` if the others take as long."""

    def look(self, results: Results) -> None:
        """A block has ended, and others follow; `results` are those so far."""

    def confirm(self, suspects: int, trials: int) -> None:
        """The screen is over; suspects, if any, are measured again in new blocks."""

    def decide(self, undecided: int, seconds: float) -> None:
        """All is confirmed or refuted; what is undecided is measured further for some seconds."""


class Session:
    """One run of a plan, or the rest of it if the journal already holds a part."""

    def __init__(self, plan: Plan, dataset: Dataset, journal: Journal, progress: Progress) -> None:
        self.plan, self.journal, self.progress = plan, journal, progress
        self.reference = Reference(dataset)
        self.test_labels = dataset.test_labels
        self.earlier: float = sum(record.get("seconds", 0.0) for record in journal.records)
        self.place: Place | None = None
        # Set when Ctrl-C ends a session on several hosts.
        self.halt = Event()
        self.alone()
        self.suspected: dict[str, list[str]] = {}
        self.rounds = plan.rounds
        self.chance = random.Random(journal.session)

    def alone(self) -> None:
        """Have no workers yet."""
        self.workers: dict[str, WorkerProcess] = {}
        self.facts: dict[str, Entry] = {}
        self.unavailable: dict[str, Entry] = {}

    def on(self, place: Place) -> "Session":
        """The same session on another host: with workers of its own, all else shared."""
        other = copy.copy(self)
        other.place = place
        other.alone()
        return other

    def run(self) -> bool:
        """Measure all that the journal does not hold yet; False when Ctrl-C ended it early.

        Raises HostLost when no host is left.
        """
        self.began = monotonic()
        dealer = Dealer(self)
        try:
            if not self.plan.hosts:
                self.check_machine()
            if not any("block" in record for record in self.journal.records):
                self.drop(foreseen(self.plan))
            dealer.begin()
            dealer.deal(range(self.plan.blocks))
            self.confirm(dealer)
            self.decide(dealer)
            self.expect_accuracy()
        except KeyboardInterrupt:
            return False
        finally:
            dealer.end()
            self.stop_workers()
        return True

    def confirm(self, dealer: Dealer) -> None:
        """Measure suspects in new blocks, until each is confirmed or refuted."""
        blocks = list(self.confirmation())
        while blocks:
            self.suspected = self.contests_of(self.open_suspects())
            if not self.suspected:
                self.progress.say("every suspect is confirmed or refuted")
                break
            now, blocks = blocks[: dealer.hands], blocks[dealer.hands :]
            dealer.deal(now, self.suspected)

    def expect_accuracy(self) -> None:
        """Let the reference train the epochs that nobody calibrated, and note its accuracy.

        Where it cannot within the limit of a call, an epoch need only be better than guessing.
        """
        noted = [r["expected"]["place"] for r in self.journal.records if "expected" in r]
        table = accuracy.Table()
        every = (trial for trial in self.plan.contests if trial.kind is EPOCH)
        epochs = (trial for trial in every if self.contestants(trial))  # and was not dropped
        for name, size in sorted({(trial.architecture, trial.batch_size) for trial in epochs}):
            place = [name, size]
            if place in noted or table.get(self.plan.dataset, name, size):
                continue
            self.progress.say(f"{name} at batch {size} is not calibrated: the reference trains it")
            try:
                reached = self.trained_by_reference(name, size)
                bounds = accuracy.around(reached, len(self.test_labels), name)
            except WorkerError as error:
                self.progress.say(f"the reference could not train: {str(error).splitlines()[0]}")
                bounds = accuracy.above_guessing(self.test_labels)
            self.journal.append({"expected": {"place": place, "bounds": bounds}})

    def trained_by_reference(self, architecture: str, batch_size: int) -> float:
        """The test accuracy that the reference reaches in the same epoch; raises WorkerError."""
        trial = Trial(EPOCH.name, architecture, batch_size, "cpu")
        self.start_workers([REFERENCE], trial.device)
        try:
            if REFERENCE in self.unavailable:
                raise WorkerError(str(next(iter(self.unavailable[REFERENCE].values()))))
            worker = self.workers[REFERENCE]
            used = replace(recipe.DEFAULT, batch_size=batch_size, seed=self.plan.seed)
            start = weights.initial(networks.load(architecture), self.plan.seed)
            limit = self.plan.call_limit
            take = (architecture, used.record(), "float32", weights.to_bytes(start))
            worker.ask("take", *take, limit=limit)
            found = worker.ask("sample", EPOCH.name, 1, limit=limit)
            return float(found["accuracy"])
        finally:
            self.stop_workers()

    def check_machine(self) -> None:
        """Warn of disturbances, and drop contestants that do not fit into the memory."""
        for other in others(self.journal):
            self.progress.say(
                f"{other} is measuring in this folder, too: each makes the other's times worse; "
                "better measure one after the other"
            )
        if why := load.unknown(cpus.share(self.plan.threads)[0]):
            self.progress.say(f"other programs' use of the CPUs cannot be watched: {why}")
        for device in sorted({trial.device for trial in self.plan.contests}):
            self.fit_into_memory(device)

    def fit_into_memory(self, device: str) -> None:
        """Drop contestants of a device that do not fit into the memory together."""
        trials = [trial for trial in self.plan.contests if trial.device == device]
        names = list(dict.fromkeys(n for trial in trials for n in self.contestants(trial)))
        free = memory.available()
        if memory.needed(names) <= free:
            return
        need, there = (memory.gibibytes(size) for size in (memory.needed(names), free))
        out = memory.too_many(names, list(self.plan.baselines), free)
        why = f"for want of memory ({len(names)} workers need {need}, {there} are free; end other "
        why += "programs, or measure fewer at once with --implementation)"
        self.drop([(t, n) for t in trials for n in self.contestants(t) if n in out], why)
        kept = [name for name in names if name not in out]
        if memory.needed(kept) > free:
            need = memory.gibibytes(memory.needed(kept))
            self.progress.say(
                f"memory is short: the workers of {', '.join(kept)} need up to {need}, {there} are "
                "free; end other programs if a worker is killed"
            )

    def confirmation(self) -> range:
        """The blocks in which suspects are measured again, noted in the journal beforehand."""
        noted = noted_confirmation(self.journal.records)
        # A single block screens nothing.
        several = self.plan.confirms and self.plan.rounds and self.plan.blocks > 1
        if not noted and self.plan.baselines and several:
            suspects = self.open_suspects()
            blocks = confirmation_blocks(len(suspects))[-1] if suspects else 0
            rounds = confirmation_rounds(suspects, self.plan.rounds)
            noted = {"suspects": len(suspects), "blocks": blocks, "rounds": rounds}
            self.journal.append({"confirmation": noted})
        if not noted:
            return range(0)
        count, blocks, self.rounds = (noted[key] for key in ("suspects", "blocks", "rounds"))
        self.progress.confirm(count, len(self.contests_of(self.open_suspects())))
        return range(self.plan.blocks, self.plan.blocks + blocks)

    def decide(self, dealer: Dealer) -> None:
        """Measure what is undecided in further blocks, until it is decided or time is over."""
        plan, began, said = self.plan, monotonic(), False
        if not (plan.confirms and plan.baselines and plan.rounds):
            return
        self.rounds = plan.rounds
        block = self.first_deciding()
        while monotonic() - began < plan.until_decided and (undecided := self.undecided()):
            if not said:
                self.progress.decide(len(undecided), plan.until_decided)
                said = True
            self.suspected = self.contests_of(undecided)
            now = range(block, block + dealer.hands)
            dealer.deal(now, self.suspected)
            for name, trial, error in (one for each in now for one in self.failures(each)):
                self.progress.say(
                    f"{name} failed in a further block of {trial}, which does not count: {error}"
                )
            block = now.stop

    def failures(self, block: int) -> list[tuple[str, str, str]]:
        """What failed in a block: contestant, trial, and the error on one line."""
        return [
            (name, record["trial"], headline(entry["error"]))
            for record in self.journal.records
            if record.get("block") == block
            for name, entry in record.get("results", {}).items()
            if "error" in entry
        ]

    def first_deciding(self) -> int:
        """The block after the confirmation, or the later one that was cut off.

        A block of the confirmation has had its processes: others in it would mix their memory.
        """
        confirming = (noted_confirmation(self.journal.records) or {"blocks": 0})["blocks"]
        last = max((r.get("block", 0) for r in self.journal.records), default=0)
        return max(self.plan.blocks + confirming, last)

    def undecided(self) -> list[Comparison]:
        """Return the comparisons of times that some more blocks will probably find equal.

        A side that failed in a further block is not measured any more, so nor is the other one.
        """
        results = Results(self.plan, self.journal)
        every = [one for judged in results.verdicts().values() for one in judged]
        return [
            one.comparison
            for one in every
            if one.comparison.metric.name == "time"
            and self.whole(one.comparison)
            and not (suspicion(one.comparison) and decision(one.comparison)[0] is None)
            and blocks_to_decide(one.verdict, one.comparison)
        ]

    def whole(self, comparison: Comparison) -> bool:
        """Whether both sides of a comparison still run."""
        sides = {
            comparison.implementation,
            contestant(comparison.implementation, comparison.environment),
        }
        return sides <= {*self.contestants(Trial.parse(comparison.trial))}

    def open_suspects(self) -> list[Comparison]:
        """Return the suspects of the screen that the confirmation has not decided yet."""
        results = Results(self.plan, self.journal)
        every = [one.comparison for judged in results.verdicts().values() for one in judged]
        return [c for c in every if suspicion(c) and decision(c)[0] is None]

    def contests_of(self, suspects: list[Comparison]) -> dict[str, list[str]]:
        """Return the contestants to measure again, by trial.

        All environments of an implementation run the same trials. Otherwise other work in the
        process would change their memory and first-call figures.
        """
        trials: dict[str, set[str]] = {}
        environments: dict[str, set[str]] = {}
        for c in suspects:
            device = Trial.parse(c.trial).device
            every = [str(t) for t in self.plan.contests if t.device == device]
            again = every if c.metric is PEAK_MEMORY else [c.trial]
            trials.setdefault(c.implementation, set()).update(again)
            environments.setdefault(c.implementation, {""}).add(c.environment)
        return {
            str(trial): [
                name
                for name in names
                if str(trial) in trials.get(split(name)[0], ())
                and split(name)[1] in environments[split(name)[0]]
            ]
            for trial, names in self.plan.contests.items()
            if any(str(trial) in again for again in trials.values())
        }

    def spent(self) -> float:
        """Seconds of measuring so far, those of a killed session that is taken up included."""
        return self.earlier + monotonic() - self.began

    def run_block(self, block: int) -> None:
        """Every trial of a block in workers of its own, those of one device after the other."""
        began = monotonic()
        done = {r["trial"] for r in self.journal.records if r.get("block") == block}
        todo = [t for t in self.plan.order(block, self.journal.session) if str(t) not in done]
        for device in sorted({trial.device for trial in todo}):
            trials = [trial for trial in todo if trial.device == device]
            self.unavailable = {}
            every = {name for trial in trials for name in self.contestants(trial, block)}
            self.start_workers(every, device)
            self.check_place(self.unavailable, every)
            for trial in trials:
                if block == 0 and self.overdue(trial, began):
                    self.drop([(trial, name) for name in self.contestants(trial)])
                elif names := self.contestants(trial, block):
                    self.progress.trial(block, trial)
                    self.run_trial(block, trial, names)
            self.stop_workers()
        if todo:
            self.keep_budget(block, monotonic() - began)
        more = block + 1 < self.plan.blocks
        if todo and more and self.plan.rounds and not self.plan.baselines:
            self.progress.look(Results(self.plan, self.journal))

    def overdue(self, trial: Trial, began: float) -> bool:
        """Whether the first block, so far, leaves no time for a trial."""
        rest = 0.0
        if trial.kind.rank > FORWARD.rank:
            every = (entry for r in self.journal.records for entry in r.get("results", {}).values())
            once = sum(entry.get("once_seconds", 0.0) for entry in every)
            rest = self.blocks_after(0) * (monotonic() - began - once)
        return trial.kind.rank > 0 and self.spent() + rest > self.plan.time_budget

    def blocks_after(self, block: int) -> int:
        """How many blocks' time is still to come."""
        return ceil((self.plan.blocks - block - 1) / self.plan.machines)

    def contestants(self, trial: Trial, block: int = 0) -> list[str]:
        """Return the contestants that still run in a trial: not dropped, failed or unavailable.

        In a confirming block these are the suspects and their counterparts.
        """
        out = {name for t, name in self.dropped() if t == str(trial)}
        for record in self.journal.records:
            for name, entry in record.get("results", {}).items():
                elsewhere = Trial.parse(record["trial"]).device != trial.device
                failed = "error" in entry and record["trial"] == str(trial)
                if failed or ("unavailable" in entry and not elsewhere):
                    out.add(name)
        names: Iterable[str] = self.plan.contests[trial]
        if block >= self.plan.blocks:
            names = self.suspected.get(str(trial), ())
        return [name for name in names if name not in out]

    def dropped(self) -> list[list[str]]:
        """[trial, contestant] of all that does not fit into the time budget."""
        return [row for record in self.journal.records for row in record.get("dropped", [])]

    def drop(self, rows: list[tuple[Trial, str]], why: str = "to keep the time budget") -> None:
        """Leave rows out from now on, and say so."""
        if rows:
            dropped = [[str(trial), name] for trial, name in rows]
            self.journal.append({"dropped": dropped, "reason": why})
            self.progress.say(f"dropped {why}: {by_trial(rows)}")

    def keep_budget(self, block: int, seconds: float) -> None:
        """Drop what would not fit if the blocks to come cost as much as this one.

        The costs that only the first block has, such as cold compilers, are not counted.
        """
        costs, once = {}, 0.0
        records = [record for record in self.journal.records if record.get("block") == block]
        # A resumed block was partly measured by the session before.
        seconds = max(seconds, sum(record.get("seconds", 0.0) for record in records))
        for record in records:
            trial = next(t for t in self.plan.contests if str(t) == record["trial"])
            for name, entry in record["results"].items():
                cold = entry.get("once_seconds", 0.0) if block == 0 else 0.0
                once += cold
                if name in self.contestants(trial):
                    costs[trial, name] = entry["cost"] - cold
        blocks = self.blocks_after(block)
        if blocks < 0:
            self.progress.block(block, 0.0)
            return
        rest = blocks * (seconds - once)
        self.progress.block(block, rest)
        excess = self.spent() + rest - self.plan.time_budget
        if blocks and excess > 0:
            self.drop(to_drop(costs, excess / blocks))

    def start_workers(self, names: Iterable[str], device: str) -> None:
        """Start a worker for each name; they import their frameworks side by side."""
        order = sorted(set(names))
        self.chance.shuffle(order)
        for step in (self.spawn, self.check):
            for name in (name for name in order if name not in self.unavailable):
                try:
                    step(name, device)
                except WorkerError as error:
                    refuse_full_disk(error)
                    kind = "unavailable" if error.kind in UNAVAILABLE else "error"
                    self.unavailable[name] = {kind: str(error), "cost": 0.0}
                    if name in self.workers:
                        self.workers.pop(name).kill()

    def spawn(self, name: str, device: str) -> None:
        """Start a worker and tell it what to prepare, without waiting for it."""
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
        # Before it starts, because it is bound to few CPUs from then on.
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

    def stop_workers(self) -> None:
        """End all workers, which two threads may do at once."""
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
        meter = (
            FarMeter(self.workers, live)
            if self.place
            else Meter((worker.pid for worker in self.workers.values()), theirs)
        )
        with cpus.bound(ours) if not self.place else nullcontext():
            started, rounds, done = monotonic(), 1 if trial.kind.whole else self.rounds, 0
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
            if self.halt.is_set():
                raise HostLost("the session was ended")
            record["host"] = self.place.host.name
            check_answers(record)
        self.journal.append(record | {"seconds": monotonic() - began})

    def check_place(self, entries: Mapping[str, Entry], names: Iterable[str]) -> None:
        """Raise HostLost where nobody at all can measure on a host: that is the host's fault."""
        every = [entries.get(name, {}) for name in names]
        failed = [str(entry.get("error") or entry.get("unavailable") or "") for entry in every]
        if self.place and failed and all(failed):
            raise HostLost(failed[0].strip().splitlines()[0])

    def affordable(self, rounds: int, seconds: float) -> int:
        """How many of the rounds fit, going by the seconds of a contestant in the first of them.

        A confirmation, which has more rounds than the screen, has as much more time for them.
        """
        time = ROUNDS_SECONDS * max(1.0, self.rounds / max(1, self.plan.rounds))
        return min(rounds, max(LEAST_ROUNDS, round(time / seconds)))

    def attempt(self, entry: Entry, step: Callable[..., None], name: str, *arguments: Any) -> None:
        """Take one step of a contestant; a failure is written into its entry and costs it alone."""
        began = monotonic()
        try:
            if not (name in self.workers or name in self.unavailable):
                self.start_workers([name], arguments[0].device)
            if name in self.unavailable:
                entry.update(self.unavailable[name])
            else:
                step(entry, self.workers[name], *arguments)
        except WorkerError as error:
            refuse_full_disk(error)
            entry["error"] = str(error)
            if error.fatal:
                self.workers.pop(name).kill()
        entry["cost"] += monotonic() - began

    def prepare(self, entry: Entry, worker: WorkerProcess, trial: Trial, block: int) -> None:
        """Build, make the first call, hold the answers against the reference's, choose a burst."""

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
                found |= self.reference.check(ask, question, *place)
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
        entry["first_call_seconds"] = ask("first_call", trial.operation)
        kind = "parity_tf32" if precision == "tf32" else "parity"
        entry[kind] = check_all(trial.kind.questions, used, precision)
        began = monotonic()
        if precision == "tf32":
            # TF32 rounds so much away that a wrong recipe would pass: the same code shows its
            # recipe in float32.
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
        entry["once_seconds"] = entry["first_call_seconds"] + monotonic() - began
        if not trial.kind.whole:
            entry["iterations"] = ask("iterations", trial.operation)
        ask("threads_that_ran")  # from now on

    def sample(self, entry: Entry, worker: WorkerProcess, trial: Trial) -> None:
        """One sample: a burst, or an epoch with its accuracy."""
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
        """Note how much memory the worker has needed so far, and how many threads ran."""
        for what in ("peak_memory", "peak_gpu_memory"):
            entry[f"{what}_bytes"] = worker.ask(what, limit=self.plan.call_limit)
        entry["threads_that_ran"] = worker.ask("threads_that_ran", limit=self.plan.call_limit)


def refuse_full_disk(error: WorkerError) -> None:
    """Raise JournalError where the disk is full: that is nothing to blame a contestant for."""
    if os.strerror(errno.ENOSPC) in str(error):
        raise JournalError(
            f"a worker found the disk full; what was measured before is safe: make space, then run "
            f"the same command with --resume\n{error}"
        )


def same_bursts(entries: dict[str, Entry]) -> None:
    """Let all environments of an implementation do as many operations in a burst.

    The first operations of a burst find caches that another worker has filled, so that one takes
    less time in a longer burst: 5 % less in one of 6 than in one of 3, of identical code.
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

    The machine changes within a tenth of a second, and neighbours share most of it.
    """
    groups: dict[str, list[str]] = {}
    for name in contestants:
        groups.setdefault(split(name)[0], []).append(name)
    order = chance.sample(list(groups.values()), len(groups))
    return [name for group in order for name in chance.sample(group, len(group))]
