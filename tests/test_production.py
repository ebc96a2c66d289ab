"""The start of a process, and one prediction: what is timed, and what is told of it."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import psutil
import pytest

from benchmarks.comparing.schema import fault
from benchmarks.measuring.results import QUANTILES
from benchmarks.measuring.workers import ROOT
from benchmarks.reporting import words
from benchmarks.reporting.answers import contests
from benchmarks.reporting.page import Report, card
from benchmarks.trial import Trial
from mnist_models import cpus, recipe, start
from mnist_models.implementations import PAIR
from mnist_models.neighbour import COPY, neighbour
from mnist_models.operations import CLOCKED, LATENCY, STARTUP, production
from tests.hostile import small_run
from tests.test_command_lines import variables
from tests.test_robustness import survivors
from tests.test_statistics import make_results
from tools.pages import recorded

KERAS, PYTORCH = PAIR
PREDICTION = Trial("latency", "mlp", 1, "cpu")
START = Trial("startup", "mlp", 128, "cpu")
MOMENTS = {"python": 0.1, "imported": 2.0, "built": 2.5, "stepped": 3.0, "predicted": 3.1}


def fresh(name="numpy_reference", **more):
    record = recipe.DEFAULT.record() | more
    return start.start(name, "mlp", record, "cpu", 1)


@pytest.mark.slow
def test_the_moments_of_a_start_come_in_order():
    found = fresh()
    moments = [found.moments[name] for name in words.MOMENTS]
    assert moments[0] > 0
    assert moments == sorted(moments)
    assert found.moments.keys() == words.MOMENTS.keys()
    assert 0 < found.cpu_seconds < 60


@pytest.mark.slow
def test_a_start_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"a fresh process of no_such failed:\n(.|\n)*no_such"):
        fresh("no_such")


@pytest.mark.slow
def test_a_start_runs_this_source_wherever_it_is_started(tmp_path, monkeypatch):
    """A package of the same name in the current folder must not slip in."""
    (tmp_path / "mnist_models").mkdir()
    (tmp_path / "mnist_models" / "__init__.py").write_text("raise SystemExit('slipped in')")
    monkeypatch.chdir(tmp_path)
    assert fresh().moments["stepped"] > 0


@pytest.mark.slow
def test_a_start_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(start, "LIMIT", 0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        fresh()


def test_the_second_start_is_timed(monkeypatch):
    """The first one fills caches, which a user's machine has filled as well."""
    made = []

    def one(*what):
        made.append(what)
        return start.Start({**MOMENTS, "stepped": 5.0 - len(made)}, 2.0)

    monkeypatch.setattr("mnist_models.operations.production.start", one)
    own = "numpy_reference", "mlp", {}, "gpu", 1
    worker = SimpleNamespace(own=lambda: own, precision="tf32")
    assert STARTUP.first_call(worker) == pytest.approx(1.5)
    found = STARTUP.sample(worker, 1)
    assert (found["seconds"], found["cpu_seconds"], made) == (3.0, 2.0, [(*own, "tf32")] * 2)
    assert found["start"] == MOMENTS | {"protocol": start.PROTOCOL}


def test_a_start_finds_bytecode_where_its_worker_does(monkeypatch):
    """A worker's PYTHONPYCACHEPREFIX is set after its own start, and is for what it cannot keep."""
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "/elsewhere")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = start.variables()
    assert (found["PYTHONPYCACHEPREFIX"], found["PYTHONDONTWRITEBYTECODE"]) == ("", "")
    monkeypatch.setattr(sys, "pycache_prefix", "/ours")
    assert start.variables()["PYTHONPYCACHEPREFIX"] == "/ours"


@pytest.mark.slow
def test_a_start_sees_no_other_framework_and_no_scikit_learn():
    """Keras would import scikit-learn, which this suite needs and its users may not have."""
    what = json.dumps(["numpy_reference", "mlp", recipe.DEFAULT.record(), "cpu", 1, "float32", 0.0])
    code = (
        f"import sys; sys.argv[1:] = [{what!r}]; from mnist_models import start; start.main(); "
        "from importlib.util import find_spec; "
        "print([find_spec(n) for n in ('sklearn', 'tensorflow', 'jax', 'torch')])"
    )
    assert run_python(code).splitlines()[-1] == "[None, None, None, None]"


