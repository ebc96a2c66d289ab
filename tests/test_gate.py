"""The gate against other environments, end to end in copies of this repository.

The environments are twins of the one that runs the tests: virtual environments that see its
packages. What is planted in one of them wraps a method of the copy's own modules there. Slowdowns
are large and margins wide, so that no noise matters.
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_benchmark.utils import get_machine_id

from benchmarks.commands.selfcheck import clone, plant, site_packages
from benchmarks.comparing.verdicts import confirmation_blocks
from benchmarks.measuring.workers import WorkerError, check_handshake
from mnist_models.implementations import PAIR
from mnist_models.worker import PROTOCOL, source_hash
from tests.test_command_lines import (
    LIMIT,
    PYTEST,
    QUIET,
    copy_repository,
    ids,
    journal_files,
    journals,
    run,
    variables,
    write_data,
)
from tools.pages import RUN

pytestmark = pytest.mark.slow
KERAS, PYTORCH = PAIR
REFERENCE = "numpy_reference"
HERE = Path(sys.prefix).name
[STEP], [FORWARD] = ids("train_step", PYTORCH), ids("forward", PYTORCH)
TRIAL = "train_step[mlp-b128-cpu]"
STEPS = ("benchmarks", "-k", "train_step", f"--implementation={PYTORCH}", "--device=cpu")
GATE = (*STEPS, "--blocks=6", "--rounds=1", "--margin=50%", "--fail-on=regression")
LIMITED = "FOREIGN = 0.1\n"
# `planted.slower` is made for steps that are much shorter than a burst.
THREE_TIMES = """
def slower(method, share):
    def thrice(*arguments):
        began = perf_counter()
        result = method(*arguments)
        until = began + 3 * (perf_counter() - began)
        while perf_counter() < until:
            pass
        return result

    return thrice
"""
WRONG_ANSWERS = """
def slower(method, share):
    def forward(layer, x, training=False):
        outputs = method(layer, x, training)
        outputs[:, 0] += 1e-3
        return outputs

    return forward
"""
OTHER_PROTOCOL = """
def slower(method, share):
    return lambda *arguments: method(*arguments) | {"protocol": 1}
"""
HOG = """
import os
from mnist_models import cpus
os.sched_setaffinity(0, cpus.share(1)[0])
print("busy", flush=True)
while True:
    pass
"""


def plant_in(environment, module, owner, method, source):
    """Wrap a method of the copy in an environment, as `source` says."""
    plant(environment, {"torch": 1.0})
    places = {f"mnist_models.{module}": ("torch", owner, method)}
    with (site_packages(environment) / "planted.py").open("a") as file:
        file.write(f"\nPLACES = {places!r}\n{source}")
    return environment


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Virtual environments by name: a twin, and twins in which something is planted."""
    folder = tmp_path_factory.mktemp("environments")
    made = {name: clone(folder / name) for name in ("twin", "slow", "wrong", "foreign", "bare")}
    made["spaced"] = clone(folder / "in a folder" / "spaced")
    implementation = f"implementations.{PYTORCH}"
    plant_in(made["slow"], implementation, "Trainer", "train_step", THREE_TIMES)
    plant_in(made["wrong"], "numpy_layers", "Dense", "forward", WRONG_ANSWERS)
    plant_in(made["foreign"], "worker", "Worker", "start", OTHER_PROTOCOL)
    (site_packages(made["bare"]) / "packages.pth").write_text("")
    return made


def copy_in(folder, unlimited=True):
    """A copy; `unlimited`: whoever else is at work on this machine does not matter in it."""
    copy_repository(folder)
    path = folder / "benchmarks" / "comparing" / "verdicts.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(LIMITED) == 1
    path.write_text(text.replace(LIMITED, "FOREIGN = 9.9\n") if unlimited else text)
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copy_in(tmp_path_factory.mktemp("gate"))


