"""What an upgrade changes besides times: asked where a framework's version changed, and told."""

from dataclasses import replace

import pytest

from benchmarks.measuring import probes
from benchmarks.measuring.environments import Environment
from benchmarks.measuring.workers import WorkerError
from benchmarks.pytest_plugin import replay
from benchmarks.reporting import words
from benchmarks.trial import Trial, contestant
from mnist_models.implementations import PAIR
from tests.test_statistics import SMOOTH, make_results

KERAS, PYTORCH = PAIR
STEP = Trial("train_step", "mlp", 128, "cpu")
OLD = contestant(KERAS, "old")


def results(old):
    """Keras here with version 3.15 and NumPy 2.4, and in the environment `old` with others."""
    rows = {}
    for name, versions in ((KERAS, {"keras": "3.15", "numpy": "2.4"}), (OLD, old)):
        rows[STEP, name] = ([1.0], {"facts": {"versions": versions, "conventions": SMOOTH}})
    found = make_results(rows, blocks=1)
    found.plan = replace(found.plan, baselines={"old": Environment("old", "popen//python=old")})
    return found


@pytest.mark.parametrize(
    ("old", "asked"),
    [
        ({"keras": "3.14", "numpy": "2.4"}, [KERAS]),
        ({"keras": "3.15", "numpy": "2.3"}, []),
        ({"keras": "3.15", "numpy": "2.4"}, []),
    ],
)
def test_numbers_are_asked_of_a_framework_that_was_upgraded(monkeypatch, old, asked):
    """Of the older environment first, and only where the framework's own version is another one."""
    places, said = [], []

    def numbers(before, after, name):
        places.append((before.name, name))
        return ["attention: starting query: 0 / 1"]

    monkeypatch.setattr(probes, "numbers", numbers)
    found = replay.changed_numbers(results(old), said.append)
    assert places == [("old", name) for name in asked]
    line = "numbers of Keras: attention: starting query: 0 / 1"
    assert found == ({"old": [line]} if asked else {})
    assert len(said) == len(asked)


def test_an_environment_that_cannot_answer_costs_nothing_else(monkeypatch):
    def numbers(*places):
        raise WorkerError(f"{KERAS}: its worker died\nlast words")

    monkeypatch.setattr(probes, "numbers", numbers)
    found = replay.changed_numbers(results({"keras": "3.14"}), print)
    assert found == {
        "old": ["numbers of Keras: not known: keras_tensorflow: its worker died"],
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], "numbers of PyTorch: no default and no result of a layer changed"),
        (["a: 1 / 2", "b: is gone"], "numbers of PyTorch: a: 1 / 2; b: is gone"),
        ([*"abcde"], "numbers of PyTorch: a; b; c; and 2 more"),
    ],
)
def test_changes_are_told_in_one_line(changes, said):
    assert words.numbers(PYTORCH, changes) == said
