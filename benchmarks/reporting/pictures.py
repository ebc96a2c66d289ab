"""Pictures of the data that a run was measured on, small enough to be saved with it."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from io import BytesIO
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from benchmarks.measuring.results import Row
from mnist_models.data import Dataset, class_counts, mean_and_deviation, sample_grid
from mnist_models.operations import EPOCH

SAMPLES_PER_CLASS = 12
# Misread digits that are shown of each network.
SHOWN = 24


def exploration(dataset: Dataset, rows: Iterable[Row]) -> dict[str, Any]:
    """Return what a saved run keeps of its data: counts, pixel statistics, some pictures.

    `pictures` are of test images that were misread by one of `rows`, by their number.
    """
    mean, deviation = mean_and_deviation(dataset.train_images)
    shown = sorted({image for numbers in misread(rows).values() for image in numbers})
    return {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "fallback": dataset.fallback,
        "train_counts": class_counts(dataset.train_labels).tolist(),
        "test_counts": class_counts(dataset.test_labels).tolist(),
        "mean": mean,
        "deviation": deviation,
        "samples": png(sample_grid(dataset.train_images, dataset.train_labels, SAMPLES_PER_CLASS)),
        "pictures": {str(image): png(dataset.test_images[image]) for image in shown},
    }


def misread(rows: Iterable[Row]) -> dict[str, list[int]]:
    """Numbers of test images to show, by architecture."""
    found: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        if row.trial.kind is EPOCH and row.valid:
            first = next(iter(row.entries.values()))
            images = [image for image, _, _ in first.get("misread", ())]
            found.setdefault(row.trial.architecture, {})[row.name] = images
    return {architecture: chosen(images) for architecture, images in found.items()}


def chosen(by_name: Mapping[str, Iterable[int]]) -> list[int]:
    """Some of the misread images, in turn from each group that the same implementations misread.

    So each implementation's own mistakes are shown equally often.
    """
    names: dict[int, list[str]] = {}
    for name, images in by_name.items():
        for image in images:
            names.setdefault(image, []).append(name)
    groups: dict[tuple[str, ...], list[int]] = {}
    for image in sorted(names):
        groups.setdefault(tuple(sorted(names[image])), []).append(image)
    turns = chain.from_iterable(zip_longest(*groups.values()))
    return [image for image in turns if image is not None][:SHOWN]


def png(pixels: np.ndarray) -> str:
    """Grey pixels, uint8 (height, width), as base64 of a PNG file: dark ink on white paper."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(255 - pixels).save(file, format="PNG", optimize=True)
    return b64encode(file.getvalue()).decode("ascii")