def run_with(python, folder, *arguments, **more):
    """`python arguments` in a folder, as another environment's session does it."""
    return subprocess.run(
        [python, *map(str, arguments)],
        cwd=folder,
        env=variables(folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def files(folder, environment=None):
    """The saved runs of this environment, or those of a baseline."""
    place = f"environments/{environment}/*" if environment else "Linux*"
    place = place.replace("Linux*", get_machine_id())
    return sorted(folder.glob(f".benchmarks/{place}/*.json"))


def read(path):
    """A saved run, its benchmarks by name."""
    content = json.loads(path.read_text())
    return content | {"benchmarks": {row["name"]: row for row in content["benchmarks"]}}


def words(row, environment=None):
    """The verdicts saved with a row, by metric."""
    found = row["extra_info"]["verdicts"]
    wanted = [v for v in found if environment in (None, v["environment"])]
    return {verdict["metric"]: verdict["verdict"] for verdict in wanted}


def flat(text):
    return " ".join(text.replace("│", " ").split())


# The same, and a slower baseline


@pytest.fixture(scope="module")
def session(copy, environments):
    """A session against a twin, where nothing changed, and against a slower environment."""
    baselines = [f"--baseline={environments[name]}" for name in ("twin", "slow")]
    ended = run(copy, *GATE, *baselines, "--report=reports")
    assert ended.returncode == 0, ended.stdout
    paths = {name: files(copy, name) for name in (None, "twin", "slow")}
    runs = {name: read(path) for name, [path] in paths.items()}
    return SimpleNamespace(
        ended=ended,
        paths={name: path for name, [path] in paths.items()},
        runs=runs,
        rows={name: found["benchmarks"][STEP] for name, found in runs.items()},
        records=journals(copy)[-1],
    )


def test_identical_code_is_never_called_different(session):
    """An environment and its twin, in every metric; the status is 0."""
    found = words(session.rows[None], "twin")
    assert found.keys() == {"time", "first call", "peak memory"}
    assert {"REGRESSED", "IMPROVED"}.isdisjoint(found.values())


def test_slower_baseline_makes_this_an_improvement(session):
    """Found, confirmed in new blocks, and no reason to fail."""
    assert words(session.rows[None], "slow")["time"] == "IMPROVED"
    [noted] = [r["confirmation"] for r in session.records if "confirmation" in r]
    # Further blocks, if there are any, decide about the twin.
    slow = f"{PYTORCH}@slow"
    last = max(r["block"] for r in session.records if slow in r.get("results", ()))
    least, *_, most = confirmation_blocks(noted["suspects"])
    assert noted["blocks"] == most
    assert 6 + least <= last + 1 <= 6 + most
    [again] = [r for r in session.records if r.get("block") == last]
    assert set(again["results"]) >= {PYTORCH, slow}
    assert {len(e["samples"]) for e in again["results"].values()} == {noted["rounds"]}
    assert session.rows[None]["extra_info"]["suspects"] == noted["suspects"]
    text = flat(session.ended.stdout)
    assert f"suspect(s), to be confirmed in {least} to {most} new blocks" in text
    assert re.search(r"against slow: \d IMPROVED", text)


def test_all_environments_do_equal_bursts(session):
    """Left to itself, the slower one would choose fewer operations in each of the blocks."""
    for record in (r for r in session.records if "block" in r):
        counts = {entry["iterations"] for entry in record["results"].values()}
        assert len(counts) == 1


def test_every_environment_has_a_file_with_the_same_ids(session):
    """One for this environment where it always was, one for each baseline below its own name."""
    for found in session.runs.values():
        assert list(found["benchmarks"]) == [STEP]
    assert session.paths[None].name == f"0001_{HERE}.json"
    assert session.paths["twin"].parts[-4:-1] == ("environments", "twin", get_machine_id())
    assert session.paths["twin"].name.startswith("0001_")


@pytest.mark.parametrize("name", [None, "twin", "slow"])
def test_files_hold_their_own_samples(session, name):
    """What was journaled for a contestant, its environment, and who ran it."""
    row, contestant = session.rows[name], f"{PYTORCH}@{name}" if name else PYTORCH
    entries = [
        r["results"][contestant] for r in session.records if contestant in r.get("results", ())
    ]
    walls = [wall for entry in entries for wall, _ in entry["samples"]]
    assert row["stats"]["data"] == walls
    assert row["stats"]["rounds"] == len(row["stats"]["data"])
    assert row["extra_info"]["environment"] == (name or HERE)
    assert row["extra_info"]["first_call_seconds"] == [e["first_call_seconds"] for e in entries]
    machine, facts = session.runs[name]["machine_info"], entries[0]["facts"]
    assert machine["python_version"] == facts["python"]
    assert machine["cpu"] == session.runs[None]["machine_info"]["cpu"]


def test_files_are_read_by_pytest_benchmark(copy, session):
    """`pytest-benchmark compare FILE1 FILE2` shows both."""
    tool, paths = PYTEST.with_name("pytest-benchmark"), [session.paths[n] for n in (None, "slow")]
    shown = subprocess.run(
        [tool, "compare", *paths], cwd=copy, capture_output=True, text=True, timeout=300
    )
    assert shown.returncode == 0, shown.stderr
    assert len(re.findall(rf"^{re.escape(STEP)} .*/0001_", shown.stdout, re.M)) == 2


def test_report_holds_the_verdicts(copy, session):
    """--report writes them as Markdown, a section for each baseline, and a page, named last."""
    text = (copy / "reports" / "summary.md").read_text()
    assert "## against twin: " in text
    assert re.search(r"## against slow: \d IMPROVED", text)
    page = (copy / "reports" / "index.html").read_text()
    assert 'data-figure="chart-against-1"' in page
    assert session.ended.stdout.splitlines()[-1] == "report: reports/index.html"


@pytest.fixture
def compare(copy):
    """`python -m benchmarks compare` in the copy."""
    return lambda *arguments: run_with(
        sys.executable, copy, "-m", "benchmarks", "compare", "--margin=50%", *arguments
    )


def test_files_of_a_session_give_its_verdicts(compare, session):
    """The environment's file against this one's: one session, so as strong a word."""
    found = compare(
        session.paths["slow"], session.paths[None], "--fail-on=regression", "--markdown"
    )
    assert found.returncode == 0, found.stdout
    assert "paired round by round" in flat(found.stdout)
    assert re.search(r"\d IMPROVED", found.stdout)
    turned = compare(
        session.paths[None], session.paths["slow"], "--fail-on=regression", "--markdown"
    )
    assert turned.returncode == 1, turned.stdout
    assert re.search(r"\d REGRESSED", turned.stdout)
    assert compare(session.paths[None], session.paths["slow"]).returncode == 0
    command = session.paths["slow"], session.paths[None], "--margin=40%"
    assert compare(*command).returncode == 0
    refused = compare(*command, "--fail-on=regression")
    assert refused.returncode == 4, refused.stdout
    assert "at a margin of 40.0%, so that this would never fail" in flat(refused.stdout)


# Slower here


@pytest.fixture(scope="module")
def regressed(copy, session, environments):
    """The slower environment's own session, against a twin; after the other one's."""
    command = "-m", "pytest", *GATE, f"--baseline={environments['twin']}"
    before = journal_files(copy)
    ended = run_with(environments["slow"] / "bin" / "python", copy, *command)
    [records] = journals(copy, before)
    return SimpleNamespace(ended=ended, command=command, path=files(copy)[-1], records=records)


def test_slowdown_here_is_a_regression(regressed):
    """Found, confirmed, status 1 with --fail-on regression."""
    assert regressed.ended.returncode == 1, regressed.ended.stdout
    assert words(read(regressed.path)["benchmarks"][STEP])["time"] == "REGRESSED"
    assert re.search(r"against twin: \d REGRESSED", flat(regressed.ended.stdout))
    assert "1 passed" in regressed.ended.stdout


def again(regressed, environments, folder, keep, *more):
    """Resume a copy of the regressed session of which `keep` records are left."""
    [path] = folder.glob(".benchmarks/sessions/*/journal.jsonl")
    path.write_text("".join(json.dumps(record) + "\n" for record in regressed.records[:keep]))
    python = environments["slow"] / "bin" / "python"
    ended = run_with(python, folder, *regressed.command, "--resume", *more)
    return ended, journals(folder)[-1]


@pytest.fixture
def taken_up(copy, regressed, tmp_path):
    """A copy of the copy that holds the regressed session alone."""
    folder = tmp_path / "again"
    shutil.copytree(copy, folder)
    for other in sorted(folder.glob(".benchmarks/sessions/*"))[:-1]:
        shutil.rmtree(other)
    return folder


def test_regression_alone_does_not_fail(regressed, environments, taken_up):
    """The same session, taken up after its last block without --fail-on: status 0."""
    command = [part for part in regressed.command if not part.startswith("--fail-on")]
    regressed = SimpleNamespace(records=regressed.records, command=command)
    ended, records = again(regressed, environments, taken_up, -1)
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"\d REGRESSED", ended.stdout)
    again_by = [record for record in records if record.keys() == {"controller"}]
    assert len(again_by) == 1
    assert [record for record in records if record not in again_by] == regressed.records


def test_confirmation_is_resumed_as_it_was_planned(regressed, environments, taken_up):
    """Cut off in its confirmation, a session goes on with the suspects and blocks it had noted."""
    [noted] = [r["confirmation"] for r in regressed.records if "confirmation" in r]
    kept = len(regressed.records) - 3  # two blocks and the end
    ended, records = again(regressed, environments, taken_up, kept)
    assert ended.returncode == 1, ended.stdout
    assert [r["confirmation"] for r in records if "confirmation" in r] == [noted]
    assert records[:kept] == regressed.records[:kept]
    assert len(records) == len(regressed.records) + 1  # who goes on
    assert re.search(r"\d REGRESSED", ended.stdout)


@pytest.fixture(scope="module")
def bare_comparison(copy, regressed):
    """`pytest benchmarks --benchmark-compare` where the newest run has regressed."""
    return run(copy, *STEPS, "--benchmark-compare")


def test_regressed_run_is_no_baseline_by_itself(bare_comparison, session, regressed):
    """It says so itself, and a bare --benchmark-compare takes the run before."""
    assert "REGRESSED against twin" in read(regressed.path)["unfit_as_baseline"][0]
    assert session.runs[None]["unfit_as_baseline"] == []
    text = flat(bare_comparison.stdout)
    assert "Comparing against benchmarks from: " in text
    assert f"/0001_{HERE}.json" in text
    assert "0002_" not in text


def test_environments_files_are_no_baseline_by_themselves(bare_comparison):
    """Whatever is newest among them."""
    assert f"{get_machine_id()}/0001_{HERE}.json" in bare_comparison.stdout
    assert "environments/" not in bare_comparison.stdout


# What cannot be compared


@pytest.fixture(scope="module")
def incomparable(copy, environments, tmp_path_factory):
    """One block against baselines of which none can be compared."""
    folder = copy_in(tmp_path_factory.mktemp("incomparable"))
    names = ("bare", "wrong", "foreign")
    baselines = [f"--baseline={environments[name]}" for name in names]
    ended = run(folder, *STEPS, *baselines, "--report=reports")
    [path] = files(folder)
    rows = read(path)["benchmarks"][STEP]["extra_info"]["verdicts"]
    found = {row["environment"]: (row["verdict"], row["reason"]) for row in rows}
    return SimpleNamespace(ended=ended, folder=folder, found=found)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bare", "its worker ended with ModuleNotFoundError: No module named 'numpy'"),
        ("wrong", " from the NumPy reference (allowed: "),
        ("foreign", f"its worker speaks protocol 1, this session {PROTOCOL}"),
    ],
)
def test_what_is_missing_wrong_or_foreign_is_not_comparable(incomparable, name, reason):
    """A package that lacks, wrong answers, another protocol: with the reason, in panel and file."""
    word, words = incomparable.found[name]
    assert word == "NOT COMPARABLE"
    assert reason in words
    assert words.startswith(f"in {name}: ")
    assert reason[:20] in flat(incomparable.ended.stdout)


