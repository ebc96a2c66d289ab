"""The commands that people type, run as they type them in a fresh copy of this repository.

In the copy, the pair are the NumPy reference under other names: nothing waits for a framework.
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

from benchmarks.comparing.saved import read
from mnist_models import data, implementations, networks
from mnist_models.implementations import PAIR

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
PYTEST = Path(sysconfig.get_path("scripts"), "pytest")
LIMIT = 300.0
# One short block on a small data set, whatever the command line under test says besides.
SMALL = "--dataset=small --architecture=mlp --threads=1 --blocks=1 --rounds=2 -rs"
SMALL += " --operation=train_step --operation=forward --operation=epoch"
INSTALLED = ("keras_tensorflow", "numpy_reference", "pytorch_eager")
NAMES = ("imaginary", *INSTALLED, "refusing")
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
    """Copy what a session needs, with the pair and `implementations` made of the NumPy reference.

    `implementations` maps names to source that is appended to the reference's.
    """
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("benchmarks", "mnist_models"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    home = folder / "mnist_models" / "implementations"
    reference = (home / "numpy_reference.py").read_text(encoding="utf-8")
    for path in home.glob("*_*.py"):
        if path.stem not in ("__init__", "numpy_reference"):
            path.unlink()
    for name, patch in (dict.fromkeys(PAIR, "") | (implementations or {})).items():
        (home / f"{name}.py").write_text(reference + patch, encoding="utf-8")
    write_data(folder / "small", seed=1)
    return folder


def write_data(folder, seed):
    """600 easy images and 200 to test on, where every tenth label is wrong: 0.9 can be reached."""
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


def journal_files(folder):
    """Each session's journal, in the order of their names: the oldest first, by the clock."""
    return sorted(folder.glob(".benchmarks/sessions/*/journal.jsonl"))


def journals(folder, but=()):
    """The records of each session in `folder` whose file is not among `but`."""
    files = [file for file in journal_files(folder) if file not in but]
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def run_journal(folder, *arguments):
    """`run`, and the records of the session that it began, whatever became of the clock."""
    before = journal_files(folder)
    ended = run(folder, *arguments)
    [records] = journals(folder, before)
    return ended, records


def saved(folder):
    """The newest saved run, its benchmarks by name."""
    newest = max(folder.glob(".benchmarks/*/*.json"))
    content = json.loads(newest.read_text())
    return content | {"benchmarks": {b["name"]: b for b in content["benchmarks"]}}


def measured(records):
    """(block, trial, implementation) of everything that a journal holds."""
    return [(r["block"], r["trial"], name) for r in records for name in r.get("results", ())]


def command_here(result, *options):
    """`pytest benchmarks` of this repository, from any folder, saved as `result`."""
    place = (f"--config-file={ROOT}/pyproject.toml", f"--rootdir={ROOT}")
    return [PYTEST, ROOT / "benchmarks", *options, f"--benchmark-json={result}", *place]


