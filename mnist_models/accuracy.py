"""Which test accuracy one epoch must reach, and which would be too good to be true.

What decides is the network, the data set, the recipe and the batch size. Where all four were
calibrated, the bounds are those of many seeds. Elsewhere they surround the accuracy that the
referee reaches in the same epoch.
"""

import json
from math import sqrt
from pathlib import Path
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


# For a session that ended before its referee could train.
UNKNOWN = Bounds(0.5, 1.0, "unknown")


class Table:
    """Calibrated bounds, from `python -m benchmarks calibrate`."""

    def __init__(self, file: Path = FILE) -> None:
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.bounds = found.get("bounds", {}) if found.get("recipe") == recipe() else {}

    def get(self, dataset: str, architecture: str, batch_size: int) -> Bounds | None:
        """The bounds of what was calibrated; None for anything else."""
        entry = self.bounds.get(dataset, {}).get(architecture, {}).get(str(batch_size))
        return Bounds(entry["low"], entry["high"], "calibrated") if entry else None


def recipe() -> dict[str, Any]:
    """What of the recipe decides accuracy, beside the batch size; seeds are averaged over."""
    return {k: v for k, v in DEFAULT.record().items() if k not in ("batch_size", "seed")}


def calibrated(accuracies: list[float]) -> dict[str, float]:
    """Mean ± 5 standard deviations over seeds; never above 1, which is never accepted."""
    mean = sum(accuracies) / len(accuracies)
    variance = sum((a - mean) ** 2 for a in accuracies) / (len(accuracies) - 1)
    margin = DEVIATIONS * variance**0.5
    low, high = round(mean - margin, 4), min(round(mean + margin, 4), 1.0)
    return {"low": low, "high": high, "mean": round(mean, 5), "runs": len(accuracies)}


def around(accuracy: float, images: int) -> Bounds:
    """5 standard errors around what the referee reached on so many test images in the same epoch.

    The error is that of the difference of two independent classifiers that are equally good. From
    the same weights and the same order, implementations differ by rounding, which is less.
    """
    margin = DEVIATIONS * sqrt(2 * accuracy * (1 - accuracy) / images)
    return Bounds(max(0.0, accuracy - margin), min(1.0, accuracy + margin), "referee")


def above_guessing(labels: npt.NDArray[Any]) -> Bounds:
    """5 standard errors better than always guessing the most frequent of the test labels (n,)."""
    share = int(np.max(np.bincount(labels))) / len(labels)
    return Bounds(share + DEVIATIONS * sqrt(share * (1 - share) / len(labels)), 1.0, "guessing")
