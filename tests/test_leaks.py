"""Leaks: what calls keep is seen, said, and compared between environments."""

import json
import mmap
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from benchmarks.comparing.leaks import LEAST, grows, judge_leaks
from benchmarks.comparing.records import judge_all
from benchmarks.comparing.verdicts import Comparison, Status, time_metric
from benchmarks.measuring.workers import ROOT
from benchmarks.reporting import words
from benchmarks.trial import Trial
from mnist_models import implementations, leaks, repeated
from mnist_models.implementations import PAIR
from mnist_models.leaks import kept, slope
from tests.test_statistics import make_results

KERAS, PYTORCH = PAIR
TRIAL = Trial("leak", "mlp", 128, "cpu")
NOTHING = {"calls": 50, "each": 1, "memory": 0.0, "threads": 0.0, "files": 0.0}
PAGE = mmap.PAGESIZE
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def pages(count):
    """Memory straight from the kernel: an allocator might have some left."""
    memory = mmap.mmap(-1, count * PAGE)
    memory.write(b"x" * count * PAGE)
    return memory


def blocks(*each, call="fit"):
    """Six blocks, or as many as are given, of what a call keeps."""
    return [{call: NOTHING | one} for one in (each if len(each) > 1 else each * 6)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(20), 1.0),
        (np.r_[np.arange(0, 1000, 100), np.zeros(10)], 0.0),
        (np.r_[np.zeros(15), np.full(6, 1000.0)], 0.0),
        (3 * np.arange(51) + np.tile([0, 10, 0], 17), 3.0),
    ],
)
def test_the_slope_is_of_the_later_half_and_of_no_jump(values, expected):
    assert slope(values) == pytest.approx(expected)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("what", ["memory", "threads", "files", "nothing"])
def test_a_planted_leak_is_seen(what, tmp_path):
    """Of memory, of threads or of files, and of nothing where nothing is kept."""
    held: list[Any] = []
    end = threading.Event()

    def call():
        if what == "memory":
            held.append(pages(200))
        elif what == "threads":
            held.append(threading.Thread(target=end.wait, daemon=True))
            held[-1].start()
        elif what == "files":
            # Without the buffer that a file object has.
            held.append(os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY))
        else:
            np.ones(100_000)

    found = kept(call, 30)
    end.set()
    for one in held:
        if what == "files":
            os.close(one)
    grown = {name for name, least in LEAST.items() if found[name] > least}
    # A thread has a stack.
    assert grown - ({"memory"} if what == "threads" else set()) == {what} - {"nothing"}
    expected = {"memory": 200 * PAGE, "threads": 1, "files": 1}
    if what in expected:
        assert found[what] == pytest.approx(expected[what], rel=0.05)


@linux
def test_garbage_that_a_collection_takes_is_no_leak():
    class Node:
        def __init__(self):
            self.itself, self.memory = self, np.ones(50_000)

    assert kept(Node, 20)["memory"] <= LEAST["memory"]


@linux
def test_what_several_calls_keep_is_told_for_one():
    held = []
    found = kept(lambda: held.append(pages(2000)), 20, each=100)
    assert found["calls"] == 2000
    assert found["memory"] == pytest.approx(20 * PAGE, rel=0.05)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (blocks({"threads": 1.0}), True),
        (blocks({"threads": 0.0}), False),
        (blocks(*[{"threads": t} for t in (0.0, 1.0, 1.0, 1.0, 1.0, 1.0)]), None),
        (blocks({"threads": 1.0}, {"threads": 1.0}), None),
    ],
)
def test_growth_is_told_where_all_blocks_agree(found, expected):
    assert grows(found, "fit", "threads") is expected


def test_of_steps_read_in_hundreds_a_hundredth_counts():
    memory = {"memory": 60.0, "each": 100}
    assert grows(blocks(memory), "fit", "memory") is True
    assert grows(blocks(memory | {"each": 1}), "fit", "memory") is False