def test_nothing_comparable_is_no_pass(incomparable):
    """Status 11, although this environment's own test passed and is saved."""
    assert incomparable.ended.returncode == 11, incomparable.ended.stdout
    assert "1 passed" in incomparable.ended.stdout
    assert list(incomparable.folder.glob(".benchmarks/environments/*/*/*.json")) == []


def test_too_few_blocks_are_undecided(copy, environments, tmp_path_factory):
    """Two blocks give no interval: status 10, if the undecided is to count."""
    folder = copy_in(tmp_path_factory.mktemp("few"))
    options = ("--blocks=2", "--strict-verdicts", "--margin=50%", "--until-decided=0")
    ended = run(folder, *STEPS, *options, f"--baseline={environments['spaced']}")
    assert ended.returncode == 10, ended.stdout
    assert "2 blocks are too few for an interval" in flat(ended.stdout)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="CPUs cannot be chosen here")
def test_what_others_disturb_is_contaminated(environments, tmp_path_factory):
    """Every difference counts, beside a hog on the workers' CPU: not one is called."""
    folder = copy_in(tmp_path_factory.mktemp("hog"), unlimited=False)
    hog = subprocess.Popen([sys.executable, "-c", HOG], cwd=folder, stdout=subprocess.PIPE)
    try:
        assert hog.stdout.readline() == b"busy\n"
        ended = run(
            folder, *GATE, "--blocks=3", "--margin=0%", f"--baseline={environments['twin']}"
        )
    finally:
        hog.kill()
        hog.communicate(timeout=LIMIT)
    [path] = files(folder)
    found = words(read(path)["benchmarks"][STEP])
    assert found["time"] == "CONTAMINATED"
    assert {"REGRESSED", "IMPROVED"}.isdisjoint(found.values())
    assert "other programs used the CPUs in" in flat(ended.stdout)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"protocol": PROTOCOL + 1}, "a mnist_models of another version"),
        ({"source": "0"}, "other source code"),
        ({"other_frameworks": ["jax"]}, "also imported jax"),
        ({}, ""),
    ],
)
def test_workers_introduce_themselves(info, reason):
    """Whoever would measure something else is refused before the first clock starts."""
    worker = SimpleNamespace(contestant="someone@else")
    said = {"protocol": PROTOCOL, "source": source_hash(), "other_frameworks": []} | info
    if not info:
        check_handshake(worker, said)
        return
    with pytest.raises(WorkerError, match=f"someone@else: its worker .*{reason}"):
        check_handshake(worker, said)