def run_python(code):
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=ROOT, text=True, timeout=300).strip()


@pytest.mark.parametrize("beside", [None, 1])
def test_every_prediction_of_a_burst_is_clocked(beside, monkeypatch):
    """Each by itself, after the burst, and of everybody as many."""
    trainer = SimpleNamespace(reset=lambda: None)
    clocked = []

    def clock(call, iterations):
        call(0)
        clocked.append(iterations)
        return 0.001 * iterations, 0.001

    worker = SimpleNamespace(
        trainer=trainer,
        prepared=lambda: [("image", "label")],
        clock=clock,
        counted=lambda call, calls: (*call(), {"waits": 0.0}),
        limited=lambda times, calls: times,
        cpu_ids=[0],
    )
    trainer.forward = lambda images: None

    @contextmanager
    def neighbour(own):
        clocked.append(f"beside {own}")
        yield beside
        clocked.append("alone")

    monkeypatch.setattr(production, "neighbour", neighbour)
    found = LATENCY.sample(worker, 7)
    assert found["latencies"] == [0.001] * CLOCKED
    ones = [1] * CLOCKED
    if beside is None:
        assert "busy_latencies" not in found
        assert clocked[-CLOCKED - 2 :] == [*ones, "beside [0]", "alone"]
    else:
        assert found["busy_latencies"] == [0.001] * CLOCKED
        assert clocked[-2 * CLOCKED - 2 :] == [*ones, "beside [0]", *ones, "alone"]


def seconds_of(pid):
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.skipif(len(cpus.inherited()) < 2, reason="there is one CPU")
def test_a_neighbour_keeps_another_cpu_busy_and_ends():
    """It is on none of the CPUs that are given."""
    [own, *_] = cpus.available()
    with neighbour([own]) as cpu:
        assert cpu != own
        [process] = [one for one in psutil.Process().children() if COPY in one.cmdline()]
        assert process.cpu_affinity() == [cpu]
        before = seconds_of(process.pid)
        deadline = monotonic() + 20
        while seconds_of(process.pid) < before + 0.1:
            assert monotonic() < deadline
    assert not process.is_running()


@pytest.mark.slow
def test_where_there_is_no_other_cpu_there_is_no_neighbour():
    with neighbour(cpus.inherited()) as cpu:
        assert cpu is None


@pytest.mark.slow
def test_a_neighbour_ends_with_the_process_that_began_it():
    lines = "import os, psutil; from mnist_models.neighbour import neighbour; "
    lines += "made = neighbour([]); made.__enter__(); "
    lines += "print(*(one.pid for one in psutil.Process().children()), flush=True); os._exit(0)"
    command = [sys.executable, "-c", lines]
    pids = subprocess.check_output(command, cwd=ROOT, text=True, timeout=60).split()
    assert len(pids) == 1
    with suppress(psutil.NoSuchProcess):
        assert survivors([psutil.Process(int(pids[0]))]) == []


def test_the_slowest_predictions_are_told():
    """Of every block by itself; the middle one is shown."""
    latencies = [0.001] * 990 + [0.01] * 9 + [0.1]
    entry = {"latencies": latencies}
    results = make_results({(PREDICTION, KERAS): ([0.001] * 6, entry)})
    found = results.particulars(results.rows[PREDICTION, KERAS])["latency_seconds"]
    assert [*found] == [str(share) for share in QUANTILES]
    assert {share: len(blocks) for share, blocks in found.items()} == dict.fromkeys(found, 6)
    assert found["0.5"][0] == 0.001
    assert 0.001 < found["0.999"][0] <= 0.1
    [said] = words.particulars(KERAS, {"latency_seconds": found})
    assert said.startswith("Keras alone: 50% within 1 ms, 90% within 1 ms, 99% within")
    [said] = words.particulars(KERAS, {"latency_busy_seconds": found})
    assert said.startswith("Keras beside a busy CPU: 50% within 1 ms")
    assert "99.9% within" in said


