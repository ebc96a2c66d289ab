"""The gate on sessions drawn from recorded ones; `python -m tools.simulation` draws thousands."""

import json
import subprocess
import sys
from dataclasses import replace
from math import exp

import numpy as np
import pytest

from benchmarks.comparing import verdicts
from benchmarks.measuring.workers import ROOT
from tools import measured, simulation
from tools.simulation import NOISES, draw, pools, simulate

GATES = 150
# So many of GATES are above 1 % by chance once in a thousand times.
FALSE_ALARMS = 7


@pytest.fixture(scope="module")
def pool():
    """What was really measured on identical code."""
    return pools()


@pytest.mark.parametrize("noise", ["as recorded", "all of these"])
def test_identical_code_is_hardly_ever_called_different(pool, noise):
    """And intervals hold the truth as often as they say, unless rounds are taken for evidence."""
    found = simulate(pool, NOISES[noise], GATES)
    assert found["false alarms"] <= FALSE_ALARMS
    assert found["coverage"] > 0.95 - 0.015
    if noise == "all of these":
        assert found["naive"] < 0.9
        assert found["suspected"] > 0


def test_without_a_confirmation_there_are_false_alarms(pool, monkeypatch):
    """Two blocks prove nothing, and the same simulation shows it."""
    monkeypatch.setattr(verdicts, "FAMILY", 0.3)
    monkeypatch.setattr(verdicts, "OUTLIERS", 0)
    for module in (verdicts, simulation):
        monkeypatch.setattr(module, "confirmation_blocks", lambda suspects: (2,))
    monkeypatch.setattr(simulation, "judge", lambda c: verdicts.judge(replace(c, suspects=1)))
    found = simulate(pool, NOISES["all of these"], GATES)
    assert found["false alarms"] > FALSE_ALARMS


def test_sessions_are_drawn_in_whole_blocks(pool):
    """Each is a recorded one, round by round: drawing rounds would hide how blocks depend."""
    drawn = draw(pool, np.arange(len(pool)), 12, 20, np.random.default_rng(5))
    for recorded, session in zip(pool, drawn, strict=True):
        cut = recorded[:, :, : session.shape[2]]
        known = {sides.tobytes() for block in cut for sides in (block, block[::-1])}
        assert all(block.tobytes() in known for block in session)


def test_doses_are_told_by_what_they_measure():
    """What is set to 5 % adds more than that, and another share on each side."""
    row = {"new": {"blocks": [0, 1], "data": [1.1, 1.3]}, "old": {"blocks": [0, 1], "data": [1, 1]}}
    assert measured.added(row, 0.05) == pytest.approx((1.1 * 1.3) ** 0.5 - 1)
    other = {"new": row["old"], "old": row["new"]}
    assert measured.added(other, -0.05) == pytest.approx(measured.added(row, 0.05))
    doses = {line.split(" | ")[0]: line for line in measured.dose_lines("detection")}
    assert doses["| 5 %"].startswith("| 5 % | 20 | 6.3% | 4.8% to 7.2% | 20 of 20 [")
    page = (measured.DOCS / "measured.md").read_text(encoding="utf-8").splitlines()
    assert {*doses.values()} <= {*page}


@pytest.mark.slow
def test_intervals_of_suspicions_lean_to_the_suspected_side():
    """As docs/comparing.md says: the screen looked extreme, or there would be no suspicion."""
    chance, held = np.random.default_rng(5), {"open": [], "refuted": []}
    for _ in range(3000):
        logs = chance.normal(0, 0.03, 30)
        new = {block: [exp(one)] for block, one in enumerate(logs)}
        old = {block: [1.0] for block in new}
        place = "step[]", "", "", verdicts.time_metric(0.02)
        screen = {block: new[block] for block in range(6)}
        every = {"open": (screen, 0), "refuted": (new, 1)}
        for kind, (blocks, suspects) in every.items():
            one = verdicts.Comparison(*place, blocks, old, 6, suspects)
            if one.suspicion and verdicts.decision(one)[0] is not True:
                found = verdicts.judge(one).ratio
                held[kind].append(found.low <= 1 <= found.high)
    assert np.mean(held["open"]) == pytest.approx(0.89, abs=0.03)
    assert np.mean(held["refuted"]) == pytest.approx(0.93, abs=0.03)


@pytest.mark.slow
def test_other_tools_sampling_runs(dataset):
    """`python -m tools.peers record` starts such processes."""
    command = [sys.executable, "-m", "tools.peers", "sample", "numpy_reference", dataset.folder]
    said = subprocess.check_output([*command, "0.1"], cwd=ROOT, text=True, timeout=300)
    found = json.loads(said.splitlines()[-1])
    assert found.keys() == {"forward", "train_step"}
    assert all(0 < one["min"] <= one["mean"] and one["samples"] for one in found.values())


@pytest.mark.parametrize(
    ("coverage", "words"), [(0.969, "at least 96.8%"), (0.94, "94.0% under `x`")]
)
def test_the_page_says_where_intervals_hold_less_than_they_promise(coverage, words):
    assert words in " ".join(measured.coverage_lines({"x": {"coverage": coverage}}))