def run_here(folder, *options):
    """The pair on `digits`, saved into a folder; the rows by implementation."""
    if lacks := [one for name in PAIR for one in implementations.missing(name)]:
        pytest.skip(f"not installed: {', '.join(lacks)}")
    result = folder / "run.json"
    ended = subprocess.run(
        command_here(result, *options, "--dataset=digits", "--device=cpu"),
        cwd=folder,
        env=variables(folder, PYTEST_ADDOPTS=""),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return {row["extra_info"]["implementation"]: row for row in read(result)["benchmarks"]}


def ids(operation, *names, device="cpu"):
    return [f"test_{operation}[mlp-b128-{device}-{name}]" for name in names]


def fresh_copy(tmp_path_factory, implementations=None):
    folder = copy_repository(tmp_path_factory.mktemp("copy"), implementations)
    for name, source in DROPPED_IN.items():
        (folder / "mnist_models" / "implementations" / f"{name}.py").write_text(source)
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy with what can run, what is not installed and what this machine cannot run."""
    return fresh_copy(tmp_path_factory)


# Saving and comparing


@pytest.fixture(scope="module")
def first_comparison(copy):
    """`pytest --benchmark-compare` where nothing was ever saved."""
    return run(copy, "--benchmark-compare")


@pytest.fixture(scope="module")
def autosave(copy, first_comparison):
    """`pytest benchmarks --report`, the first run that is saved: a report saves its run."""
    return run(copy, "benchmarks", "--report=report")


@pytest.fixture(scope="module")
def run_saved(copy, autosave):
    return saved(copy)


VALID = (
    *ids("epoch", *PAIR),
    *ids("forward", *INSTALLED),
    *ids("train_step", *INSTALLED),
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
    """Beside the samples stands all that is needed to analyse them again: docs/reference.md."""
    info = run_saved["benchmarks"][name]["extra_info"]
    epochs_only = {"moment", "returned_seconds", "returns_late"}
    assert (info.keys() & epochs_only == epochs_only) == (info["operation"] == "epoch")
    assert info.keys() - epochs_only == {
        *("schema", "session", "trial", "operation", "architecture", "batch_size", "device"),
        *("implementation", "versions", "python", "in_force", "recipe", "dataset", "source"),
        *("blocks", "iterations", "cpu_seconds", "first_call_seconds", "peak_memory_bytes"),
        *(
            "parity",
            "parity_limits",
            "accuracy",
            "accuracy_by_block",
            "accuracy_bounds",
            "environment",
        ),
        *("peak_memory_bytes_by_block", "foreign_cpu", "screened_blocks", "suspects", "verdicts"),
        *("margin", "misread", "parity_tf32", "foreign_gpu", "peak_gpu_memory_bytes"),
        *("cpu_ids", "accuracy_rule", "counted", "threads_that_ran", "stolen_cpu"),
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


def test_the_last_line_is_where_the_report_is(copy, autosave):
    """And what it says is what the saved run says: one page, however it was made."""
    assert autosave.stdout.splitlines()[-1] == "report: report/index.html"
    [path] = copy.glob(".benchmarks/*/*.json")
    again = [sys.executable, "-m", "benchmarks", "report", path, "-o", copy / "again"]
    subprocess.run(again, cwd=copy, check=True, timeout=300)
    one, other = ((copy / name / "summary.md").read_text() for name in ("report", "again"))
    assert one == other
    assert "| training step, mlp |" in one
    assert "Batch 128, cpu. " in one


def test_what_was_misread_is_saved_with_its_pictures(run_saved):
    """Every tenth label of the test images is wrong, and all of these were misread as pictured."""
    [name] = ids("epoch", PAIR[0])
    misread = run_saved["benchmarks"][name]["extra_info"]["misread"]
    assert [[image, label] for image, label, _ in misread] == [[i, 5] for i in range(0, 200, 10)]
    assert {answer for _, _, answer in misread} == {0}
    assert run_saved["dataset"]["pictures"].keys() == {str(image) for image, _, _ in misread}


def test_machine_info_has_no_live_readings(run_saved):
    """The machine does not change between runs, so neither may what is saved about it."""
    assert "hz_actual" not in json.dumps(run_saved["machine_info"])
    assert run_saved["machine_info"]["cpu"]


def test_comparison_shows_both_runs(copy, autosave):
    """Once a run was saved, each row stands beside its former self."""
    found = run(copy, "benchmarks", "--benchmark-compare")
    assert found.returncode == 0, found.stdout
    assert "Comparing against benchmarks from" in found.stdout
    assert "Nothing to compare with" not in found.stdout
    for name in VALID:
        assert f"{name} (NOW)" in found.stdout
        assert f"{name} (0001_" in found.stdout


def test_comparison_needs_no_folder(copy, autosave):
    """`pytest --benchmark-compare`, which takes the next word as its value, works on its own."""
    found = run(copy, "--benchmark-compare", "-k", "forward and numpy_reference and cpu")
    assert found.returncode == 0, found.stdout
    [name] = ids("forward", "numpy_reference")
    assert f"{name} (NOW)" in found.stdout
    assert f"{name} (0001_" in found.stdout


# Selecting


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A copy in which the first test that is judged fails: its epochs raise."""
    return fresh_copy(tmp_path_factory, {"keras_tensorflow": FAULT})


@pytest.fixture(scope="module")
def stopped(faulty):
    """`pytest benchmarks -x` where the first test fails."""
    return run_journal(faulty, "benchmarks", "-x")


def test_x_stops_the_judging(stopped):
    """With -x nothing is judged after the first failure, which shows its traceback."""
    session, _ = stopped
    assert session.returncode == 1, session.stdout
    assert "ArithmeticError: planted fault" in session.stdout
    assert "1 error" in session.stdout
    assert "passed" not in session.stdout


def test_x_does_not_stop_the_measuring(stopped):
    """What was selected is measured nevertheless, interleaved, before anything is judged."""
    _, records = stopped
    trials = {f"{operation}[mlp-b128-cpu]" for operation in ("epoch", "forward", "train_step")}
    assert {trial for _, trial, _ in measured(records)} == trials
    assert "finished" not in records[-1]


def test_last_failed_alone_are_measured(faulty, stopped):
    """With --lf, the plan holds what failed the last time and nothing else."""
    session, records = run_journal(faulty, "benchmarks", "--lf")
    assert session.returncode == 1, session.stdout
    assert "1 error" in session.stdout
    assert "passed" not in session.stdout
    assert measured(records) == [(0, "epoch[mlp-b128-cpu]", "keras_tensorflow")]


def test_what_failed_is_remembered_in_the_folder_of_the_session(faulty, stopped):
    """Sessions that run at the same time, under tox too, do not forget each other's failures."""
    assert (faulty / ".pytest_cache" / "v" / "cache" / "lastfailed").exists()


def test_selection_decides_what_is_measured(faulty):
    """What -k and -m deselect is not measured."""
    words = "(forward or epoch) and cpu and (numpy or imaginary)"
    session, records = run_journal(faulty, "benchmarks", "-k", words, "-m", "benchmark")
    assert session.returncode == 0, session.stdout
    assert "1 passed, 1 skipped" in session.stdout
    assert measured(records) == [(0, "forward[mlp-b128-cpu]", "numpy_reference")]


def test_asked_for_and_not_to_be_had_fails(faulty):
    """Who cannot run and was asked for by name fails with the reason; the others count."""
    chosen = ("--implementation=refusing", "--implementation", "numpy_reference")
    session = run(faulty, "benchmarks", "--device=cpu", "-k", "forward", *chosen)
    assert session.returncode == 1, session.stdout
    assert "asked for, but impossible here" in session.stdout
    assert "this machine has no abacus" in session.stdout
    assert "1 passed" in session.stdout
    assert "1 error" in session.stdout


def test_gpu_that_no_framework_sees_fails(faulty):
    """A GPU that was asked for and that the driver shows, but an implementation cannot use."""
    (faulty / "gpu").mkdir()
    tool = faulty / "gpu" / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: Pretended'\n")
    tool.chmod(0o755)
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    chosen = ("--implementation", "numpy_reference", "--device", "gpu", "-k", "forward")
    session = run(faulty, "benchmarks", *chosen, PATH=path)
    assert session.returncode == 1, session.stdout
    assert "asked for, but impossible here: numpy_reference: it sees no gpu, only cpu" in (
        " ".join(session.stdout.split())
    )


# pytest-benchmark's own switches


@pytest.fixture(scope="module")
def disabled(tmp_path_factory):
    """`pytest benchmarks --benchmark-disable`, with the folder for temporary files."""
    folder = fresh_copy(tmp_path_factory)
    scratch = tmp_path_factory.mktemp("scratch")
    chosen = ("--benchmark-disable", "--benchmark-autosave")
    return run(folder, "benchmarks", *chosen, TMPDIR=str(scratch)), folder, scratch


def test_disabled_runs_and_checks_everything(disabled):
    """With --benchmark-disable every operation is run and judged, and no time is shown."""
    session, _, _ = disabled
    assert session.returncode == 0, session.stdout
    assert f"{len(VALID)} passed" in session.stdout
    assert "Name (time in" not in session.stdout


def test_disabled_saves_nothing(disabled):
    """No journal to resume, and no saved run."""
    _, folder, _ = disabled
    assert list(folder.glob(".benchmarks/**/*.json*")) == []


def test_disabled_leaves_nothing_behind(disabled):
    """What it needs for the time being is gone when it ends."""
    _, _, scratch = disabled
    assert list(scratch.iterdir()) == []


def test_only_benchmarks(tmp_path_factory):
    """With --benchmark-only other tests are skipped; --benchmark-json always has the raw data."""
    folder = fresh_copy(tmp_path_factory)
    (folder / "benchmarks" / "test_plain.py").write_text("def test_plain():\n    assert 0\n")
    words = "plain or (forward and numpy_reference and cpu)"
    chosen = ("--benchmark-only", "--benchmark-json", "out.json", "-k", words)
    session = run(folder, "benchmarks", *chosen)
    assert session.returncode == 0, session.stdout
    assert "1 passed, 1 skipped" in session.stdout
    [row] = json.loads((folder / "out.json").read_text())["benchmarks"]
    assert len(row["stats"]["data"]) == row["stats"]["rounds"] == 2


# Sessions that measure nothing: one process runs them all


QUIET = """
import contextlib, io, json, sys
import pytest


class Spy:
    settings = ""

    def pytest_collection_finish(self, session):
        options = sys.modules["benchmarks.pytest_plugin.options"]
        self.settings = repr(session.config.stash[options.SETTINGS])


answers = {}
lines = json.load(sys.stdin)
for line in lines:
    output, spy = io.StringIO(), Spy()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = pytest.main(line.split(), plugins=[spy])
    answers[line] = (int(status), output.getvalue(), spy.settings)
json.dump(answers, sys.stdout)
"""
LISTED = "benchmarks --co -q --architecture=mlp"
QUICK = "benchmarks --co -q --quick"
SKIPPED = "benchmarks --benchmark-skip --architecture=mlp --dataset=small"
UNMARKED = "benchmarks -k nothing_of_the_kind"
DISTRIBUTED = "benchmarks -n 1 -rs --architecture=mlp --dataset=small"
VALUES = {
    "--architecture": "lenet5",
    "--batch-size": "64",
    "--device": "cpu",
    "--implementation": "numpy_reference",
    "--dataset": "small",
    "--threads": "1",
    "--precision": "tf32",
    "--blocks": "2",
    "--rounds": "3",
    "--time-budget": "44.5",
    "--call-limit": "55.5",
}
SPACED = " ".join(f"{option} {value}" for option, value in VALUES.items())
JOINED = " ".join(f"{option}={value}" for option, value in VALUES.items())
WRONG = {
    "--architecture vgg16": ["--architecture vgg16", "mlp, deep_mlp, lenet5"],
    "--batch-size 0": ["--batch-size 0", "between 1 and 10000"],
    "--batch-size 10001": ["--batch-size 10001", "between 1 and 10000"],
    "--batch-size many": ["--batch-size", "many is not a whole number", "such as 128"],
    "--dataset=small --batch-size=201": ["--batch-size 201", "200 images of 'small'"],
    "--device tpu": ["--device tpu", "cpu, gpu, auto"],
    "--device gpu": ["--device gpu", "nvidia-smi finds no GPU", "--device cpu or auto"],
    "--implementation theano": ["--implementation theano", ", ".join(NAMES)],
    "--implementation imaginary": ["--implementation imaginary", "pip install no_such_package"],
    "--dataset nowhere": ["'nowhere'", "mnist, fashion_mnist, kmnist, digits", "a folder with"],
    "--threads 0": ["--threads 0", "1 to"],
    "--threads 4096": ["--threads 4096", "1 to"],
    "--precision float8": ["--precision float8", "float32, tf32"],
    "--blocks 0": ["--blocks 0", "above 0"],
    "--rounds -1": ["--rounds -1", "above 0"],
    "--rounds 1.5": ["--rounds", "1.5 is not a whole number"],
    "--time-budget 0": ["--time-budget 0", "above 0"],
    "--time-budget soon": ["--time-budget", "soon is not a number"],
    "--report pyproject.toml": ["--report pyproject.toml", "is a file", "give a folder"],
    "--call-limit -3": ["--call-limit -3", "above 0"],
    "--resume --dataset=small": ["--resume", "nothing to resume"],
}
UNUSABLE = ["--time-budget nan --co", "--call-limit nan --co", "--call-limit inf --co"]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """The copy, and status, output and settings of each command line."""
    folder = fresh_copy(tmp_path_factory)
    lines = [LISTED, QUICK, SKIPPED, UNMARKED, DISTRIBUTED]
    lines += [f"benchmarks {more}" for more in [*WRONG, *UNUSABLE]]
    lines += [f"benchmarks --co {options}" for options in (SPACED, JOINED)]
    session = subprocess.run(
        [sys.executable, "-c", QUIET],
        input=json.dumps(lines),
        cwd=folder,
        env=variables(folder, PYTEST_ADDOPTS=""),
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return folder, json.loads(session.stdout)


def test_nothing_quiet_was_measured(quiet):
    """Listing, skipping, deselecting and refusing leave neither a journal nor a saved run."""
    folder, _ = quiet
    assert list(folder.glob(".benchmarks/**/*.json*")) == []


def test_collect_only_lists_the_ids(quiet):
    """`--co` lists every id: operation, architecture, batch size, device, implementation."""
    status, output, _ = quiet[1][LISTED]
    every = (
        *(("epoch", PAIR), ("forward", NAMES), ("latency", PAIR), ("startup", PAIR)),
        ("train_step", NAMES),
    )
    expected = [
        f"benchmarks/test_{operation}.py::{name}"
        for operation, names in every
        for device in ("cpu", "gpu")
        for name in ids(operation, *names, device=device)
    ]
    # One prediction is one image.
    expected = [line.replace("latency[mlp-b128", "latency[mlp-b1") for line in expected]
    assert [line for line in output.splitlines() if "::" in line] == expected
    assert status == 0


def test_a_quick_look_has_epochs(quiet):
    """The networks that all implementations run, so that there is time for accuracies."""
    status, output, _ = quiet[1][QUICK]
    looked_at = {name for name in networks.names() if f"[{name}-" in output}
    assert looked_at == {"mlp", "deep_mlp", "lenet5"}
    assert "test_epoch[lenet5-b128-cpu-pytorch_eager]" in output
    assert status == 0


def test_skipped_benchmarks(quiet):
    """`--benchmark-skip` skips every timed test."""
    status, output, _ = quiet[1][SKIPPED]
    assert "32 skipped" in output
    assert status == 0


def test_deselected_benchmarks(quiet):
    """Nothing selected is nothing measured, and pytest says so with its own status 5."""
    status, output, _ = quiet[1][UNMARKED]
    assert "deselected" in output
    assert status == 5


def test_timing_needs_the_machine_for_itself(quiet):
    """Under xdist everything timed is skipped with the reason."""
    pytest.importorskip("xdist")
    status, output, _ = quiet[1][DISTRIBUTED]
    assert "timing needs the machine for itself: run without xdist (-n0)" in output
    assert "32 skipped" in output
    assert status == 0


def test_both_ways_to_give_a_value(quiet):
    """`--option value` and `--option=value` mean the same, for every option."""
    (status, _, spaced), (_, _, joined) = (
        quiet[1][f"benchmarks --co {options}"] for options in (SPACED, JOINED)
    )
    assert status == 0
    assert spaced == joined
    assert [value for value in VALUES.values() if value not in spaced] == []


@pytest.mark.parametrize("options", WRONG)
def test_wrong_values_are_refused_in_words(quiet, options):
    """Status 4, and a message that names the value and what is allowed, or what to do."""
    status, output, _ = quiet[1][f"benchmarks {options}"]
    message = " ".join(output.split())
    assert [part for part in WRONG[options] if part not in message] == []
    assert "Traceback" not in message
    assert status == 4


@pytest.mark.parametrize("options", UNUSABLE)
def test_unusable_numbers_are_refused(quiet, options):
    """What is no number is no limit, nor is what no clock can wait for."""
    assert quiet[1][f"benchmarks {options}"][0] == 4


def test_wrong_value_ends_the_process_with_status_4(copy):
    """What the shell sees."""
    session = run(copy, "benchmarks", "--device=gpu")
    assert session.returncode == 4
    assert "nvidia-smi finds no GPU" in session.stdout
