"""Learning curves of the pair over many seeds, and verdicts on the accuracy that they end at."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from benchmarks.comparing.schema import Count, Name, NameWithDashes, Part, Share, Text, words
from mnist_models.implementations import PAIR

# Final accuracies are equivalent up to MARGIN: half a point, 50 of 10,000 images. FAMILY is the
# probability that any interval of an experiment misses.
MARGIN, FAMILY = 0.005, 0.05
# Each arm of an experiment, and what it leaves to the framework's own defaults.
ARMS = {
    "equal": (),
    "own": ("initialisers", "layers", "optimizer"),
    "initialisers": ("initialisers",),
    "layers": ("layers",),
    "optimizer": ("optimizer",),
}


class Run(Part):
    """One network, trained by one implementation from one seed; `accuracies` by epoch."""

    architecture: NameWithDashes
    implementation: Name
    arm: Annotated[str, Field(pattern=f"^({'|'.join(ARMS)})$")]
    seed: Count
    accuracies: Annotated[list[Share], Field(min_length=1)]
    recipe: dict[Text, Any]

    @property
    def place(self) -> tuple[str, str, str, int]:
        """The key of a run, which no other run has."""
        return self.architecture, self.implementation, self.arm, self.seed


class Curves(Part):
    """The raw data of an experiment."""

    dataset: Text
    sha256: Text
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    versions: dict[Name, dict[Text, Text]]
    runs: list[Run]

    @model_validator(mode="after")
    def whole(self) -> "Curves":
        """Every run has an accuracy for each epoch."""
        for run in self.runs:
            if len(run.accuracies) != self.epochs:
                told = f"{run.place} has {len(run.accuracies)} accuracies in {self.epochs} epochs"
                raise ValueError(told)
        return self


def read(text: str) -> Curves:
    """The experiment in a file's text; raises ValueError, which names the first fault."""
    try:
        return Curves.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(words(error.errors(include_url=False, include_context=False)[0])) from None


@dataclass(frozen=True)
class Band:
    """Mean and standard deviation over seeds of the accuracy after each epoch."""

    means: list[float]
    deviations: list[float]
    seeds: int


@dataclass(frozen=True)
class Ending:
    """By how much the second of the pair ends above the first, over seeds.

    `low` and `high` are the ends of the interval. All intervals of an experiment together hold with
    a probability of 1 - FAMILY.
    """

    architecture: str
    arm: str
    difference: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """Which implementation is better, "equivalent", or "cannot tell"."""
        if self.low >= -MARGIN and self.high <= MARGIN:
            return "equivalent"
        if self.low > 0 or self.high < 0:
            return f"{PAIR[self.low > 0]} is better"
        return "cannot tell"


# The accuracies by epoch of each seed.
Seeds = dict[int, list[float]]


def by_seed(runs: Iterable[Run]) -> dict[tuple[str, str, str], Seeds]:
    """The seeds of each (architecture, arm, implementation)."""
    found: dict[tuple[str, str, str], Seeds] = {}
    for run in runs:
        place = run.architecture, run.arm, run.implementation
        found.setdefault(place, {})[run.seed] = run.accuracies
    return found


def cases(runs: Iterable[Run]) -> dict[tuple[str, str], list[Seeds]]:
    """The seeds that the pair shares, one side after the other, by (architecture, arm) in order.

    Cases with fewer than two such seeds are left out.
    """
    seeds, found = by_seed(runs), {}
    for case in sorted({place[:2] for place in seeds}):
        sides = [seeds.get((*case, name), {}) for name in PAIR]
        shared = sorted(sides[0].keys() & sides[1].keys())
        if len(shared) > 1:
            found[case] = [{seed: side[seed] for seed in shared} for side in sides]
    return found


def band(seeds: Seeds) -> Band:
    """The band of the curves of two seeds or more."""
    epochs = list(zip(*seeds.values(), strict=True))
    means, deviations = [fmean(each) for each in epochs], [stdev(each) for each in epochs]
    return Band(means, deviations, len(seeds))


def endings(runs: Iterable[Run]) -> list[Ending]:
    """How the pair's final accuracies differ, for each network and arm.

    Differences are paired by seed, which decides the order of the images and, except in arms with
    own initialisers, the starting weights. Source of the interval: Student's t for paired
    differences, with Bonferroni's correction for the number of comparisons.
    """
    from scipy import special

    found, ends = cases(runs), []
    for case, (one, other) in found.items():
        apart = [other[seed][-1] - one[seed][-1] for seed in one]
        spread = stdev(apart) / sqrt(len(apart))
        room = spread * float(special.stdtrit(len(apart) - 1, 1 - FAMILY / len(found) / 2))
        centre = fmean(apart)
        ends.append(Ending(*case, centre, centre - room, centre + room, len(apart)))
    return ends
