"""Pictures of the data that a run was measured on, small enough to be saved with it."""

from base64 import b64encode
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np

from benchmarks.measuring.results import Row
from mnist_models.data import Dataset, class_counts, mean_and_deviation, sample_grid

SAMPLES_PER_CLASS = 12
# Misread digits that are shown of each network.
SHOWN = 24


def exploration(dataset: Dataset, rows: Iterable[Row]) -> dict[str, Any]:
    """What a saved run remembers of its data: counts, pixel statistics, and some pictures.

    `pictures` are of test images that were misread by one of `rows`, by their number.
    """
    mean, deviation = mean_and_deviation(dataset.train_images)
    chosen = sorted({image for numbers in misread(rows).values() for image in numbers})
    return {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "fallback": dataset.fallback,
        "train_counts": class_counts(dataset.train_labels).tolist(),
        "test_counts": class_counts(dataset.test_labels).tolist(),
        "mean": mean,
        "deviation": deviation,
        "samples": png(sample_grid(dataset.train_images, dataset.train_labels, SAMPLES_PER_CLASS)),
        "pictures": {str(image): png(dataset.test_images[image]) for image in chosen},
    }


def misread(rows: Iterable[Row]) -> dict[str, list[int]]:
    """Numbers of test images to show, by architecture: first those that most rows misread."""
    found: dict[str, dict[int, int]] = {}
    for row in rows:
        if row.trial.operation == "epoch" and row.valid:
            first = next(iter(row.entries.values()))
            counts = found.setdefault(row.trial.architecture, {})
            for image, _, _ in first.get("misread", ()):
                counts[image] = counts.get(image, 0) + 1
    return {
        architecture: sorted(counts, key=lambda image: (-counts[image], image))[:SHOWN]
        for architecture, counts in found.items()
    }


def png(pixels: np.ndarray) -> str:
    """Grey pixels, uint8 (height, width), as base64 of a PNG file: dark ink on white paper."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(255 - pixels).save(file, format="PNG", optimize=True)
    return b64encode(file.getvalue()).decode("ascii")
