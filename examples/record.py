"""What the frameworks say to common mistakes: recorded by making them, each framework by itself."""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from examples.mistakes import CONTROL, CULPRITS, CannotHappen
from mnist_models import data, implementations

ROOT = Path(__file__).parents[1]
SIDES = dict(zip(("keras", "pytorch"), implementations.PAIR, strict=True))
TRAIN_IMAGES, TEST_IMAGES = 4000, 1000
SEEDS = 5
COSTLY = 5  # percentage points of accuracy
LONGEST_LINE = 180
LATER = " … "  # between a message's first line and a later one
LIMIT = 600.0

Mistake = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Start = Callable[[], object]


class RecordError(Exception):
    """The mistakes could not be made; says why."""


def collect() -> dict[str, Any]:
    """Versions, the control's accuracies and all mistakes, as the JSON file has them.

    Raises RecordError when a framework is not installed or its process fails.
    """
    for name in SIDES.values():
        if lacks := implementations.missing(name):
            raise RecordError(f"not installed: pip install {' '.join(lacks)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save_digits(folder)
        with ThreadPoolExecutor(len(SIDES)) as pool:
            list(pool.map(lambda side: run_apart("examples.record", side, scratch), SIDES))
        found = {side: json.loads((folder / f"{side}.json").read_text()) for side in SIDES}
    return merge(found)


def merge(found: dict[str, Any]) -> dict[str, Any]:
    """One document of what `make_all` returned for each framework."""
    return {
        "versions": {
            name: one for side in found.values() for name, one in side["versions"].items()
        },
        "control": {side: found[side]["control"] for side in SIDES},
        "mistakes": [
            {"mistake": name, "title": found["keras"]["titles"][name]}
            | {side: found[side]["mistakes"][name] for side in SIDES}
            for name in CULPRITS
        ],
    }


def run_apart(module: str, *arguments: str) -> None:
    """Run a module in a process of its own, on one thread and no GPU. Raises RecordError."""
    threads = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    settings = {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    with tempfile.TemporaryDirectory() as home:  # no keras.json of the user's
        ended = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=os.environ | settings | dict.fromkeys(threads, "1") | {"KERAS_HOME": home},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    if ended.returncode:
        command = " ".join((module, *arguments))
        raise RecordError(f"{command} ended with {ended.returncode}:\n{ended.stderr[-4000:]}")


# The data


def save_digits(folder: Path) -> None:
    """Make a small data set, the same everywhere, for `read_digits`."""
    arrays = data.make_digits(TRAIN_IMAGES, TEST_IMAGES)
    np.savez(folder / "digits.npz", *arrays)


def read_digits(folder: Path, side: str) -> list[np.ndarray]:
    """Images and labels to train on and to test on, the images in the framework's own layout."""
    with np.load(folder / "digits.npz") as file:
        train_images, train_labels, test_images, test_labels = file.values()
    channel_axis = {"keras": -1, "pytorch": 1}[side]
    return [
        np.expand_dims(data.preprocess(train_images)[..., 0], channel_axis),
        train_labels.astype("int64"),
        np.expand_dims(data.preprocess(test_images)[..., 0], channel_axis),
        test_labels.astype("int64"),
    ]


# In the framework's own process


def make_all(side: str, folder: Path, seeds: int = SEEDS) -> dict[str, Any]:
    """Make every mistake of a framework, and nothing wrong for comparison."""
    module = importlib.import_module(f"examples.mistakes.{side}_mistakes")
    digits = read_digits(folder, side)
    starts = [partial(module.fresh_start, seed) for seed in range(seeds)]
    accuracies, usual = attempt(getattr(module, CONTROL), digits, starts)
    control = median(accuracies)
    return {
        "versions": module.versions(),
        "control": {"accuracy": round(100 * control)} | spread(accuracies),
        "titles": {name: getattr(module, name).__doc__.rstrip(".") for name in CULPRITS},
        "mistakes": {
            name: record(getattr(module, name), culprit, digits, control, usual, starts)
            for name, culprit in CULPRITS.items()
        },
    }


def attempt(
    mistake: Mistake, digits: list[np.ndarray], starts: Sequence[Start]
) -> tuple[list[float], list[warnings.WarningMessage]]:
    """The accuracy that is reached from each start, and the warnings that are given on the way."""
    *given, test_labels = digits
    accuracies = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for start in starts:
            start()
            predicted = mistake(*given)
            if predicted.shape != test_labels.shape:
                words = f"predicted {predicted.shape}, not one class each"
                raise RecordError(f"{mistake.__name__}: {words}")
            accuracies.append(float(np.mean(predicted == test_labels)))
    return accuracies, caught


def spread(accuracies: list[float]) -> dict[str, int]:
    """The least and the most accuracy, in whole percent."""
    least, most = (round(100 * end) for end in (min(accuracies), max(accuracies)))
    return {"accuracy_least": least, "accuracy_most": most}


def record(
    mistake: Mistake,
    culprit: str,
    digits: list[np.ndarray],
    control: float = 0.0,
    usual: Sequence[warnings.WarningMessage] = (),
    starts: Sequence[Start] = (lambda: None,),
) -> dict[str, Any]:
    """Make a mistake; returns what the JSON file has of it.

    `culprit` is as in CULPRITS, `control` is the median accuracy when nothing is wrong, within 0 to
    1, and `usual` are the warnings given even then, which do not count. The cost is what the median
    accuracy lacks, in whole percentage points. Raises RecordError when an accepted mistake is
    costly.
    """
    blank = dict.fromkeys(("exception", "message", "names_culprit", "accuracy_cost"))
    blank |= dict.fromkeys(("accuracy_least", "accuracy_most"))
    try:
        accuracies, caught = attempt(mistake, digits, starts)
    except CannotHappen as error:
        return {"outcome": "cannot happen"} | blank | {"message": str(error)}
    except (RecordError, ImportError, NameError):
        raise  # the example's own fault, and none of the framework's words
    except Exception as error:
        return {"outcome": "error"} | blank | told(error, culprit)
    cost = round(100 * (control - median(accuracies)))
    found = blank | {"accuracy_cost": cost} | spread(accuracies)
    known = {str(one.message) for one in usual}
    for one in caught:
        if str(one.message) not in known:
            return {"outcome": "warning"} | found | told(one.message, culprit)
    if reason := getattr(mistake, "accepted", None):
        if cost >= COSTLY:
            raise RecordError(f"{mistake.__name__} is not to be accepted: it costs {cost} points")
        return {"outcome": "accepted"} | found | {"message": reason}
    return {"outcome": "silent"} | found


def told(message: Exception | str, culprit: str) -> dict[str, Any]:
    """Type and excerpt of a message, and whether any of its lines names the culprit."""
    lines = cleaned(str(message)).splitlines()
    return {
        "exception": type(message).__name__,
        "message": excerpt(lines, culprit),
        "names_culprit": any(re.search(culprit, line) for line in lines),
    }


def excerpt(lines: list[str], culprit: str) -> str:
    """The first line; where the culprit is named later only, the first line with it as well."""
    first = next((line for line in lines if line), "")
    shown = [first]
    if not re.search(culprit, first):
        shown += [line for line in lines if re.search(culprit, line)][:1]
    return LATER.join(map(shortened, shown))


def cleaned(message: str) -> str:
    """A message without colours, outer spaces, and what differs from run to run."""
    text = re.sub(r"\x1b\[\d*m", "", message)
    text = re.sub(r"\b0x[0-9a-f]+", "0x…", text)
    text = re.sub(r"(?<![\w/])(/[\w.~+-]+){2,}/?", "/…", text)
    return "\n".join(line.strip() for line in text.splitlines())


def shortened(line: str) -> str:
    """Cut off where it is too long."""
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1].rstrip() + "…"


def main(side: str, scratch: str, seeds: int = SEEDS) -> None:
    """Make all mistakes of a framework, and leave what happened in the folder `scratch`."""
    found = make_all(side, Path(scratch), seeds)
    Path(scratch, f"{side}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
