"""What one session measures, and what must not change during it."""

import platform
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.measuring.environments import Environment, own, steady
from benchmarks.measuring.hosts import Host, Place
from benchmarks.trial import Trial, split
from mnist_models import implementations, networks
from mnist_models.operations import FORWARD
from mnist_models.worker import settings, source_hash

# CPU seconds that a worker takes to start, roughly.
START = 2.5
# On a fast machine, a plan takes only this share of its likely costs.
LEAST = 0.7
# The `importance` of the pair's training steps, which have rank 0, and of its forward passes.
MOST = 4
ESSENTIAL = MOST - FORWARD.rank


@dataclass(frozen=True)
class Plan:
    """Trials with their contestants, and the settings that they share.

    A contestant is an implementation here or in one of the `baselines` ("name@environment").
    `threads` is per worker. `rounds` are samples per block; whole operations, such as the epoch,
    have one. `images` is the number of images of an epoch. `call_limit` and `time_budget` are in
    seconds.
    """

    contests: dict[Trial, tuple[str, ...]]
    dataset: str
    dataset_sha256: str
    dataset_folder: str
    images: int
    source: str
    blocks: int
    rounds: int
    threads: int
    precision: str
    seed: int
    call_limit: float
    time_budget: float
    baselines: dict[str, Environment] = field(default_factory=dict)
    # The environment of contestants without a baseline; None means this process's own.
    here: Environment | None = None
    margin: float = 0.02
    # Seconds for further blocks of what the screen left undecided.
    until_decided: float = 0.0
    # "steady": glibc keeps freed memory; "installed": as it is.
    allocator: str = "installed"
    # Whether suspects against the baselines are measured again.
    confirms: bool = True
    # CPU threads of a worker that uses a GPU; None means `threads`.
    gpu_threads: int | None = None
    # Machines that measure the blocks; none means this one.
    hosts: tuple[Host, ...] = ()

    def fingerprint(self) -> dict[str, Any]:
        """All that a resumed session must have in common with the original one."""
        return {
            "trials": {str(trial): list(names) for trial, names in self.contests.items()},
            "blocks": self.blocks,
            "rounds": self.rounds,
            "threads": self.threads,
            "threads with a GPU": self.threads_on("gpu"),
            "precision": self.precision,
            "margin": self.margin,
            "allocator": self.allocator,
            "seed": self.seed,
            "data set": f"{self.dataset} {self.dataset_sha256[:12]}",
            "source": self.source,
            "suite": source_hash(Path(__file__).parents[1]),
            "versions": implementations.installed(sorted(self.packages())),
            "host": f"{platform.node()}, Python {platform.python_version()}",
            "environment": settings(),
            "baselines": {name: described(e) for name, e in self.baselines.items()},
            **({"here": described(self.here)} if self.here else {}),
            **({"hosts": [host.spec for host in self.hosts]} if self.hosts else {}),
        }

    def environment(self, contestant: str, place: Place | None = None) -> Environment:
        """The environment of a contestant's worker; without a baseline, that of this session.

        At a `place` on another host, it is the one that was made there.
        """
        _, name = split(contestant)
        found = self.baselines[name] if name else self.here or own()
        if place:
            found = replace(found, spec=place.spec(name))
        return steady(found) if self.allocator == "steady" else found

    def threads_on(self, device: str) -> int:
        """CPU threads of a worker for a device."""
        return self.gpu_threads or self.threads if device == "gpu" else self.threads

    def precision_on(self, device: str) -> str:
        """The precision in force on a device; CPUs have no TF32."""
        return self.precision if device == "gpu" else "float32"

    def packages(self) -> set[str]:
        """Top-level packages that the contestants import."""
        return set().union(*(implementations.packages(split(name)[0]) for _, name in self.rows()))

    def order(self, block: int, session: str) -> list[Trial]:
        """The trials of a block: the first by priority, the others in random order.

        The first block shows the cost of each row. In its order, the budget cuts off what matters
        least.
        """
        trials = sorted(self.contests, key=lambda trial: trial.kind.rank)
        if block > 0:
            random.Random(f"{session} {block}").shuffle(trials)
        return trials

    def rows(self) -> list[tuple[Trial, str]]:
        """Every contestant of every trial."""
        return [(trial, name) for trial, names in self.contests.items() for name in names]


def described(environment: Environment) -> list[Any]:
    """All properties of an environment, as the journal saves them."""
    more = environment.knob, environment.threads
    return [environment.spec, environment.versions, *filter(None, more)]


def likely_costs(plan: Plan) -> dict[tuple[Trial, str], float]:
    """Rough seconds of each row in a block, with its share of its worker's start."""
    rows = plan.rows()
    shares = Counter((trial.device, name) for trial, name in rows)
    return {
        (trial, name): trial.kind.estimate(plan.rounds) + START / shares[trial.device, name]
        for trial, name in rows
    }


def estimate(plan: Plan) -> float:
    """Seconds that a plan takes, very roughly."""
    return min(plan.blocks * sum(likely_costs(plan).values()), plan.time_budget)


def foreseen(plan: Plan, machines: int = 1) -> list[tuple[Trial, str]]:
    """Rows to leave out before anything is measured, if not all of them can fit.

    Otherwise the first block, with all rows, would use up the time of the pair's training steps and
    forward passes, which are never left out here. `machines` measure blocks side by side.
    """
    costs = likely_costs(plan)
    total, time = sum(costs.values()), plan.time_budget / ceil(plan.blocks / machines)
    if LEAST * total <= time:
        return []
    return [
        (trial, name)
        for trial, name in to_drop(costs, total - time)
        if importance(trial, split(name)[0]) < ESSENTIAL
    ]


def to_drop(costs: dict[tuple[Trial, str], float], saving: float) -> list[tuple[Trial, str]]:
    """Rows to leave out so that at least `saving` seconds a block are saved.

    A unit is a trial with both of the pair, or a row of another implementation, in all
    environments. The pair's operations of rank 0 are always kept. Units of the least `importance`
    are dropped first: the cheapest one that saves enough, or else the costliest one, until enough
    is saved. Of equal costs the last trial is dropped first.
    """
    units: dict[int, dict[tuple[str, ...], list[tuple[Trial, str]]]] = {}
    for trial, name in costs:
        implementation, _ = split(name)
        alike = units.setdefault(importance(trial, implementation), {})
        if implementation not in implementations.PAIR:
            alike.setdefault((str(trial), implementation), []).append((trial, name))
        elif trial.kind.rank > 0:
            alike.setdefault((str(trial),), []).append((trial, name))
    dropped: list[tuple[Trial, str]] = []
    for _, alike in sorted(units.items()):
        last_first = reversed(alike.values())
        priced = [(sum(map(costs.__getitem__, rows)), rows) for rows in last_first]
        priced.sort(key=lambda unit: unit[0])
        while saving > 0 and priced:
            most = priced[-1][0]
            next_out = next(i for i, (price, _) in enumerate(priced) if price >= min(saving, most))
            price, rows = priced.pop(next_out)
            saving -= price
            dropped += rows
    return dropped


def importance(trial: Trial, implementation: str) -> int:
    """How late a row is dropped.

    Epochs and other whole operations on networks that by default only the pair is timed on are
    dropped first, because an epoch takes longer than all else of such a network. The other
    implementations follow, with the pair's operations of rank 3, then its other epochs, then its
    forward passes.
    """
    if trial.kind.whole and not networks.load(trial.architecture).for_all:
        return 0
    return 1 if implementation not in implementations.PAIR else MOST - trial.kind.rank
