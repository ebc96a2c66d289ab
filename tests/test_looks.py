"""When two environments are called equal: several looks, one error."""

from dataclasses import replace
from itertools import product
from math import exp, log, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from benchmarks.comparing.ratios import centre, cut
from benchmarks.comparing.verdicts import (
    EQUAL_ERROR,
    FIRST_CALL,
    LOOK_ERROR,
    LOOKS,
    Comparison,
    Status,
    Verdict,
    blocks_to_decide,
    judge,
    looks,
    time_metric,
)
from benchmarks.measuring.session import Session

MARGIN = 0.02
EDGE = log(1 + MARGIN)
SESSIONS = 20_000


def independent(chance, size):
    return chance.normal(size=size)


def uneven(chance, size):
    """Later blocks vary three times as much as the first ones."""
    return chance.normal(size=size) * np.linspace(1, 3, size[1])


def neighbours_alike(chance, size):
    """Each block resembles the one before, with a correlation of a fifth."""
    steps = chance.normal(size=size)
    for block in range(1, size[1]):
        steps[:, block] = 0.2 * steps[:, block - 1] + sqrt(1 - 0.2**2) * steps[:, block]
    return steps


def compared(logs, suspects=0, screened=6):
    new = {block: [exp(one)] for block, one in enumerate(logs)}
    old = {block: [1.0] for block in new}
    return Comparison("step[]", "x", "y", time_metric(MARGIN), new, old, screened, suspects)


def word(logs, **more):
    return judge(compared(logs, **more)).status.value


@pytest.mark.parametrize("count", [6, 8, 13])
def test_cut_is_wilcoxons(count):
    """The error of the cut is at most what it may be, and of the next one it is more."""
    ranks = np.arange(1, count + 1)
    sums = np.array([np.dot(ranks, signs) for signs in product((0, 1), repeat=count)])
    beyond = cut(count, LOOK_ERROR)
    assert np.mean(sums <= beyond) <= LOOK_ERROR < np.mean(sums <= beyond + 1)


def test_centre_agrees_with_scipy():
    """Whatever lies within the interval is not rejected by the signed-rank test, and vice versa."""
    logs = np.random.default_rng(3).normal(0.003, 0.01, 10)
    found = centre([*logs], LOOK_ERROR)
    for shift in (log(found.low), log(found.high)):
        inside, outside = (shift * share + (1 - share) * np.median(logs) for share in (0.99, 1.01))
        assert stats.wilcoxon(logs - inside, method="exact").pvalue > 2 * LOOK_ERROR
        assert stats.wilcoxon(logs - outside, method="exact").pvalue <= 2 * LOOK_ERROR


@pytest.mark.parametrize(
    ("noise", "least", "most"),
    [(independent, 0.03, EQUAL_ERROR), (uneven, 0.03, EQUAL_ERROR), (neighbours_alike, 0.07, 0.1)],
)
def test_all_looks_together_err_as_often_as_stated(noise, least, most):
    """Log-ratios around the very edge of the margin: called equal in about 5 % at most.

    Where neighbouring blocks are alike it is more, as docs/comparing.md says.
    """
    draws = noise(np.random.default_rng(5), (SESSIONS, LOOKS[-1]))
    rejected = np.zeros(SESSIONS, bool)
    for count in LOOKS:
        seen = draws[:, :count]
        ranks = np.abs(seen).argsort(axis=1).argsort(axis=1) + 1
        rejected |= (ranks * (seen > 0)).sum(axis=1) <= cut(count, LOOK_ERROR)
    assert least < rejected.mean() <= most


@pytest.mark.parametrize(
    ("screened", "expected"),
    [(3, LOOKS), (6, LOOKS), (9, (9, 10, 13, 18)), (18, (18,)), (30, (30,))],
)
def test_equality_is_looked_at_after_the_screen_and_later(screened, expected):
    assert looks(screened) == expected


def test_all_blocks_of_a_long_screen_count():
    """Equal by the first 18 of 30 blocks, but not by all."""
    logs = [0.001, -0.001] * 9 + [0.019, 0.05] * 6
    assert word(logs[:18], screened=18) == "EQUIVALENT"
    assert word(logs, screened=30) == "INCONCLUSIVE"


def test_first_calls_are_equal_by_the_screen_alone():
    """Further blocks start fewer processes side by side."""
    logs = [0.02, -0.02, 0.3, 0.01, -0.3, 0.02, *[0.001, -0.001] * 6]
    one = compared(logs)
    for metric, blocks in ((FIRST_CALL, 6), (time_metric(0.25), 7)):
        assert judge(replace(one, metric=metric)).ratio.blocks == blocks


