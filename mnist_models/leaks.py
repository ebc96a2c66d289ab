"""What finished calls leave in a process: memory, threads, open files."""

import gc
import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnist_models import repeated

if TYPE_CHECKING:
    from mnist_models.worker import Worker

SELF = Path("/proc/self")
# Training steps, the steps between two readings, and calls of everything else.
STEPS, BETWEEN, CALLS = 2000, 100, 50
# Batches of such a call.
BATCHES = 3


def reading() -> tuple[int, int, int]:
    """Bytes in memory, threads, and open files of this process.

    Raises OSError where there is no /proc.
    """
    pages = int((SELF / "statm").read_text("ascii").split()[1])
    threads, files = (len(os.listdir(SELF / folder)) for folder in ("task", "fd"))
    return pages * resource.getpagesize(), threads, files


def slope(values: np.ndarray) -> float:
    """By how much each of `values` (n,) is larger than the one before.

    Only the later half counts, because first calls fill caches. It is halved again, and the smaller
    slope is taken, so that a single jump is no growth. Source: the median of the slopes between all
    pairs, Theil and Sen, "Estimates of the regression coefficient based on Kendall's tau", Journal
    of the American Statistical Association 63 (1968) 1379-1389.
    """
    slopes = []
    for part in np.array_split(values[len(values) // 2 :].astype(float), 2):
        first, second = np.triu_indices(len(part), 1)
        slopes.append(np.median((part[second] - part[first]) / (second - first)))
    return float(min(slopes))


def kept(call: Callable[[], None], readings: int, each: int = 1) -> dict[str, float]:
    """What a call leaves behind, from `readings` readings; `call` makes `each` calls.

    Garbage is collected before each reading, so that only what is still referenced counts.
    """
    found = [reading()]
    for _ in range(readings):
        call()
        gc.collect()
        found.append(reading())
    names = ("memory", "threads", "files")
    slopes = (slope(column) / each for column in np.array(found).T)
    return {"calls": readings * each, "each": each, **dict(zip(names, slopes, strict=True))}


def leaks(worker: "Worker") -> dict[str, dict[str, float]]:
    """What each call of the worker's implementation leaves behind, by the call's name."""
    trainer, (images, labels) = worker.trainer, worker.some(BATCHES)
    name, *_ = worker.own()
    return {
        called: kept(partial(call, trainer, images, labels), CALLS)
        for called, call in repeated.calls(name).items()
    }
