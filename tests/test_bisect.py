"""What lies between two environments, and what an end of the search may be."""

import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.commands import bisect, experiments, gates
from benchmarks.commands.bisect import (
    Asked,
    Bisection,
    Way,
    alike,
    chosen_trials,
    cost,
    nights,
    pins_of,
    place,
)
from benchmarks.comparing.changes import Change
from benchmarks.comparing.records import Judged
from benchmarks.comparing.verdicts import Comparison, Status, Verdict, time_metric
from benchmarks.measuring import making
from benchmarks.measuring.environments import Environment, EnvironmentProblem
from benchmarks.measuring.hosts import parse_all
from benchmarks.measuring.making import Maker
from benchmarks.pytest_plugin import summary
from benchmarks.pytest_plugin.summary import next_steps
from benchmarks.reporting import bisected
from benchmarks.reporting.trend import text

QUIET = Console(quiet=True)
PYTORCH = "pytorch_eager"


@pytest.fixture(autouse=True)
def known_machine(monkeypatch):
    """To ask the machine for its name starts processes."""
    monkeypatch.setattr(experiments, "machine", lambda: "a CPU")


OLD = {"python": "3.12", "keras": "3.3.3", "tensorflow": "2.16.2", "numpy": "1.26.4"}
NEW = {"python": "3.12", "keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.6"}


class Index:
    """A maker for which `refused` tells what cannot be installed together."""

    folder = "somewhere"

    def __init__(self, refused=lambda pins: False):
        self.refused = refused

    def resolves(self, pins):
        return "Because of that" if self.refused(pins) else ""


def ways(old, new, refused=lambda pins: False):
    return [dict(one) for one in Way(Index(refused), QUIET).between(place(old), place(new))]


def test_packages_are_exchanged_one_after_the_other():
    first, second = ways(OLD, NEW)
    assert first == OLD | {"keras": "3.15.1"}
    assert second == OLD | {"keras": "3.15.1", "numpy": "2.4.6"}


def test_what_cannot_be_installed_alone_waits_or_goes_together():
    """An old TensorFlow refuses the new NumPy, and the new one the old Keras."""

    def refused(pins):
        old_tensorflow = pins["tensorflow"] == OLD["tensorflow"]
        return (old_tensorflow and pins["numpy"] == NEW["numpy"]) or (
            not old_tensorflow and pins["keras"] == OLD["keras"]
        )

    first, second = ways(OLD, NEW, refused)
    assert first == OLD | {"keras": NEW["keras"]}
    assert second == first | {"tensorflow": NEW["tensorflow"]}
    never = ways(OLD, NEW, lambda pins: True)
    assert never == []


def test_two_packages_that_need_each_other_are_exchanged_together():
    old, new = (
        {name: pins[name] for name in ("keras", "tensorflow", "numpy")} for pins in (OLD, NEW)
    )

    def refused(pins):
        return (pins["keras"] == new["keras"]) != (pins["tensorflow"] == new["tensorflow"])

    assert ways(old, new, refused) == [old | {"numpy": new["numpy"]}]


@pytest.fixture
def index(monkeypatch):
    listed = ["3.3.2", "3.3.3", "3.4.1", "3.10.0", "3.15.1", "3.16.0"]
    monkeypatch.setattr(making, "releases", lambda package, python, pre: listed)


def test_releases_of_one_package_lie_between(index):
    found = ways(OLD, OLD | {"keras": "3.15.1"})
    assert [one["keras"] for one in found] == ["3.4.1", "3.10.0"]
    assert all(one | {"keras": ""} == OLD | {"keras": ""} for one in found)
    back = ways(OLD | {"keras": "3.15.1"}, OLD)
    assert [one["keras"] for one in back] == ["3.10.0", "3.4.1"]


def test_releases_that_cannot_be_installed_are_left_out(index):
    found = ways(OLD, OLD | {"keras": "3.15.1"}, lambda pins: pins["keras"] == "3.4.1")
    assert [one["keras"] for one in found] == ["3.10.0"]


def test_nothing_lies_between_two_pythons():
    assert ways(OLD, OLD | {"python": "3.13"}) == []


def test_an_end_is_an_environment_of_the_grid():
    assert pins_of("py312-torch2.9-tf2.20", "pytorch_eager") == {
        "python": "3.12",
        "torch": "2.9.1",
        "numpy": "2.3.5",
    }
    assert "torch" not in pins_of("py312-torch2.9-tf2.20", "keras_tensorflow")


