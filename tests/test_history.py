"""Releases side by side: which are measured with which, and which changes are told."""

from math import log
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.commands import experiments, history
from benchmarks.commands.history import (
    beside,
    groups,
    implementation_for,
    releases_of,
    usual_rows,
)
from benchmarks.comparing.timeline import Figures, Sitting, Timeline
from benchmarks.measuring import making
from benchmarks.reporting.history import text
from mnist_models import networks

ROW = "test_train_step[mlp-b128-cpu-pytorch_eager]"
RELEASES = [f"2.{minor}.0" for minor in range(4, 12)]
QUIET = Console(quiet=True)


def timeline(releases=RELEASES, times=None, sittings=None, **more):
    """Releases whose time is a known multiple of the anchor's."""
    made = Timeline(
        package="torch",
        machine="a CPU",
        dataset="mnist",
        source="",
        releases=releases,
        pins={name: {"python": "3.12", "torch": name} for name in releases},
        rows=[ROW],
        **more,
    )
    for group in groups(made) if sittings is None else sittings:
        every = [made.anchor, *group]
        made.sittings.append(sitting(every, times or {}, made.anchor))
    return made


def sitting(names, times, anchor):
    figures = {}
    for name in names:
        ratio = times.get(name, 1.0)
        logs = [] if name == anchor else [log(ratio) + 0.002 * b for b in (-2, -1, 0, 0, 1, 2)]
        one = Figures(seconds=0.01 * ratio, logs=logs, first_calls=[0.1, 0.2, 0.3], memory=10**8)
        figures[name] = {ROW: one}
    imports = {name: [1.0, 1.5, 2.0] for name in names}
    return Sitting(began="2026-11-28 12:00", seconds=60.0, figures=figures, imports=imports)


def test_neighbours_always_have_a_session_in_common():
    made = timeline(sittings=[])
    every = groups(made)
    assert every == [RELEASES[:4], RELEASES[3:7]]
    assert timeline().measured() == RELEASES


def test_what_was_measured_is_not_measured_again():
    assert groups(timeline()) == []
    assert groups(timeline(sittings=[RELEASES[:4]])) == [RELEASES[3:7]]


def test_releases_that_cannot_be_installed_are_left_out():
    made = timeline(sittings=[], left_out={"2.5.0": "Because of that"})
    assert "2.5.0" not in {name for group in groups(made) for name in group}
    assert "left out: 2.5.0: Because of that" in text(timeline(left_out=made.left_out))


@pytest.mark.parametrize("new", RELEASES[1:])
def test_a_large_change_is_told_between_its_neighbours(new):
    """Whether a session has it in the middle, at its border, or beside the anchor."""
    times = dict.fromkeys(RELEASES[: RELEASES.index(new)], 1.1)
    [(old, found, row, ratio)] = timeline(times=times).changes()
    assert (RELEASES.index(old) + 1, found, row) == (RELEASES.index(new), new, ROW)
    assert ratio.value == pytest.approx(1 / 1.1, rel=0.01)


def test_a_release_without_figures_is_passed_over_and_tried_again():
    """The change is told between its neighbours that were measured in one session."""
    made = timeline(times=dict.fromkeys(RELEASES[:2], 1.1), sittings=[RELEASES[:4]])
    made.sittings[0].figures["2.6.0"] = {}
    [(old, new, *_)] = made.changes()
    assert (old, new) == ("2.5.0", "2.7.0")
    assert groups(made)[0] == RELEASES[:4]


def test_small_changes_are_not_told():
    times = dict.fromkeys(RELEASES[:3], 1.04)
    made = timeline(times=times)
    assert made.changes() == []
    assert "No release changed a time by 5% or more." in text(made)


def test_the_table_has_a_line_for_each_release():
    said = text(timeline(times={"2.4.0": 1.1})).splitlines()
    assert "| 2.4.0 | **1.10** |" in said
    assert "| 2.5.0 | 1.00 |" in said
    assert "| 2.11.0 | 10 ms |" in said
    assert "| 2.4.0 | 1.5 s | 200 ms | 95 MiB | python 3.12 |" in said
    assert "- torch 2.4.0 → 2.5.0, mlp training step: 0.91 [0.91, 0.91]" in said


def test_what_is_still_to_be_measured_is_said():
    said = text(timeline(sittings=[RELEASES[:4]])).splitlines()
    assert f"- not measured yet: {', '.join(RELEASES[4:-1])}" in said


def test_nothing_measured_is_said():
    assert text(timeline(sittings=[])) == "nothing was measured"


def test_releases_of_the_grid_have_their_keras_beside_them():
    found = releases_of("tensorflow", {"python": "3.12"}, [])
    assert found["2.21.0"]["keras"].startswith("3.15")
    assert {pins["python"] for pins in found.values()} == {"3.12"}
    assert [*found] == sorted(found)
    assert "torchvision" not in releases_of("torch", {"python": "3.12"}, [])["2.9.1"]


def test_of_other_packages_the_last_release_of_each_minor_version_counts(monkeypatch):
    listed = ["3.9.0", "3.9.2", "3.10.0"]
    monkeypatch.setattr(making, "releases", lambda package, python: listed)
    found = releases_of("keras", {"python": "3.12", "tensorflow": "2.18.1"}, [])
    assert found == {
        release: {"python": "3.12", "tensorflow": "2.18.1", "keras": release}
        for release in ("3.9.2", "3.10.0")
    }
    assert [*releases_of("keras", {}, ["3.10.0", "3.9.0"])] == ["3.9.0", "3.10.0"]


def test_who_runs_on_what():
    assert implementation_for("torch", {}) == "pytorch_eager"
    assert implementation_for("torch", {"keras": "3.15.1"}) == "keras_torch"
    assert implementation_for("tensorflow", {}) == "keras_tensorflow"
    assert implementation_for("keras", {"jax": "0.8.0"}) == "keras_jax"
    with pytest.raises(ValueError, match=r"keras: give its backend with one of --with torch=…"):
        implementation_for("keras", {})


def test_every_network_has_its_training_step_and_forward_pass():
    assert len(usual_rows("pytorch_eager")) == 2 * len(networks.names())
    assert ROW in usual_rows("pytorch_eager")


def test_what_stands_beside_is_checked():
    assert beside(["keras=3.15.1", "numpy==2.0"]) == {"keras": "3.15.1", "numpy": "2.0"}
    with pytest.raises(ValueError, match=r"--with keras: give a package and its version"):
        beside(["keras"])


def test_an_interrupted_history_goes_on(tmp_path, monkeypatch):
    """Each session is kept at once; another data set's file is refused."""
    measured, output = [], tmp_path / "history.json"

    def session(dataset, found, group, maker, console):
        if len(measured) == 1:
            measured.append("interrupted")
            raise KeyboardInterrupt
        measured.append(group)
        return sitting([found.anchor, *group], {}, found.anchor)

    monkeypatch.setattr(history, "sitting", session)
    monkeypatch.setattr(experiments, "machine", lambda: "a CPU")
    monkeypatch.setattr(history, "source_hash", lambda: "")
    maker = SimpleNamespace(resolves=lambda pins: "", folder="somewhere", disk=10**10)
    pins = timeline(sittings=[]).pins

    def run(name="mnist"):
        dataset = SimpleNamespace(name=name)
        return history.history(dataset, "torch", pins, [ROW], maker, output, QUIET)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(run().sittings) == 2
    assert measured == [RELEASES[:4], "interrupted", RELEASES[3:7]]
    with pytest.raises(ValueError, match="has dataset mnist, this run digits"):
        run("digits")