# Saved runs


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A copy with another data set and a saved run, and 0009, a ten times faster one."""
    folder = copy_in(tmp_path_factory.mktemp("earlier"))
    write_data(folder / "other", seed=2)
    ended = run(folder, *STEPS, f"--implementation={REFERENCE}", "--benchmark-save=first")
    assert ended.returncode == 0, ended.stdout
    claimed = json.loads(files(folder)[0].read_text())
    for row in claimed["benchmarks"]:
        row["stats"]["min"] /= 10
    files(folder)[0].with_name("0009_fast.json").write_text(json.dumps(claimed))
    return folder


def test_other_data_are_not_compared(earlier):
    """Neither by a word, nor in pytest-benchmark's table, nor by --benchmark-compare-fail."""
    chosen = ("--dataset=other", "--benchmark-compare=0009", "--benchmark-compare-fail=min:5%")
    ended = run(earlier, *STEPS, f"--implementation={REFERENCE}", *chosen)
    assert ended.returncode == 11, ended.stdout
    assert "NOT COMPARABLE" in ended.stdout
    assert "data set was small" in flat(ended.stdout)
    assert "] (0009_fast)" not in ended.stdout
    assert "Performance has regressed" not in ended.stdout


def test_comparison_with_nothing_in_common_is_no_pass(earlier):
    """A saved run is named, and none of its rows is measured now: status 11."""
    chosen = ("-k", "forward", "--benchmark-compare=0001")
    ended = run(earlier, *STEPS, *chosen)
    assert ended.returncode == 11, ended.stdout
    assert "not measured in" in flat(ended.stdout)
    assert "(0001_first)" in ended.stdout