@pytest.mark.parametrize(
    ("new", "old", "status", "said"),
    [
        ({"threads": 1.0}, {}, Status.REGRESSED, "each fit keeps 1 threads, was 0"),
        ({}, {"threads": 1.0}, Status.IMPROVED, "each fit keeps 0 threads, was 1"),
        ({}, {}, Status.EQUIVALENT, "grows on neither side"),
        ({"threads": 1.0}, {"threads": 2.0}, Status.EQUIVALENT, "grows on both sides: fit"),
    ],
)
def test_a_release_that_begins_or_ends_to_leak_is_named(new, old, status, said):
    found = judge_leaks(blocks(new), blocks(old), "threads", "old")
    assert found.status is status
    assert found.reason == said


def test_too_few_blocks_decide_nothing():
    found = judge_leaks(blocks({"threads": 1.0}, {"threads": 1.0}), blocks({}), "threads", "old")
    assert found.status is Status.INCONCLUSIVE
    assert "cannot tell whether it grows" in found.reason


def test_without_a_common_call_nothing_is_compared():
    found = judge_leaks(blocks({}), blocks({}, call="predict"), "threads", "old")
    assert found.status is Status.NOT_COMPARABLE


def test_the_gate_judges_what_calls_keep():
    """A leak of threads turns the metric of that name, and no other."""

    def record(more):
        info = {"leaks": blocks(more)}
        return {f"test_{TRIAL}".replace("]", f"-{KERAS}]"): {"extra_info": info}}

    time = Comparison(str(TRIAL), KERAS, "old", time_metric(0.02), reason="not of interest")
    judged = judge_all([time], record({"threads": 1.0}), record({}))
    words = {one.comparison.metric.name: one.verdict.status for one in judged[1:]}
    assert words == {
        "memory kept": Status.EQUIVALENT,
        "threads kept": Status.REGRESSED,
        "files kept": Status.EQUIVALENT,
    }
    assert len(judge_all([time], {}, record({}))) == 1


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "nothing grows over 50 fit"),
        ({"threads": 1.0}, "threads grows by 1 [1, 1] with each of fit"),
        ({"memory": 9000.0}, "memory grows by 9e+03 [9e+03, 9e+03] B with each of fit"),
    ],
)
def test_what_grows_is_told(entry, said):
    results = make_results({(TRIAL, KERAS): ([1.0] * 6, {"leaks": {"fit": NOTHING | entry}})})
    info = results.particulars(results.rows[TRIAL, KERAS])
    assert words.particulars(KERAS, info) == [f"Keras: {said}"]


def test_what_cannot_be_told_is_said():
    few = {"leaks": blocks({"threads": 1.0}, {"threads": 1.0})}
    assert words.particulars(KERAS, few) == [
        "Keras: cannot tell about memory of fit, threads of fit, files of fit"
    ]


def test_who_has_calls_to_repeat():
    assert repeated.calls("numpy_reference") == {}
    assert leaks.CALLS * leaks.BATCHES < leaks.STEPS


ASKED = """
import json, sys
from mnist_models import networks, recipe, weights, worker
from mnist_models.operations import production
production.STEPS = 400
made = worker.Worker()
made.start(sys.argv[1], "cpu", 1, "float32")
made.read(sys.argv[2])
start = weights.to_bytes(weights.initial(networks.load("mlp"), 0))
made.take("mlp", recipe.DEFAULT.record(), "float32", start)
made.first_call("leak")
print(json.dumps(made.sample("leak", 1)))
"""


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", PAIR)
def test_every_call_of_a_framework_is_made(name, dataset):
    """In a process of its own: 400 steps and 150 calls, of which no thread and no file is left."""
    if missing := implementations.missing(name):
        pytest.skip(f"not installed: {', '.join(missing)}")
    command = [sys.executable, "-c", ASKED, name, str(dataset.folder)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["seconds"] > 0
    calls = {name: (one["calls"], one["each"]) for name, one in found["leaks"].items()}
    assert calls == {"steps": (400, 100), "fit": (50, 1), "evaluate": (50, 1), "predict": (50, 1)}
    assert all(one["threads"] == one["files"] == 0 for one in found["leaks"].values())