def test_an_end_is_a_file_of_exact_requirements(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("# ours\ntorch==2.9.1  # CPU\n\n-e .\nnumpy==2.3.5\nrich==13.0\n")
    found = pins_of(str(path), "pytorch_eager")
    assert {name: found[name] for name in ("torch", "numpy")} == {
        "torch": "2.9.1",
        "numpy": "2.3.5",
    }
    assert found.keys() == {"torch", "numpy", "python"}
    path.write_text("tf-nightly==2.23.0.dev1\nkeras-nightly==3.16.0.dev1\ntensorflow-cpu==2.20.0")
    found = pins_of(str(path), "keras_tensorflow")
    assert found["keras"] == "keras-nightly 3.16.0.dev1"
    assert found["tensorflow"] == "tf-nightly 2.23.0.dev1"


def test_distributions_of_one_package_are_exchanged_together():
    """keras-nightly beside a TensorFlow that needs keras would write over it."""
    new = NEW | {"keras": "keras-nightly 3.16", "tensorflow": "tf-nightly 2.23"}
    assert ways(OLD, new) == [OLD | {"numpy": NEW["numpy"]}]


def test_a_package_that_one_end_lacks_is_left_to_the_resolver():
    old, new = alike(OLD, {name: pin for name, pin in NEW.items() if name != "numpy"})
    assert old.keys() == new.keys() == {"python", "keras", "tensorflow"}


def test_without_a_network_no_release_is_taken_for_one_that_cannot_be_installed():
    class Lost(Index):
        def resolves(self, pins):
            raise EnvironmentProblem("the index does not answer")

    with pytest.raises(EnvironmentProblem, match="does not answer"):
        Way(Lost(), QUIET).between(place(OLD), place(NEW))


def test_an_end_is_what_is_newest_or_comes_next(monkeypatch):
    """A nightly build comes from another distribution; without one a candidate counts."""
    listed = {
        ("keras", False): ["3.15.1"],
        ("numpy", False): ["2.5.0"],
        ("numpy", True): ["2.5.0", "2.6.0rc1"],
        ("tensorflow", False): ["2.21.0"],
        ("tf-nightly", True): ["2.23.0.dev1"],
        ("keras-nightly", True): ["3.16.0.dev1", "3.16.0.dev2"],
    }
    monkeypatch.setattr(making, "releases", lambda name, python, pre: listed[name, pre])
    newest, after = (pins_of(text, "keras_tensorflow") for text in ("newest", "next"))
    assert {name: newest[name] for name in ("keras", "tensorflow", "numpy")} == {
        "keras": "3.15.1",
        "tensorflow": "2.21.0",
        "numpy": "2.5.0",
    }
    assert after["keras"] == "keras-nightly 3.16.0.dev2"
    assert (after["tensorflow"], after["numpy"]) == ("tf-nightly 2.23.0.dev1", "2.6.0rc1")
    assert "keras-nightly==3.16.0.dev2" in making.requirements(after)
    assert "keras-nightly3.16.0.dev2" in making.title(after)
    assert ways(newest, newest | {"keras": after["keras"]}) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("torch>=2\n", r"line 1: torch>=2: give one exact version, as in a==1\.2"),
        ("torch==2.9.1\n???\n", "line 2: "),
        ("numpy==2.3.5\n", "has no torch, which pytorch_eager needs"),
    ],
)
def test_a_file_that_says_too_little_is_an_error(tmp_path, content, words):
    path = tmp_path / "requirements.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        pins_of(str(path), "pytorch_eager")


def test_what_is_no_environment_is_an_error():
    words = r"no_such: no folder .*, none of newest and next, and no environment of the grid"
    with pytest.raises(ValueError, match=words):
        pins_of("no_such", "pytorch_eager")


@pytest.mark.slow
def test_an_end_is_the_folder_of_an_environment():
    found = pins_of(sys.prefix, "numpy_reference")
    assert found.keys() == {"python", "numpy"}


def test_the_cost_is_said_beforehand(tmp_path):
    said = cost((OLD, NEW), Maker(tmp_path, 10**10, print))
    assert "keras 3.3.3 → 3.15.1" in said
    assert "7 sessions and 18 min" in said
    assert "2.5 GB" in said


def test_trials_are_checked():
    assert [str(one) for one in chosen_trials([])] == ["train_step[mlp-b128-cpu]"]
    for text_, words in (
        ("train_step", "no trial"),
        ("foo[mlp-b128-cpu]", r"foo\[mlp-b128-cpu\]: no foo; choose from forward, train_step"),
        ("forward[mpl-b128-cpu]", r"forward\[mpl-b128-cpu\]: no mpl; choose from"),
    ):
        with pytest.raises(ValueError, match=words):
            chosen_trials([text_])


