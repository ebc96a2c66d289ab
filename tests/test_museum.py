"""The museum of known changes: what is in it, what counts as found, what it says of failures."""

from types import SimpleNamespace

import pytest
from packaging.version import Version
from rich.console import Console

from benchmarks.commands import experiments, gates, museum
from benchmarks.commands.museum import (
    CHANGED,
    NO_CHANGE,
    NUMBERS,
    Exhibit,
    Seen,
    exhibits,
    right,
    shown,
)
from benchmarks.comparing.changes import Change
from benchmarks.comparing.verdicts import Status
from benchmarks.measuring import environments, probes
from benchmarks.measuring.environments import EnvironmentProblem
from benchmarks.trial import RowId
from mnist_models import data, implementations

QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def known_machine(monkeypatch):
    """To ask the machine for its name starts processes."""
    monkeypatch.setattr(experiments, "machine", lambda: "a CPU")


def exhibit(**more):
    record = {
        "name": "made-up",
        "package": "keras",
        "old": "3.1.0",
        "new": "3.2.0",
        "with": {"tensorflow": "2.21.0"},
        "row": "test_forward[mlp-b128-cpu-keras_tensorflow]",
        "expect": "REGRESSED",
    }
    return Exhibit.model_validate(record | more)


def seen(verdict, metric="time"):
    one = Change(
        trial="forward[mlp-b128-cpu]",
        implementation="keras_tensorflow",
        old="old",
        new="new",
        metric=metric,
        verdict=verdict,
        ratio=1.1,
        low=1.05,
        high=1.15,
    )
    return Seen(name="made-up", expect="", changes=[one], seconds=60.0)


def test_every_exhibit_is_a_row_that_can_be_measured():
    for one in exhibits():
        row = RowId.parse(one.row)
        assert one.package in implementations.packages(row.implementation), one.name
        assert Version(one.old) < Version(one.new.rpartition(" ")[2])
        assert one.expect in (*Status, NO_CHANGE, CHANGED)
        assert one.why, one.name
        assert one.pins(one.new) == {"python": one.python, **one.others, one.package: one.new}


def test_there_are_known_changes_in_both_directions_and_controls():
    expected = [one.expect for one in exhibits()]
    assert expected.count("REGRESSED") >= 3
    assert expected.count("IMPROVED") >= 3
    assert expected.count(NO_CHANGE) >= 8


@pytest.mark.parametrize(
    ("expect", "verdict", "found"),
    [
        ("REGRESSED", "REGRESSED", True),
        ("REGRESSED", "IMPROVED", False),
        ("REGRESSED", "INCONCLUSIVE", False),
        (NO_CHANGE, "EQUIVALENT", True),
        (NO_CHANGE, "INCONCLUSIVE", True),
        (NO_CHANGE, "REGRESSED", False),
        (NO_CHANGE, "NOT COMPARABLE", False),
        ("NOT COMPARABLE", "NOT COMPARABLE", True),
    ],
)
def test_what_counts_as_found(expect, verdict, found):
    assert right(exhibit(expect=expect), seen(verdict)) is found


def test_the_metric_that_is_asked_for_counts():
    assert right(exhibit(metric="first call"), seen("REGRESSED", "first call"))
    assert not right(exhibit(metric="first call"), seen("REGRESSED"))


def test_the_table_has_what_was_expected_beside_what_was_seen():
    control = exhibit(name="control", expect=NO_CHANGE)
    known = exhibit(tracker="https://tracker")
    chosen, records = [known, control], [seen("REGRESSED"), seen("REGRESSED")]
    records[1].name = "control"
    text = shown(chosen, museum.Museum(machine="a CPU", dataset="mnist", seen=records))
    assert "| REGRESSED | REGRESSED | 1.100 [1.050, 1.150] | 60 |" in text
    assert "✗ control" in text
    reported = "The suite found 1 of 1 changes that others had reported"
    wrong = "It reported a change in"
    assert text.endswith(f"{reported}. {wrong} 1 of 1 pairs of releases without one.")
    own = exhibit(name="own"), seen("REGRESSED").model_copy(update={"name": "own"})
    both = museum.Museum(machine="a CPU", dataset="mnist", seen=[*records, own[1]])
    text = shown([*chosen, own[0]], both)
    assert f"{reported}, and 1 of 1 that it had found first. {wrong}" in text
    records[1] = Seen(name="control", expect=NO_CHANGE, failed="no room")
    text = shown(chosen, museum.Museum(machine="a CPU", dataset="mnist", seen=records))
    assert text.endswith(f"{wrong} 0 of 0 pairs of releases without one; 1 is not known.")


def test_numbers_that_changed_are_no_time(monkeypatch):
    """They are found by the probes of the defaults, and said in words."""
    one = exhibit(metric=NUMBERS, expect=CHANGED)
    maker = SimpleNamespace(make=lambda pins, beside: SimpleNamespace(name=pins["keras"]))
    for words in ([], ["attention: starts otherwise"]):
        monkeypatch.setattr(probes, "numbers", lambda *arguments, found=words: found)
        found = museum.visit(None, one, maker, QUIET)
        assert right(one, found) is bool(words)
    assert found.changes[0].reason == "attention: starts otherwise"