def test_verdict_errs_as_the_looks_do():
    """The same through `judge`: a difference of the margin, two thousand sessions."""
    logs = np.random.default_rng(8).normal(EDGE, 0.015, (2000, LOOKS[-1]))
    assert 0.02 < np.mean([word(one) == "EQUIVALENT" for one in logs]) <= 0.05


def test_a_wide_screen_is_decided_by_later_blocks():
    logs = [0.021, -0.004, 0.002, -0.002, 0.004, -0.001, *[0.003, -0.003] * 6]
    assert word(logs[:6]) == "INCONCLUSIVE"
    assert word(logs) == "EQUIVALENT"


def test_more_blocks_never_decide_less():
    """Once equal, always equal: whatever comes later was measured for others."""
    chance = np.random.default_rng(13)
    for logs in chance.normal(0.002, 0.012, (200, LOOKS[-1])):
        words = [word(logs[:count]) == "EQUIVALENT" for count in range(6, LOOKS[-1] + 1)]
        assert words == sorted(words)


def test_a_refuted_suspicion_can_end_equal():
    screen, later = [0.03, 0.03, 0.03, 0.03, 0.0, 0.0], [0.001, -0.001] * 2
    assert word([*screen, *later], suspects=1) == "INCONCLUSIVE"
    assert word([*screen, *later, *[0.001, -0.001] * 5], suspects=1) == "EQUIVALENT"


def test_an_open_suspicion_is_not_called_equal():
    screen = [0.03] * 6
    assert word([*screen, 0.0, 0.0], suspects=1) == "INCONCLUSIVE"
    assert "cut off" in judge(compared([*screen, 0.0, 0.0], suspects=1)).reason


def test_a_refuted_suspicion_is_measured_to_the_last_look_and_no_longer():
    screen = [0.03, 0.03, 0.03, 0.03, 0.0, 0.0]
    for blocks, more in ((10, 13), (17, 18), (18, None)):
        one = compared([*screen, *[0.001, -0.001] * 6][:blocks], suspects=1)
        narrow = replace(centre([*one.between(0, 10).values()], LOOK_ERROR), value=1.0, spread=0.01)
        assert blocks_to_decide(Verdict(Status.INCONCLUSIVE, narrow), one) == more


def test_heavy_load_is_not_waited_out():
    """Further blocks do not make the disturbed ones fewer."""
    row = replace(compared([0.0, 0.001] * 3), foreign=dict.fromkeys(range(2), 0.3))
    assert judge(row).status.value == "CONTAMINATED"
    assert blocks_to_decide(judge(row), row) is None


@pytest.mark.parametrize(
    ("records", "first"),
    [
        ([{"block": 5}], 6),
        ([{"block": 5}, {"confirmation": {"suspects": 0, "blocks": 0}}], 6),
        ([{"block": 5}, {"confirmation": {"suspects": 1, "blocks": 14}}, {"block": 12}], 20),
        ([{"block": 5}, {"confirmation": {"suspects": 1, "blocks": 14}}, {"block": 21}], 21),
    ],
)
def test_deciding_begins_after_the_confirmation(records, first):
    session = Session.__new__(Session)
    session.plan, session.journal = SimpleNamespace(blocks=6), SimpleNamespace(records=records)
    assert session.first_deciding() == first


@pytest.mark.parametrize(
    ("logs", "reason"),
    [
        ([-0.09, 0.05, 0.01, 0.0, -0.01, 0.02], "differs by at most 9.4%"),  # no look comes so late
        (
            [0.022, -0.01, 0.01, 0.0, -0.004, 0.003],
            "differs by at most 2.2%; about 7 blocks would decide it",
        ),
        (
            [*[0.0195] * 5, 0.09, *[0.03, 0.028] * 6],
            "differs by 2.4% to 3.0%, which the first blocks did not show",
        ),
        (
            [0.021, 0.0, 0.0, -0.001, 0.0, 0.001, 0.021, 0.0, 0.0005],
            "differs by at most 1.1%, but equality is tested only after fixed numbers of blocks; "
            "about 10 blocks would decide it",
        ),
    ],
)
def test_what_is_undecided_says_by_how_much_it_differs(logs, reason):
    assert judge(compared(logs)).reason == reason
