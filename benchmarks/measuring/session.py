"""Measure a plan: the screen, the confirmation and further blocks, within the time budget."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import ceil
from threading import Event, Lock
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
)
from benchmarks.measuring import load, memory
from benchmarks.measuring.dealing import Dealer
from benchmarks.measuring.journal import (
    CACHES,
    EXPORTS,
    Journal,
    confirming_blocks,
    noted_confirmation,
    others,
)
from benchmarks.measuring.plan import Plan, foreseen, to_drop
from benchmarks.measuring.pool import WorkerPool
from benchmarks.measuring.reference import Reference
from benchmarks.measuring.results import Results, headline
from benchmarks.measuring.workers import WorkerError
from benchmarks.trial import Trial, by_trial, contestant, split
from mnist_models import accuracy, cpus, networks, recipe, weights
from mnist_models.data import Dataset
from mnist_models.operations import EPOCH, FORWARD


class Progress(Protocol):
    """The follower of a session, such as a progress bar."""

    def say(self, line: str) -> None:
        """Print a line that must not be missed."""

    def trial(self, block: int, trial: Trial) -> None:
        """Show that a trial begins."""

    def block(self, block: int, seconds_left: float) -> None:
        """Show that a block has ended; `seconds_left` assumes that the others take as long."""

    def look(self, results: Results) -> None:
        """Show the `results` so far, when a block has ended and others follow."""

    def confirm(self, suspects: int, trials: int) -> None:
        """Show that the screen is over, and whether suspects are measured again in new blocks."""

    def decide(self, undecided: int, seconds: float) -> None:
        """Show that suspects are decided, and the rest is measured further for some seconds."""


class Session:
    """One run of a plan, or the rest of it if the journal already holds a part."""

    # Held while the budget is kept.
    keeping = Lock()

    def __init__(self, plan: Plan, dataset: Dataset, journal: Journal, progress: Progress) -> None:
        self.plan, self.journal, self.progress = plan, journal, progress
        self.reference = Reference(dataset)
        self.test_labels = dataset.test_labels
        self.earlier: float = max((r.get("spent", 0.0) for r in journal.records), default=0.0)
        self.dealer = Dealer(self)
        # Set when Ctrl-C ends a session on several hosts.
        self.halt = Event()
        self.suspected: dict[str, list[str]] = {}
        self.rounds = plan.rounds
        self.chance = random.Random(journal.session)

    def run(self) -> bool:
        """Measure all that the journal does not hold yet; False when Ctrl-C ended it early.

        Raises HostLost when no host is left.
        """
        self.began = monotonic()
        dealer = self.dealer
        try:
            self.journal.clear_caches(self.stale_caches())
            if not self.plan.hosts:
                self.check_machine()
            dealer.begin()
            if not self.measured():
                self.drop(foreseen(self.plan, dealer.hands))
            dealer.deal(range(self.plan.blocks))
            self.confirm(dealer)
            self.decide(dealer)
            self.expect_accuracy()
        except KeyboardInterrupt:
            return False
        finally:
            dealer.end()
        return True

    def stale_caches(self) -> list[str]:
        """The caches in which a killed session left what would make first calls warm.

        If it measured a trial of the first block, later blocks need what that exported.
        """
        if not self.unmeasured(0):
            return []
        return [cache for cache in CACHES if cache != EXPORTS or not self.measured()]

    def confirm(self, dealer: Dealer) -> None:
        """Measure suspects in new blocks, until each is confirmed or refuted."""
        blocks = list(self.confirmation())
        while blocks:
            self.suspected = self.contests_of(self.open_suspects())
            if not self.suspected:
                self.progress.say("every suspect is confirmed or refuted")
                break
            now, blocks = blocks[: dealer.hands], blocks[dealer.hands :]
            dealer.deal(now)

    def expect_accuracy(self) -> None:
        """Let the reference train the epochs that are not calibrated, and note its accuracy.

        If it exceeds the limit of a call, an epoch only has to be better than guessing.
        """
        noted = [r["expected"]["place"] for r in self.journal.records if "expected" in r]
        table = accuracy.Table()
        every = (trial for trial in self.plan.contests if trial.kind is EPOCH)
        epochs = (trial for trial in every if self.contestants(trial))  # not dropped
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
        pool = WorkerPool(self)
        try:
            pool.start_workers([REFERENCE], trial.device)
            if REFERENCE in pool.unavailable:
                raise WorkerError(str(next(iter(pool.unavailable[REFERENCE].values()))))
            worker = pool.workers[REFERENCE]
            used = replace(recipe.DEFAULT, batch_size=batch_size, seed=self.plan.seed)
            start = weights.initial(networks.load(architecture), self.plan.seed)
            limit = self.plan.call_limit
            take = (architecture, used.record(), "float32", weights.to_bytes(start))
            worker.ask("take", *take, limit=limit)
            found = worker.ask("sample", EPOCH.name, 1, limit=limit)
            return float(found["accuracy"])
        finally:
            pool.stop()

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
        """Drop contestants of a device that do not fit into the memory together.

        Trials that a resumed session has measured need no memory any more.
        """
        measured = self.measured()
        complete = set.intersection(*(measured.get(b, set()) for b in range(self.plan.blocks)))
        every = (trial for trial in self.plan.contests if trial.device == device)
        trials = [trial for trial in every if str(trial) not in complete]
        names = list(dict.fromkeys(n for trial in trials for n in self.contestants(trial)))
        free = memory.available()
        if memory.needed(names) <= free:
            return
        need, there = (memory.gibibytes(size) for size in (memory.needed(names), free))
        out = memory.too_many(names, list(self.plan.baselines), free)
        why = f"because memory is short ({len(names)} workers need {need}, {there} are free; "
        why += "end other programs, or measure fewer at once with --implementation)"
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
        # One block is not enough for a screen.
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
        """Measure undecided rows in further blocks, until they are decided or time is over."""
        plan, said = self.plan, False
        if not (plan.confirms and plan.baselines and plan.rounds):
            return
        self.rounds = plan.rounds
        block, records = self.first_deciding(), self.journal.records
        further = plan.blocks + confirming_blocks(records)
        before = sum(r.get("seconds", 0.0) for r in records if r.get("block", -1) >= further)
        began = monotonic() - before / dealer.hands
        while monotonic() - began < plan.until_decided and (undecided := self.undecided()):
            if not said:
                self.progress.decide(len(undecided), plan.until_decided)
                said = True
            self.suspected = self.contests_of(undecided)
            now, known = range(block, block + dealer.hands), len(records)
            dealer.deal(now)
            for name, trial, error in failures(records[known:]):
                self.progress.say(
                    f"{name} failed in a further block of {trial}, which does not count: {error}"
                )
            block = now.stop

    def first_deciding(self) -> int:
        """The block after the confirmation, or the later one that was cut off.

        A block of the confirmation is not reused: its memory figures would mix two processes.
        """
        last = max((r.get("block", 0) for r in self.journal.records), default=0)
        return max(self.plan.blocks + confirming_blocks(self.journal.records), last)

    def undecided(self) -> list[Comparison]:
        """Return the comparisons of times that some more blocks will probably find equal.

        If one side failed in a further block, neither side is measured any more.
        """
        results = Results(self.plan, self.journal)
        every = [one for judged in results.verdicts().values() for one in judged]
        return [
            one.comparison
            for one in every
            if one.comparison.metric.name == "time"
            and self.whole(one.comparison)
            and not (one.comparison.suspicion and decision(one.comparison)[0] is None)
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
        return [c for c in every if c.suspicion and decision(c)[0] is None]

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
            again = every if c.metric == PEAK_MEMORY else [c.trial]
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
        """Seconds of measuring so far, including those of the session that was resumed."""
        return self.earlier + monotonic() - self.began

    def overdue(self, trial: Trial, began: float) -> bool:
        """Whether the first block, so far, leaves no time for a trial."""
        rest = 0.0
        if trial.kind.rank > FORWARD.rank:
            rest = self.blocks_left() * self.needed(0, monotonic() - began)
        return trial.kind.rank > 0 and self.spent() + rest > self.plan.time_budget

    def measured(self) -> dict[int, set[str]]:
        """The trials that the journal has of each block."""
        found: dict[int, set[str]] = {}
        for record in self.journal.records:
            if "block" in record:
                found.setdefault(record["block"], set()).add(record["trial"])
        return found

    def unmeasured(self, block: int) -> list[Trial]:
        """The trials of a block that still run and are not measured yet, in the block's order."""
        there = self.measured().get(block, set())
        order = self.plan.order(block, self.journal.session)
        return [t for t in order if str(t) not in there and self.contestants(t, block)]

    def blocks_left(self) -> int:
        """How many blocks of the screen each machine has still to begin."""
        there = self.measured()
        running = {str(trial) for trial in self.plan.contests if self.contestants(trial)}
        waiting = (block for block in self.dealer.waiting() if block < self.plan.blocks)
        left = [block for block in waiting if not running <= there.get(block, set())]
        return ceil(len(left) / self.dealer.hands)

    def needed(self, block: int, seconds: float) -> float:
        """Seconds that a later block needs, by one that took `seconds` so far.

        What only the first block has, such as cold compilers, is not counted, nor is what failed
        or was dropped since.
        """
        records = [record for record in self.journal.records if record.get("block") == block]
        # A resumed block was partly measured by the session before.
        seconds = max(seconds, sum(record.get("seconds", 0.0) for record in records))
        gone = sum(once if runs else cost for _, cost, once, runs in self.costs(block))
        return max(0.0, seconds - gone)

    def costs(self, block: int) -> Iterator[tuple[tuple[Trial, str], float, float, bool]]:
        """Each row of a block, its seconds, those of the first block alone, and whether it runs."""
        for record in self.journal.records:
            if record.get("block") == block:
                trial = Trial.parse(record["trial"])
                running = self.contestants(trial)
                for name, entry in record["results"].items():
                    once = entry.get("once_seconds", 0.0) if block == 0 else 0.0
                    yield (trial, name), entry["cost"], once, name in running

    def contestants(self, trial: Trial, block: int = 0) -> list[str]:
        """Return the contestants that still run in a trial: not dropped, failed or unavailable.

        In a confirming or further block, these are the rows to measure again. Who cannot start in
        the first block is out on that device; who cannot start later, in the trials of that block.
        """
        out = {name for t, name in self.dropped() if t == str(trial)}
        for record in self.journal.records:
            here = record.get("trial") == str(trial)
            for name, entry in record.get("results", {}).items():
                never = "unavailable" in entry and record["block"] == 0
                if never and Trial.parse(record["trial"]).device == trial.device:
                    out.add(name)
                if here and {"error", "unavailable"} & entry.keys():
                    out.add(name)
        names: Iterable[str] = self.plan.contests[trial]
        if block >= self.plan.blocks:
            names = self.suspected.get(str(trial), ())
        return [name for name in names if name not in out]

    def dropped(self) -> list[list[str]]:
        """[trial, contestant] of all that was dropped."""
        return [row for record in self.journal.records for row in record.get("dropped", [])]

    def drop(self, rows: list[tuple[Trial, str]], why: str = "to keep the time budget") -> None:
        """Leave rows out from now on, and report it."""
        if rows:
            dropped = [[str(trial), name] for trial, name in rows]
            self.journal.append({"dropped": dropped, "reason": why})
            self.progress.say(f"dropped {why}: {by_trial(rows)}")

    def keep_budget(self, block: int, seconds: float) -> None:
        """Drop what would not fit if the remaining blocks cost as much as this one."""
        if block >= self.plan.blocks:
            self.progress.block(block, 0.0)
            return
        with self.keeping:  # hosts may end their blocks at the same time
            costs = {row: cost - once for row, cost, once, runs in self.costs(block) if runs}
            blocks = self.blocks_left()
            rest = blocks * self.needed(block, seconds)
            self.progress.block(block, rest)
            excess = self.spent() + rest - self.plan.time_budget
            if blocks and excess > 0:
                self.drop(to_drop(costs, excess / blocks))


def failures(records: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What failed in records of a journal: contestant, trial, and the error on one line."""
    return [
        (name, record["trial"], headline(reason))
        for record in records
        for name, entry in record.get("results", {}).items()
        if (reason := entry.get("error") or entry.get("unavailable"))
    ]