def test_suspects_of_a_saved_run_are_never_more(earlier):
    """The same settings: compared, at most a SUSPECT, status 0."""
    ended = run(earlier, *STEPS, f"--implementation={REFERENCE}", "--benchmark-compare=0001")
    assert ended.returncode == 0, ended.stdout
    assert "the strongest verdict is SUSPECT" in flat(ended.stdout)
    assert f"{STEP} (0001_first)" in ended.stdout


# Command lines that measure nothing: one process runs them all


PATCHED = """
import os
from pathlib import Path
from mnist_models import cpus
os.sched_getaffinity = lambda process: set(range(8))
cpus.quota = lambda groups=None: float("inf")
"""
OLD_PYTHON = "#!/bin/sh\necho '[[3, 8, 1], {}]'\n"
REFUSED = {
    "--baseline nowhere": ["--baseline nowhere", "no such folder or file", "tox run --notest -e"],
    "--baseline empty": ["--baseline empty", "holds no bin/python", "python -m venv"],
    "--baseline small/data": ["--baseline small/data", "does not run", "virtual environment"],
    "--baseline not_python": ["--baseline not_python", "does not run", "virtual environment"],
    "--baseline old_python": ["--baseline old_python", "has Python 3.8.1, workers need 3.11"],
    "--baseline popen//popen": ["--baseline popen//popen", "execnet refuses this spec"],
    "--baseline twin --baseline another/twin": ["another/twin", "'twin'", "different names"],
    "--fail-on regression": ["--fail-on regression", "add --baseline ENV"],
    "--fail-on regresion": ["--fail-on regresion", "choose from regression"],
    "--baseline twin --fail-on speed": ["--fail-on speed", "choose from regression"],
    "--baseline twin --fail-on regression --quick": ["--blocks 6", "would never fail"],
    "--resume --benchmark-disable": ["--resume with --benchmark-disable", "no session"],
    "--margin 2": ["--margin 2", "from 0% to below 100%", "2% or 0.02"],
    "--margin nan": ["--margin nan", "from 0% to below 100%"],
    "--baseline twin --benchmark-disable": ["--baseline with --benchmark-disable", "timed"],
    "--benchmark-compare --benchmark-storage=unfit": ["0001_x.json: step void", "baseline set RUN"],
    "--benchmark-compare --benchmark-storage=gone": ["no_more.json is gone", "baseline set RUN"],
}
THREADS = {"": 7, "--baseline twin": 1, "--baseline twin --threads 3": 3}


