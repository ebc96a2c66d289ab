"""The bounds within which the test accuracy after one epoch must lie.

Network, data set, recipe and batch size decide an accuracy. If all four were calibrated, the bounds
come from many seeds. Otherwise they surround the accuracy that the reference reaches in the same
epoch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mnist_models.recipe import DEFAULT

FILE = Path(__file__).with_name("accuracy_bounds.json")
DEVIATIONS = 5


class Bounds(NamedTuple):
    """Accept an accuracy a when low <= a < high; `rule` says where the bounds come from."""

    low: float
    high: float
    rule: str


# For a session that ended before its reference could train.
UNKNOWN = Bounds(0.5, 1.0, "unknown")


class Table:
    """Calibrated bounds, from `python -m benchmarks calibrate`."""

    def __init__(self, file: Path = FILE) -> None:
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        same = found.get("recipe") == deciding(DEFAULT.record())
        self.bounds = found.get("bounds", {}) if same else {}

    def get(self, dataset: str, architecture: str, batch_size: int) -> Bounds | None:
        """Return calibrated bounds, or None."""
        entry = self.bounds.get(dataset, {}).get(architecture, {}).get(str(batch_size))
        return Bounds(entry["low"], entry["high"], "calibrated") if entry else None


def deciding(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a recipe that decide accuracy, without batch size and seed."""
    return {key: value for key, value in recipe.items() if key not in ("batch_size", "seed")}


def calibrated(accuracies: list[float]) -> dict[str, float]:
    """Mean ± 5 standard deviations over seeds; never above 1, which is never accepted."""
    mean = sum(accuracies) / len(accuracies)
    variance = sum((a - mean) ** 2 for a in accuracies) / (len(accuracies) - 1)
    margin = DEVIATIONS * variance**0.5
    low, high = round(mean - margin, 4), min(round(mean + margin, 4), 1.0)
    return {"low": low, "high": high, "mean": round(mean, 5), "runs": len(accuracies)}


def around(accuracy: float, images: int, architecture: str) -> Bounds:
    """5 standard errors around the reference's accuracy after the same epoch, on `images` images.

    The error is that of the difference of two independent, equally good classifiers. From the same
    weights and order, implementations differ by rounding, which is usually less. If rounding was
    found to be more for this network, on any data set, it is the margin.
    """
    rounded = [most for (_, name, _), most in limits(FILE).items() if name == architecture]
    margin = max(DEVIATIONS * sqrt(2 * accuracy * (1 - accuracy) / images), *rounded, 0.0)
    return Bounds(max(0.0, accuracy - margin), min(1.0, accuracy + margin), "referee")


def above_guessing(labels: npt.NDArray[Any]) -> Bounds:
    """5 standard errors better than always guessing the most frequent of the test labels (n,)."""
    share = int(np.max(np.bincount(labels))) / len(labels)
    return Bounds(share + DEVIATIONS * sqrt(share * (1 - share) / len(labels)), 1.0, "guessing")


# The share of differences by rounding that lie within the limit, and the confidence in that.
COVERED, CONFIDENCE = 0.999, 0.95


@dataclass(frozen=True)
class Rounding:
    """How much accuracies differ by rounding alone: surely up to `least`, and at most `most`.

    Both are the same if this was calibrated.
    """

    least: float
    most: float

    def __str__(self) -> str:
        """The limits of rounding, as text."""
        if self.least == self.most:
            return f"rounding explains at most ±{self.most:.4f}"
        return (
            "what rounding explains was not calibrated for this data set and recipe; elsewhere it "
            f"is ±{self.least:.4f} to ±{self.most:.4f}"
        )


def rounding(
    dataset: str, architecture: str, recipe: dict[str, Any], file: Path = FILE
) -> Rounding:
    """How much rounding changes this network's accuracy, or else those that are calibrated."""
    known = limits(file)
    place = dataset, architecture, recipe.get("batch_size")
    if place in known and deciding(recipe) == deciding(DEFAULT.record()):
        return Rounding(known[place], known[place])
    return Rounding(min(known.values(), default=0.0), max(known.values(), default=1.0))


@cache
def limits(file: Path) -> dict[tuple[str, str, int], float]:
    """How much rounding changes an accuracy at most, by data set, architecture and batch size."""
    return {
        (dataset, architecture, int(size)): limit(entry["accuracies"])
        for dataset, networks in Table(file).bounds.items()
        for architecture, sizes in networks.items()
        for size, entry in sizes.items()
    }


def limit(accuracies: list[float]) -> float:
    """How much rounding changes an accuracy at most, from those of one of the pair, then the other.

    Both were calibrated from the same seeds, weights and order, so the two accuracies of a seed
    differ by rounding alone. Their differences are taken as normal around zero, and this is their
    tolerance limit. Source: Krishnamoorthy and Mathew, "Statistical Tolerance Regions" (2009),
    chapter 2, for a known mean.
    """
    from scipy import special

    seeds = len(accuracies) // 2
    pairs = zip(accuracies[:seeds], accuracies[seeds:], strict=True)
    squares = sum((one - other) ** 2 for one, other in pairs)
    deviation = sqrt(squares / special.chdtri(seeds, CONFIDENCE))
    return NormalDist().inv_cdf((1 + COVERED) / 2) * deviation
