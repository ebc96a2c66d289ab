"""The commands that people type, run as they type them in a fresh copy of this repository.

In the copy, both of the pair are the NumPy referee under another name: nothing waits for a framework.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from mnist_models import data
from mnist_models.implementations import PAIR

ROOT = Path(__file__).resolve().parents[1]
PYTEST = Path(sysconfig.get_path("scripts"), "pytest")
LIMIT = 120.0
# One short block on a small data set, whatever the command line under test says besides.
SMALL = "--dataset=small --architecture=mlp --threads=1 --blocks=1 --rounds=2 -rs"
NAMES = ("imaginary", "keras_tensorflow", "numpy_reference", "pytorch_eager", "refusing")
DROPPED_IN = {
    "imaginary": "import no_such_package\n",
    "refusing": "from mnist_models.implementations import Unavailable\n\n"
    "raise Unavailable('this machine has no abacus')\n",
}
FAULT = """

def broken(*_):
    raise ArithmeticError("planted fault")


Trainer.train_epoch = broken
"""


# What the other modules of tests use, too


def copy_repository(folder, implementations=None):
    """Copy what a session needs, with the pair and `implementations` made of the NumPy referee.

    `implementations` maps names to source that is appended to the referee's.
    """
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("benchmarks", "mnist_models"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    home = folder / "mnist_models" / "implementations"
    referee = (home / "numpy_reference.py").read_text(encoding="utf-8")
    for path in home.glob("*_*.py"):
        if path.stem not in ("__init__", "numpy_reference"):
            path.unlink()
    for name, patch in (dict.fromkeys(PAIR, "") | (implementations or {})).items():
        (home / f"{name}.py").write_text(referee + patch, encoding="utf-8")
    write_data(folder / "small", seed=1)
    return folder


def write_data(folder, seed):
    """A data set of 600 and 200 images, easy but for every tenth label to test on, which is wrong."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 200, (10, 28, 28))
    arrays = []
    for count in (600, 200):
        labels = np.arange(count) % 10
        images = patterns[labels] + random.integers(0, 50, (count, 28, 28))
        arrays += [images, labels]
    arrays[3][::10] = 5
    folder.mkdir()
    for file, array in zip(data.FILES, arrays, strict=True):
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
        (folder / file).write_bytes(header + array.astype(np.uint8).tobytes())


def variables(folder, **more):
    """The environment of a session: no settings of the surrounding one, and no GPU."""
    tool = folder / "bin" / "nvidia-smi"
    tool.parent.mkdir(exist_ok=True)
    if not tool.exists():
        tool.write_text("#!/bin/sh\nexit 9\n")
        tool.chmod(0o755)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PY")}
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    return ours | {"PATH": path, "COLUMNS": "140", "NO_COLOR": "1", "PYTEST_ADDOPTS": SMALL} | more


