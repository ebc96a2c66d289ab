"""Which test accuracy one epoch must reach, and which would be too good to be true."""

import json
from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from typing import Any

from mnist_models import recipe as recipes

FILE = Path(__file__).with_name("accuracy_bounds.json")
# For data that nobody calibrated: far better than guessing among ten classes.
UNCALIBRATED = (0.5, 1.0)


class Bounds:
    """Accuracy bounds by data set and architecture, from `python -m benchmarks calibrate`."""

    def __init__(self, file: Path = FILE) -> None:
        self.table = json.loads(file.read_text(encoding="utf-8"))["bounds"] if file.exists() else {}

    def get(self, dataset: str, architecture: str) -> tuple[float, float]:
        """Accept an accuracy a when low <= a < high."""
        entry = self.table.get(dataset, {}).get(architecture)
        return (entry["low"], entry["high"]) if entry else UNCALIBRATED


def bounds(accuracies: list[float]) -> dict[str, float]:
    """Mean ± 5 standard deviations over seeds; never above 1, which is never accepted."""
    mean = sum(accuracies) / len(accuracies)
    variance = sum((a - mean) ** 2 for a in accuracies) / (len(accuracies) - 1)
    margin = 5 * variance**0.5
    low, high = round(mean - margin, 4), min(round(mean + margin, 4), 1.0)
    return {"low": low, "high": high, "mean": round(mean, 5), "runs": len(accuracies)}


# The share of differences by rounding that lie within the limit, and how sure that is.
COVERED, CONFIDENCE = 0.999, 0.95


@dataclass(frozen=True)
class Rounding:
    """By how much accuracies differ by rounding alone: up to `least` for sure, at most by `most`.

    Both are the same where this was calibrated.
    """

    least: float
    most: float

    def __str__(self) -> str:
        """What rounding can do, in words."""
        if self.least == self.most:
            return f"rounding can do ±{self.most:.4f}"
        return (
            "what rounding can do was not calibrated for this data set and recipe; elsewhere it is "
            f"±{self.least:.4f} to ±{self.most:.4f}"
        )


def rounding(
    dataset: str, architecture: str, recipe: dict[str, Any], file: Path = FILE
) -> Rounding:
    """What rounding can do to an accuracy: to this network's, or else to those calibrated."""
    known = limits(file)
    if (dataset, architecture) in known and is_calibrated(recipe):
        return Rounding(known[dataset, architecture], known[dataset, architecture])
    return Rounding(min(known.values(), default=0.0), max(known.values(), default=1.0))


def is_calibrated(recipe: dict[str, Any]) -> bool:
    """Whether a recipe is that of `python -m benchmarks calibrate`, whatever its seed."""
    calibrated = recipes.DEFAULT.record()
    del calibrated["seed"]
    return calibrated.items() <= recipe.items()


@cache
def limits(file: Path) -> dict[tuple[str, str], float]:
    """The most that rounding does to an accuracy, by data set and architecture."""
    table = json.loads(file.read_text(encoding="utf-8"))["bounds"] if file.exists() else {}
    return {
        (dataset, architecture): limit(entry["accuracies"])
        for dataset, networks in table.items()
        for architecture, entry in networks.items()
    }


def limit(accuracies: list[float]) -> float:
    """The most that rounding does, from the accuracies of one of the pair and then the other's.

    Both were calibrated from the same seeds, with the same weights and order, so that rounding is
    all that parts the two of a seed. Their differences are taken as normal around zero; this is
    their tolerance limit. Source: Krishnamoorthy and Mathew, "Statistical Tolerance Regions"
    (2009), chapter 2, for a known mean.
    """
    from scipy import stats

    seeds = len(accuracies) // 2
    pairs = zip(accuracies[:seeds], accuracies[seeds:], strict=True)
    squares = sum((one - other) ** 2 for one, other in pairs)
    deviation = sqrt(squares / stats.chi2.ppf(1 - CONFIDENCE, seeds))
    return float(stats.norm.ppf((1 + COVERED) / 2) * deviation)