def test_the_nights_are_shown_in_one_table(tmp_path):
    for night, verdict in (("2026-11-27", "EQUIVALENT"), ("2026-11-28", "REGRESSED")):
        one = Change(
            trial="train_step[mlp-b128-cpu]",
            implementation="keras_tensorflow",
            old="keras3.15.1",
            new=f"keras-nightly{night}",
            metric="time",
            verdict=verdict,
            ratio=1.1,
            low=1.05,
            high=1.15,
        )
        memory = one.model_copy(update={"metric": "peak memory"})
        asked = Asked(new=one.new, old=[one.old], changes=[[one, memory]], seconds=60.0)
        about = {"machine": "a CPU", "dataset": "mnist", "source": "", "trials": [one.trial]}
        kept = Bisection(**about, asked=[asked])
        (tmp_path / f"{night}.json").write_text(kept.model_dump_json())
    said = text(nights(tmp_path)).splitlines()
    assert said[2].endswith("| keras-nightly2026-11-27 | 1.100 [1.050, 1.150] EQUIVALENT |")
    assert said[3].endswith("| keras-nightly2026-11-28 | **1.100 [1.050, 1.150] REGRESSED** |")
    assert "`train_step[mlp-b128-cpu]`, peak memory" in said[4]
    assert len(said) == 5  # an equal memory has no line
    untold = Bisection(**about, answer="Not decided: other programs used the CPUs.\n\n1 session")
    (tmp_path / "2026-11-29.json").write_text(untold.model_dump_json())
    [last] = text(nights(tmp_path)).splitlines()[5:]
    assert last == "| 2026-11-29 |  |  |  |  | Not decided: other programs used the CPUs. |"
    (tmp_path / "2026-11-30.json").write_text("{}")
    with pytest.raises(ValueError, match=r"2026-11-30\.json is no search"):
        nights(tmp_path)
    with pytest.raises(ValueError, match="no such folder; bisect writes"):
        nights(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no search; bisect writes them"):
        nights(tmp_path / "empty")


@pytest.mark.parametrize(
    ("verdict", "times"), [("EQUIVALENT", 1), ("NOT COMPARABLE", 4), ("CONTAMINATED", 4)]
)
def test_a_session_is_not_repeated(tmp_path, monkeypatch, verdict, times):
    """What was asked before is taken from the file; what told nothing is tried twice each time."""
    asked, measuring = [], []

    class Made(Index):
        def make(self, pins, beside=()):
            return SimpleNamespace(name=making.title(pins))

    def gate(dataset, here, others, rows, root, console, hosts):
        asked.append((here.name, *(one.name for one in others)))
        measuring.append(hosts)
        return asked[-1]

    def changes(results):
        new, *olds = results
        return [
            Change(
                trial="t",
                implementation="keras_tensorflow",
                old=old,
                new=new,
                metric="time",
                verdict=verdict,
            )
            for old in olds
        ]

    monkeypatch.setattr(gates, "gate", gate)
    monkeypatch.setattr(gates, "changes", changes)
    arguments = SimpleNamespace(name="mnist"), (OLD, NEW), "keras_tensorflow", chosen_trials([])
    for _ in range(2):
        found, kept = bisect.bisect(*arguments, Made(), tmp_path / "bisect.json", QUIET)
        assert found.sessions == min(times, bisect.ATTEMPTS)
        assert len(kept.asked) == (times == 1)
    assert asked == [(making.title(NEW), making.title(OLD))] * times
    # What one machine found says nothing of others.
    boxes = parse_all(["ssh=box1", "ssh=box2"])
    with pytest.raises(ValueError, match="machine"):
        bisect.bisect(*arguments, Made(), tmp_path / "bisect.json", QUIET, boxes)
    _, kept = bisect.bisect(*arguments, Made(), tmp_path / "hosts.json", QUIET, boxes)
    assert kept.machine == "box1, box2"
    assert measuring == [()] * times + [boxes] * max(1, times // 2)


@pytest.mark.parametrize(("word", "said"), [(Status.REGRESSED, True), (Status.EQUIVALENT, False)])
def test_the_panel_tells_what_to_ask_next(tmp_path, monkeypatch, word, said):
    """Where something changed between two local environments, and only there."""
    for name in ("old", "new"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "pyvenv.cfg").touch()
    specs = {n: f"popen//python={tmp_path / n / 'bin' / 'python'}" for n in ("old", "new")}
    monkeypatch.setattr(summary, "own", lambda: Environment("new", specs["new"]))
    plan = SimpleNamespace(environment=lambda contestant: Environment("old", specs["old"]))
    comparison = Comparison("forward[mlp-b128-cpu]", PYTORCH, "old", time_metric(0.02))
    judged = [Judged(comparison, Verdict(word))]
    found = next_steps(SimpleNamespace(plan=plan), "old", judged)
    assert bool(found) is said
    for line in found:
        assert str(tmp_path / "old") in line
    if said:
        assert found[0].endswith(" 'forward[mlp-b128-cpu]'")
    plan.environment = lambda contestant: Environment("old", "ssh=user@box")
    assert next_steps(SimpleNamespace(plan=plan), "old", judged) == []


def test_another_distribution_of_a_package_is_named_once():
    assert bisected.names((("keras", "keras-nightly 3.16"), ("numpy", "2.5.5"))) == (
        "keras-nightly 3.16, numpy 2.5.5"
    )
