"""How a time grows with the batch, or with the width of a hidden layer.

The growth is split into the fixed cost of an operation, and the cost of each image or unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from statistics import median
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from benchmarks.comparing.ratios import interval, of_logs
from mnist_models import networks, recipe
from mnist_models.operations import TRAIN_STEP

# What grows: the batch, or the hidden layer.
Along = Literal["batch", "units"]
# The largest relative deviation from a line that describes the measurements.
STRAIGHT = 0.10


class Row(BaseModel):
    """One operation of one implementation on one network: median seconds by block, by size.

    Sizes are batch sizes or, `along` "units", widths of the hidden layer. They are strings, as in
    JSON. `asked` are all requested sizes.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    operation: str
    architecture: str
    implementation: str
    along: Along = "batch"
    asked: list[int] = []
    seconds: dict[str, list[float]]

    def sizes(self) -> list[int]:
        """The sizes in order."""
        return sorted(map(int, self.seconds))

    def rates(self) -> list[float]:
        """Images a second at each size, by the median over blocks."""
        return [
            place(self.architecture, self.along, size)[1] / median(self.seconds[str(size)])
            for size in self.sizes()
        ]

    def blocks(self) -> list[list[float]]:
        """Seconds of all sizes in order, block by block."""
        return [
            list(one) for one in zip(*(self.seconds[str(s)] for s in self.sizes()), strict=True)
        ]


class Growth(BaseModel):
    """A whole experiment."""

    model_config = ConfigDict(strict=True, extra="forbid")

    dataset: str
    machine: str
    versions: dict[str, str]
    source: str
    threads: int = 1
    # The limits of the machine: `products` in FLOP/s, `memory` in bytes/s.
    limits: dict[str, float] = {}
    rows: list[Row] = []


@dataclass(frozen=True)
class Estimate:
    """A median over blocks with its exact interval; the ends are None for too few blocks."""

    value: float
    low: float | None
    high: float | None


def estimate(values: Sequence[float]) -> Estimate:
    """The median with its interval."""
    ends = interval(list(values))
    return Estimate(median(values), *(ends or (None, None)))


@dataclass(frozen=True)
class Line:
    """Seconds = fixed + size × each, fitted in every block separately.

    `half` is the size at which the fixed part is half of the time; `deviation` is the largest
    relative distance between the line and the median seconds of a size.
    """

    fixed: Estimate
    each: Estimate
    half: Estimate
    deviation: float

    @property
    def straight(self) -> bool:
        """Whether the line describes the measurements."""
        return self.deviation <= STRAIGHT


def fits(row: Row) -> list[tuple[float, float]]:
    """(fixed, each) of every block: least squares of relative errors, neither below 0."""
    from scipy import optimize

    sizes = np.array(row.sizes(), float)
    found = []
    for seconds in row.blocks():
        weighed = np.stack([np.ones_like(sizes), sizes], axis=1) / np.array(seconds)[:, None]
        # Scale both columns alike, because an image takes a thousandth of a call.
        scale = weighed.max(axis=0)
        solution, _ = optimize.nnls(weighed / scale, np.ones(len(sizes)))
        fixed, each = solution / scale
        found.append((float(fixed), float(each)))
    return found


def line(row: Row) -> Line:
    """The line of a row."""
    every = fits(row)
    fixed, each = (estimate([one[part] for one in every]) for part in (0, 1))
    middles = {size: median(row.seconds[str(size)]) for size in row.sizes()}
    deviations = [
        abs((fixed.value + each.value * size) / seconds - 1) for size, seconds in middles.items()
    ]
    halves = [one / other if other else float("inf") for one, other in every]
    return Line(fixed, each, estimate(halves), max(deviations))


def shares(row: Row, products: float) -> list[float]:
    """The share of the CPU's limit for products that each size reaches.

    Only matrix products count, and in a training step only the necessary ones.
    """
    found = []
    for size, rate in zip(row.sizes(), row.rates(), strict=True):
        network = networks.load(place(row.architecture, row.along, size)[0])
        each = network.step_flops if row.operation == TRAIN_STEP.name else network.flops
        found.append(rate * each / products)
    return found


def place(architecture: str, along: Along, size: int) -> tuple[str, int]:
    """The network and the batch size at which a size is measured."""
    return (
        (architecture, size) if along == "batch" else (f"{architecture}_{size}", recipe.BATCH_SIZE)
    )


def winners(first: Row, second: Row) -> list[int | None]:
    """The faster row at each size, 0 or 1, by the blocks' medians; None if neither is."""
    sizes = zip(first.seconds.values(), second.seconds.values(), strict=True)
    return [
        of_logs([log(a / b) for a, b in zip(ours, theirs, strict=True)]).winner
        for ours, theirs in sizes
    ]


def crossing(first: Row, second: Row) -> Estimate | None:
    """The size at which two rows take the same time; None if there is none.

    One row must surely be faster at some sizes, and the other at larger ones only. Between these,
    every block is searched separately, by straight lines between neighbouring sizes on logarithms,
    and must have exactly one crossing. The estimate's interval is that of the blocks. It does not
    cover how the times bend between two sizes.
    """
    decided = [(place, who) for place, who in enumerate(winners(first, second)) if who is not None]
    turns = [(one, other) for (one, a), (other, b) in pairwise(decided) if a != b]
    if len(turns) != 1:
        return None
    [(last, next_)] = turns
    sizes, found = first.sizes(), []
    for ours, theirs in zip(first.blocks(), second.blocks(), strict=True):
        logs = [log(one / other) for one, other in zip(ours, theirs, strict=True)]
        places = [i for i in range(last, next_) if logs[i] * logs[i + 1] < 0]
        if len(places) != 1:
            return None
        [i] = places
        share = logs[i] / (logs[i] - logs[i + 1])
        found.append(exp(log(sizes[i]) + share * (log(sizes[i + 1]) - log(sizes[i]))))
    return estimate(found)