def visited(one):
    found = seen("REGRESSED")
    return found.model_copy(update={"name": one.name, "session": list(one.session)})


class Refusing:
    """A maker that has no room."""

    folder = "somewhere"

    def make(self, pins, beside=()):
        raise EnvironmentProblem("no room")


def test_an_environment_that_cannot_be_made_loses_nothing_else(tmp_path):
    """It is said, and tried again the next time."""
    dataset, output = SimpleNamespace(name="mnist"), tmp_path / "museum.json"
    found = museum.museum(dataset, [exhibit()], Refusing(), output, QUIET)
    assert [one.failed for one in found.seen] == ["no room"]
    assert "failed: no room" in shown([exhibit()], found)
    found = museum.museum(dataset, [exhibit()], Refusing(), output, QUIET)
    assert [one.failed for one in found.seen] == ["no room"]


def test_what_was_seen_is_not_measured_again(tmp_path, monkeypatch):
    dataset, output = SimpleNamespace(name="mnist"), tmp_path / "museum.json"
    monkeypatch.setattr(museum, "visit", lambda dataset, one, *rest: visited(one))
    museum.museum(dataset, [exhibit()], Refusing(), output, QUIET)
    monkeypatch.setattr(museum, "visit", lambda *arguments: pytest.fail("measured twice"))
    found = museum.museum(dataset, [exhibit()], Refusing(), output, QUIET)
    assert len(found.seen) == 1
    monkeypatch.setattr(museum, "visit", lambda dataset, one, *rest: visited(one))
    changed = exhibit(new="3.3.0")
    found = museum.museum(dataset, [changed], Refusing(), output, QUIET)
    assert [tuple(one.session) for one in found.seen] == [changed.session]
    with pytest.raises(ValueError, match="has dataset mnist, this run digits"):
        museum.museum(SimpleNamespace(name="digits"), [exhibit()], Refusing(), output, QUIET)


def test_a_disturbed_session_is_measured_again(tmp_path, monkeypatch):
    """CONTAMINATED says nothing of the exhibit; an undecided verdict does, and stays."""
    dataset, output, visits = SimpleNamespace(name="mnist"), tmp_path / "museum.json", []
    words = [Status.CONTAMINATED, Status.INCONCLUSIVE, Status.REGRESSED]

    def visit(dataset, one, maker, console):
        visits.append(one.name)
        found = seen(words[len(visits) - 1])
        return found.model_copy(update={"session": list(one.session)})

    monkeypatch.setattr(museum, "visit", visit)
    for _ in words:
        museum.museum(dataset, [exhibit()], Refusing(), output, QUIET)
    assert len(visits) == 2


def test_one_session_answers_all_metrics_of_a_row(tmp_path, monkeypatch):
    dataset, visits = SimpleNamespace(name="mnist"), []

    def visit(dataset, one, maker, console):
        visits.append(one.name)
        return visited(one)

    monkeypatch.setattr(museum, "visit", visit)
    chosen = [exhibit(name=name, metric=m) for name, m in (("a", "time"), ("b", "first call"))]
    chosen.append(exhibit(name="c", new="3.3.0"))
    output = tmp_path / "museum.json"
    found = museum.museum(dataset, chosen, Refusing(), output, QUIET)
    assert visits == ["a", "c"]
    assert [one.name for one in found.seen] == ["a", "b", "c"]


def test_an_unknown_exhibit_is_an_error():
    with pytest.raises(ValueError, match=r"no_such: no such exhibit; choose from keras-3\.0\.5"):
        exhibits(["no_such"])


def test_a_wrong_file_is_an_error(tmp_path):
    path = tmp_path / "museum.toml"
    path.write_text('[[exhibit]]\nname = "one"\n')
    with pytest.raises(ValueError, match=r"museum\.toml: .*package"):
        exhibits(path=path)


@pytest.mark.slow
def test_a_gate_measures_in_environments_that_it_does_not_run_in(tmp_path, monkeypatch):
    """Both sides are workers elsewhere; each verdict has seconds of both."""
    monkeypatch.setattr(gates, "BLOCKS", 2)
    monkeypatch.setattr(gates, "ROUNDS", 2)
    own = environments.own()
    old, new = (environments.Environment(name, own.spec, own.versions) for name in ("old", "new"))
    rows = [(RowId.parse("test_forward[mlp-b128-cpu-numpy_reference]").trial, "numpy_reference")]
    digits = data.load("digits")
    results = gates.gate(digits, new, [old], rows, tmp_path, QUIET, confirms=False)
    [time] = [one for one in gates.changes(results) if one.metric == "time"]
    assert (time.old, time.new) == ("old", "new")
    assert len(time.seconds) == len(time.causes) == 2
