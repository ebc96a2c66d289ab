"""Which test accuracy one epoch must reach, and which would be too good to be true."""

import json
from pathlib import Path

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