@pytest.fixture(scope="module")
def quiet(environments, tmp_path_factory):
    """Status, output and settings of each command line."""
    folder = copy_in(tmp_path_factory.mktemp("quiet"))
    (folder / "twin").symlink_to(environments["twin"])
    (folder / "another").mkdir()
    (folder / "another" / "twin").symlink_to(environments["twin"])
    (folder / "empty").mkdir()
    (folder / "small" / "data").write_text("no program")
    for name, text in (("old_python", OLD_PYTHON), ("not_python", "#!/bin/sh\nexit 3\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    storage = folder / "unfit" / get_machine_id()
    storage.mkdir(parents=True)
    unfit = json.loads(gzip.decompress(RUN.read_bytes())) | {"unfit_as_baseline": ["step void"]}
    (storage / "0001_x.json").write_text(json.dumps(unfit))
    (folder / "gone").mkdir()
    (folder / "gone" / "baseline").write_text("/tmp/no_more.json\n")
    lines = [f"benchmarks --co -q {more}" for more in [*REFUSED, *THREADS]]
    ended = subprocess.run(
        [sys.executable, "-c", PATCHED + QUIET],
        input=json.dumps(lines),
        cwd=folder,
        env=variables(folder, PYTEST_ADDOPTS=""),
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return json.loads(ended.stdout)


@pytest.mark.parametrize("line", REFUSED)
def test_wrong_values_are_refused_in_words(quiet, line):
    """Status 4, with the value and what to do instead."""
    status, output, _ = quiet[f"benchmarks --co -q {line}"]
    message = " ".join(output.split())
    assert [part for part in REFUSED[line] if part not in message] == []
    assert "Traceback" not in message
    assert status == 4


@pytest.mark.parametrize("line", THREADS)
def test_gates_take_one_thread_unless_told_otherwise(quiet, line):
    """All but one of eight CPUs elsewhere. Listing compares nothing, and is no failure."""
    status, _, settings = quiet[f"benchmarks --co -q {line}"]
    assert f" threads={THREADS[line]}," in settings
    assert status == 0


# What the machine can tell


def test_selfcheck_finds_what_it_planted_and_nothing_else(tmp_path):
    """In the copy, twice the work is planted, in the steps of what stands in for the pair."""
    folder = copy_in(tmp_path)
    for file, old, new in (
        ("selfcheck.py", "SHARE = 0.05", "SHARE = 1.0"),
        ("selfcheck.py", "UNTIL_DECIDED = 20", "UNTIL_DECIDED = 0"),
        ("planted.py", '"keras.src.backend.tensorflow.trainer": ("keras", "TensorFlowTrainer", '
         '"train_on_batch")', f'"mnist_models.implementations.{KERAS}": ("keras", "Trainer", '
         '"train_step")'),
        ("planted.py", '"torch.optim.adam": ("torch", "Adam", "step")',
         f'"mnist_models.implementations.{PYTORCH}": ("torch", "Trainer", "train_step")'),
    ):  # fmt: skip
        path = folder / "benchmarks" / "commands" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    options = {"PYTEST_ADDOPTS": f"--dataset={folder / 'small'} --device=cpu --margin=30%"}
    command = ("-m", "benchmarks", "selfcheck", "--planted", "--blocks=2", "--rounds=2")
    ended = run_with(sys.executable, folder, *command, **options)
    assert ended.returncode == 0, ended.stdout
    assert "identical code called different: none" in flat(ended.stdout)
    doses = re.findall(
        r"dose of 100% in training step (\S+), measured as (\S+)% more time: IMPROVED",
        flat(ended.stdout),
    )
    assert [name for name, _ in doses] == ["Keras", "PyTorch"]
    assert all(float(measured) > 20 for _, measured in doses)