def test_the_moments_of_a_start_are_told():
    results = make_results({(START, PYTORCH): ([3.0] * 6, {"start": MOMENTS})})
    info = results.particulars(results.rows[START, PYTORCH])
    assert info == {"start": [MOMENTS] * 6}
    assert words.particulars(PYTORCH, info) == [
        "PyTorch: Python runs after 100 ms, framework imported after 2 s, network and "
        "optimiser built after 2.5 s, first training step done after 3 s, first prediction done "
        "after 3.1 s"
    ]


def test_other_operations_have_no_particulars():
    step = Trial("train_step", "mlp", 128, "cpu")
    results = make_results({(step, KERAS): ([0.001] * 6, {})})
    assert results.particulars(results.rows[step, KERAS]) == {}
    assert words.particulars(KERAS, {}) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"latency[mlp-b1", "latency[lenet5-b1", "startup[mlp-b128"}),
        (("--architecture", "lstm"), {"latency[lstm-b1", "startup[lstm-b128"}),
        (("--batch-size", "32"), {"latency[mlp-b1", "latency[lenet5-b1", "startup[mlp-b32"}),
    ],
)
def test_they_are_timed_on_few_networks_unless_others_are_asked_for(options, expected, tmp_path):
    """One prediction is one image, whatever the batch size."""
    chosen = ("-k", "latency or startup", "--device=cpu", *options)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks", "--collect-only", "-q", *chosen],
        cwd=ROOT,
        env=variables(tmp_path, PYTEST_ADDOPTS=""),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = [line for line in ended.stdout.splitlines() if "::test_" in line]
    names = {line.partition("::test_")[2].rpartition("-cpu")[0] for line in lines}
    assert names == expected, ended.stdout


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ({"start": [MOMENTS]}, "start has 1 values for 6 blocks"),
        ({"start": [{"python": 1.0}] * 6}, "start[0].imported is missing"),
        ({"latency_seconds": {"0.5": [0.1]}}, "latency_seconds of 0.5 has 1 values for 6 blocks"),
        ({"latency_seconds": {"p50": [0.1] * 6}}, "latency_seconds"),
        ({"routes": [{"ONNX": {"bytes": -1}}] * 6}, "routes[0].ONNX.bytes is -1"),
        ({"routes": [{"ONNX": {}}] * 5 + [{}]}, "routes has others in one block than in another"),
        ({"feeds": [{"grain": {"wrong": -1}}] * 6}, "feeds[0].grain.wrong is -1"),
        ({"feeds": [{"grain": {}}] * 5 + [{}]}, "feeds has others in one block than in another"),
        ({"leaks": [{"fit": {"calls": 50}}] * 6}, "leaks[0].fit.each is missing"),
        ({"parts": [{"subtracted": {}}] * 6}, "parts[0].subtracted.forward is missing"),
        ({"devices": [{"2": {"seconds": 0.1}}] * 6}, "devices[0].2.difference is missing"),
        ({"iterations": {"0": "many"}}, "iterations.0 is 'many'"),
    ],
)
def test_what_only_some_operations_have_is_checked_in_a_saved_run(damaged, words):
    run = small_run()
    row = next(row for row in run["benchmarks"] if row["extra_info"]["operation"] == "train_step")
    assert fault(run) == ""
    row["extra_info"] |= damaged
    assert words in fault(run)


@pytest.mark.parametrize("name", ["start", "routes", "feeds", "leaks", "parts"])
def test_what_the_recorded_run_has_is_a_saved_run(name):
    """As it is written to a file and read from it."""
    run = recorded("production")
    assert any(row["extra_info"].get(name) for row in run["benchmarks"])
    assert fault(run) == ""


def test_the_slowest_predictions_are_on_the_card():
    """And so are the moments of a start; whoever looks at the answer sees the worst as well."""
    run = recorded("production")
    shown = {one["operation"]: one["late"] for one in map(card, contests(run))}
    assert [line.partition(" 99.9%")[0].partition(":")[0] for line in shown["one prediction"]] == [
        f"{who} {place}" for who in ("Keras", "PyTorch") for place in words.PLACES.values()
    ]
    assert all("99.9% within" in line for line in shown["one prediction"])
    assert all("framework imported after" in line for line in shown["start"])
    assert shown["saving and loading"] == []
    text = Report("here", run, {}).html()
    assert "Keras LiteRT: " in text