def run(folder, *arguments, **more):
    """`pytest` with these arguments in `folder`; what it wrote to both streams is in `stdout`."""
    return subprocess.run(
        [PYTEST, *arguments],
        cwd=folder,
        env=variables(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def journals(folder):
    """The records of each session in `folder`, the oldest first."""
    files = sorted(folder.glob(".benchmarks/sessions/*/journal.jsonl"))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def saved(folder):
    """The newest saved run, its benchmarks by name."""
    newest = max(folder.glob(".benchmarks/*/*.json"))
    content = json.loads(newest.read_text())
    return content | {"benchmarks": {b["name"]: b for b in content["benchmarks"]}}


def measured(records):
    """(block, trial, implementation) of everything that a journal holds."""
    return [(r["block"], r["trial"], name) for r in records for name in r.get("results", ())]


def ids(operation, *names, device="cpu"):
    return [f"test_{operation}[mlp-b128-{device}-{name}]" for name in names]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = copy_repository(tmp_path_factory.mktemp("copy"))
    for name, source in DROPPED_IN.items():
        (folder / "mnist_models" / "implementations" / f"{name}.py").write_text(source)
    return folder


# Saving and comparing


@pytest.fixture(scope="module")
def first_comparison(copy):
    """`pytest benchmarks --benchmark-compare` where nothing was ever saved."""
    return run(copy, "benchmarks", "--benchmark-compare")


@pytest.fixture(scope="module")
def autosave(copy, first_comparison):
    """`pytest benchmarks --benchmark-autosave`, the first run that is saved."""
    return run(copy, "benchmarks", "--benchmark-autosave")


@pytest.fixture(scope="module")
def run_saved(copy, autosave):
    return saved(copy)


VALID = (
    *ids("epoch", *PAIR),
    *ids("forward", "keras_tensorflow", "numpy_reference", "pytorch_eager"),
    *ids("train_step", "keras_tensorflow", "numpy_reference", "pytorch_eager"),
)


def test_first_comparison_says_how_to_save(first_comparison):
    """With nothing to compare with it measures all the same, and says so and what to do."""
    assert first_comparison.returncode == 0, first_comparison.stdout
    assert "Nothing to compare with" in first_comparison.stdout
    assert "pytest benchmarks --benchmark-autosave" in first_comparison.stdout
    assert "Keras or PyTorch?" in first_comparison.stdout


def test_session_ends_with_the_panel(autosave):
    """A plain session passes, shows pytest-benchmark's tables and ends with the panel."""
    assert autosave.returncode == 0, autosave.stdout
    table, panel = (
        autosave.stdout.index("Name (time in"),
        autosave.stdout.index("Keras or PyTorch?"),
    )
    assert table < panel
    assert "no verdict: 1 of 6 blocks" in autosave.stdout
    assert "VOID" not in autosave.stdout


@pytest.mark.parametrize(
    "reason",
    [
        "no GPU: nvidia-smi finds none on this machine",
        "not installed: pip install no_such_package",
        "this machine has no abacus",
    ],
)
def test_what_cannot_run_is_skipped_with_the_reason(autosave, reason):
    """No GPU, no package, no abacus: whoever was not asked for by name is skipped, in words."""
    assert reason in autosave.stdout


def test_everything_valid_is_saved(run_saved):
    """The file holds every row that was measured, under ids without version, host or date."""
    assert sorted(run_saved["benchmarks"]) == sorted(VALID)
    row = run_saved["benchmarks"]["test_train_step[mlp-b128-cpu-numpy_reference]"]
    assert row["fullname"] == f"benchmarks/test_train_step.py::{row['name']}"


@pytest.mark.parametrize("name", VALID)
def test_saved_data_are_the_samples(copy, run_saved, name):
    """`stats.data` has exactly the samples that were journaled: 2 rounds, or one epoch."""
    row = run_saved["benchmarks"][name]
    info = row["extra_info"]
    [samples] = [
        record["results"][info["implementation"]]["samples"]
        for record in journals(copy)[1]
        if record.get("trial") == info["trial"]
    ]
    assert row["stats"]["data"] == [wall for wall, _ in samples]
    assert info["cpu_seconds"] == [cpu for _, cpu in samples]
    assert len(samples) == len(info["blocks"]) == (1 if info["operation"] == "epoch" else 2)


@pytest.mark.parametrize("name", VALID)
def test_extra_info_is_complete(run_saved, name):
    """Beside the samples stands all that is needed to analyse them again: docs/measuring.md."""
    info = run_saved["benchmarks"][name]["extra_info"]
    assert info.keys() == {
        *("schema", "session", "trial", "operation", "architecture", "batch_size", "device"),
        *("implementation", "versions", "python", "in_force", "recipe", "dataset", "source"),
        *("blocks", "iterations", "cpu_seconds", "first_call_seconds", "peak_memory_bytes"),
        *("parity", "accuracy", "accuracy_by_block", "accuracy_bounds"),
    }
    place = (info["architecture"], info["batch_size"], info["device"], info["implementation"])
    assert name == "test_{}[{}-b{}-{}-{}]".format(info["operation"], *place)
    assert info["versions"].keys() == {"numpy"}
    assert info["dataset"]["name"] == "small"
    assert info["in_force"].items() >= {"threads": 1, "precision": "float32", "cpus": 1}.items()
    assert info["recipe"].items() >= {"optimizer": "Adam", "batch_size": 128, "seed": 0}.items()
    assert info["parity"]
    assert min(info["first_call_seconds"]) > 0
    assert info["peak_memory_bytes"] > 2**20
    reference = info["implementation"] == "numpy_reference"  # whose epochs nobody asked for
    assert info["accuracy"] is None if reference else info["accuracy"] == pytest.approx(0.9)


def test_machine_info_has_no_live_readings(run_saved):
    """The machine does not change between runs, so neither may what is saved about it."""
    assert "hz_actual" not in json.dumps(run_saved["machine_info"])
    assert run_saved["machine_info"]["cpu"]


@pytest.mark.parametrize(
    "command", ["pytest --benchmark-compare", "pytest benchmarks --benchmark-compare"]
)
def test_comparison_shows_both_runs(copy, autosave, command):
    """Once a run was saved, each row stands beside its former self."""
    found = run(copy, *command.split()[1:])
    assert found.returncode == 0, found.stdout
    assert "Comparing against benchmarks from" in found.stdout
    assert "Nothing to compare with" not in found.stdout
    for name in VALID:
        assert f"{name} (NOW)" in found.stdout
        assert f"{name} (0001_unversi)" in found.stdout
