"""What the words rest on: screen and confirmation, saved runs, drift, baselines. Numbers alone."""

import json
import shlex
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from math import inf, log, nan
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from benchmarks.__main__ import main
from benchmarks.comparing import baseline, verdicts
from benchmarks.comparing.machines import cpu_name
from benchmarks.comparing.ratios import Ratio, of_logs, ratio
from benchmarks.comparing.records import Judged, compare, judge_all
from benchmarks.comparing.saved import RunError, compare_runs, confirm_command
from benchmarks.comparing.verdicts import (
    ACCURACY,
    FAMILY,
    FIRST_CALL,
    FOREIGN,
    OUTLIERS,
    PEAK_MEMORY,
    UNDECIDED,
    Comparison,
    Status,
    Verdict,
    confirmation_blocks,
    confirmation_rounds,
    decision,
    detectable,
    direction,
    equal,
    judge,
    parse_margin,
    power,
    round_spread,
    time_metric,
)
from benchmarks.measuring.dealing import Dealer
from benchmarks.measuring.environments import STEADY, Environment, steady
from benchmarks.measuring.pool import same_bursts
from benchmarks.measuring.results import Results
from benchmarks.measuring.session import Session, failures
from benchmarks.measuring.workers import ROOT
from benchmarks.reporting.verdict_panel import change, exit_status, headline, markdown
from benchmarks.trial import Trial
from mnist_models import recipe
from mnist_models.implementations import PAIR
from tests.test_statistics import BAD_PARITY, SMOOTH, make_plan, make_results
from tools.pages import recorded as recorded_run

KERAS, PYTORCH = PAIR
REFERENCE = "numpy_reference"
MARGIN = 0.02
METRIC = time_metric(MARGIN)
EQUAL = [1.0] * 6
SLOWER = [1.3] * 6
MANY = (*range(1, 31), 100)


def compared(screen, confirmation=(), suspects=None, metric=METRIC, old=1.0, **more):
    """A comparison with these ratios in the blocks of the screen and of the confirmation."""
    every = [*screen, *confirmation]
    suspects = bool(len(confirmation)) if suspects is None else suspects
    sides = [{b: [r * old] for b, r in enumerate(every)}, {b: [old] for b in range(len(every))}]
    place = "train_step[mlp-b128-cpu]", PYTORCH, "older"
    return Comparison(*place, metric, *sides, len(screen), int(suspects), **more)


def mirrored(comparison):
    """The same with new and old exchanged."""
    place = comparison.trial, comparison.implementation, comparison.environment, comparison.metric
    stages = comparison.screened, comparison.suspects, comparison.foreign
    return Comparison(*place, comparison.old, comparison.new, *stages)


def word(*arguments, **more):
    return judge(compared(*arguments, **more)).status


# Bursts


def test_environments_of_an_implementation_do_equal_bursts():
    """Others keep their own length, and who failed has none."""
    counts = {PYTORCH: 6, f"{PYTORCH}@older": 3, f"{PYTORCH}@oldest": 5, KERAS: 9}
    entries = {name: {"iterations": count} for name, count in counts.items()}
    entries[f"{KERAS}@older"] = {"error": "died"}
    same_bursts(entries)
    assert [entry.get("iterations") for entry in entries.values()] == [5, 5, 5, 9, None]


# How many blocks confirm


@pytest.mark.parametrize(
    ("suspects", "blocks"),
    [(1, (7, 12, 17, 24)), (2, (8, 13, 20, 24)), (4, (9, 15, 19, 23)), (24, (12, 17, 21, 26))],
)
def test_numbers_of_confirming_blocks(suspects, blocks):
    assert confirmation_blocks(suspects) == blocks


def test_documented_numbers_are_these():
    """Each row of the table in docs/comparing.md."""
    text = (ROOT / "docs" / "comparing.md").read_text(encoding="utf-8")
    _, _, rows = text.partition("| suspects | none contradicts |")[2].partition("|---|\n")
    table = [
        [*map(int, row.strip("|").split("|"))] for row in rows.partition("\n\n")[0].splitlines()
    ]
    assert len(table) > 3
    assert all(confirmation_blocks(suspects) == tuple(ends) for suspects, *ends in table)


def coins_that_confirm(ends):
    """The share of all sequences of fair coins that a confirmation of these ends falls for."""
    open_paths, found = {0: 1}, Fraction(0)
    for blocks in range(1, ends[-1] + 1):
        paths = Counter()
        for against, many in open_paths.items():
            paths[against] += many
            paths[against + 1] += many
        found += sum(
            Fraction(paths.pop(k, 0), 2**blocks) for k, n in enumerate(ends) if n == blocks
        )
        open_paths = {against: many for against, many in paths.items() if against < len(ends)}
    return found


@pytest.mark.parametrize("suspects", MANY)
def test_confirming_blocks_keep_the_family_wise_rate(suspects):
    """By counting coins: all of them together at most FAMILY; one block less anywhere is not."""
    ends = confirmation_blocks(suspects)
    assert len(ends) == OUTLIERS + 1
    assert suspects * coins_that_confirm(ends) <= FAMILY
    for k in range(len(ends)):
        sooner = (*ends[:k], ends[k] - 1)
        if len(set(sooner)) == len(sooner):
            assert suspects * coins_that_confirm(sooner) > FAMILY


@pytest.mark.parametrize("suspects", MANY)
def test_confirmed_interval_is_that_of_the_level_and_misses_in_one_of_twenty(suspects):
    """Wherever a confirmation may end, all its ends together; and it never touches the margin."""
    outside, level = 0.0, FAMILY / suspects
    for against, blocks in enumerate(confirmation_blocks(suspects)):
        told = np.linspace(1.2, 1.4, blocks)
        told[:against] -= 0.5
        found = judge(compared(SLOWER, told, suspects))
        assert (found.status, found.ratio.blocks) == (Status.REGRESSED, blocks)
        assert found.ratio.low > 1 + MARGIN
        below, above = (told < found.ratio.low - 1e-9).sum(), (told > found.ratio.high + 1e-9).sum()
        assert below == above
        assert (
            stats.binom.cdf(below, blocks, 0.5) <= level < stats.binom.cdf(below + 1, blocks, 0.5)
        )
        outside += 2 * stats.binom.cdf(below, blocks, 0.5)
    assert outside <= 0.05


def test_power_is_what_sequences_of_blocks_show():
    """By drawing them."""
    ends = confirmation_blocks(2)
    drawn = np.random.default_rng(8).random((4000, ends[-1])) < 0.9
    found = [decision(compared(SLOWER, np.where(row, 1.3, 1.0), 2))[0] for row in drawn[:400]]
    assert np.mean([one is True for one in found]) == pytest.approx(power(ends, 0.9), abs=0.06)
    assert power(ends, 1.0) == 1
    assert power(ends, 0.5) <= FAMILY / 2


@pytest.mark.parametrize(
    ("spread", "rounds"), [(0.001, 20), (0.03, 20), (0.04, 25), (0.05, 39), (0.2, 40)]
)
def test_noisy_rounds_make_longer_confirming_blocks(spread, rounds):
    """The error of a median of n is the spread times √(π / 2n); it shall be 1 %."""
    random = np.random.default_rng(3)
    noise = random.normal(0, spread, (6, 4001))
    new = {block: np.exp(logs).tolist() for block, logs in enumerate(noise)}
    quiet, noisy = compared(SLOWER), replace(compared(SLOWER), new=new, old=old_of(new))
    assert confirmation_rounds([quiet, noisy], 20) == pytest.approx(rounds, abs=2)
    assert confirmation_rounds([quiet], 20) == 20


def old_of(new):
    """Samples of one second beside these."""
    return {block: [1.0] * len(samples) for block, samples in new.items()}


def test_eight_blocks_can_never_pass_a_bonferroni_over_24():
    """2⁻⁸ is above 0.05 / 24, two-sided and even one-sided, with no block out of line."""
    assert 2**-8 > 0.05 / 24
    found = ratio({b: [9.0] for b in range(8)}, {b: [1.0] for b in range(8)}, 1 - 2 * 0.05 / 24)
    assert (found.low, found.high) == (None, None)
    assert confirmation_blocks(24)[0] > 8


# Words


@pytest.mark.parametrize(
    ("screen", "confirmation", "expected", "reason"),
    [
        (SLOWER, [1.3] * 11, "REGRESSED", ""),
        (SLOWER, [1.3] * 10 + [0.5], "REGRESSED", ""),
        (SLOWER, [1.3] * 7, "REGRESSED", ""),
        (SLOWER, [1.0] * 2 + [1.3] * 15, "REGRESSED", ""),
        (SLOWER, [1.0] * 4, "INCONCLUSIVE", "not confirmed: 4 of 4 new blocks contradict"),
        (SLOWER, [1.0] * 3 + [1.3] * 3 + [1.0], "INCONCLUSIVE", "4 of 7 new blocks contradict"),
        (SLOWER, [1.3] * 6 + [1.0] * 4, "INCONCLUSIVE", "not confirmed"),
        ([0.7] * 6, [0.7] * 11, "IMPROVED", ""),
        ([0.7] * 6, [0.7] * 10 + [2.0], "IMPROVED", ""),
        (EQUAL, (), "EQUIVALENT", ""),
        ([0.99, 1.01] * 3, (), "EQUIVALENT", ""),
        ([1.021] * 6, [1.0] * 4, "INCONCLUSIVE", "not confirmed"),
        ([1.0, 1.0, 1.03, 1.03, 1.03, 1.03], [1.0] * 5, "INCONCLUSIVE", "not confirmed"),
        (SLOWER, [0.7] * 11, "INCONCLUSIVE", "not confirmed"),
        ([0.7] * 6, [1.3] * 11, "INCONCLUSIVE", "not confirmed"),
        ([0.9, 1.1] * 3, (), "INCONCLUSIVE", "differs by at most 11.1%"),
        (EQUAL[:5], (), "INCONCLUSIVE", "5 blocks are too few"),
        (SLOWER[:1], (), "INCONCLUSIVE", "1 blocks are too few"),
        (SLOWER, (), "INCONCLUSIVE", "its confirmation was not measured"),
        (SLOWER, [1.3] * 6, "INCONCLUSIVE", "cut off after 6 new blocks, of 7 to 24"),
        (SLOWER, [1.0] + [1.3] * 10, "INCONCLUSIVE", "cut off after 11 new blocks, of 7 to 24"),
    ],
)
def test_words(screen, confirmation, expected, reason):
    found = judge(compared(screen, confirmation))
    assert found.status == expected
    assert reason in found.reason
    assert bool(found.reason) == (found.status in UNDECIDED)


def test_lost_confirmation_is_no_verdict():
    """Confirmed were others, or it was cut off before its first block."""
    found = judge(compared(SLOWER, suspects=3))
    assert found.status is Status.INCONCLUSIVE
    assert "its confirmation was not measured" in found.reason


@pytest.mark.parametrize("value", [nan, 0.0, -1.0, inf])
@pytest.mark.parametrize("side", ["new", "old"])
@pytest.mark.parametrize("block", [0, 8], ids=["screen", "confirmation"])
def test_what_is_no_measurement_is_not_comparable(value, side, block):
    """One bad sample among good ones is enough, wherever it is; never a pass, never a warning."""
    comparison = compared(SLOWER, [1.3] * 11)
    getattr(comparison, side)[block].append(value)
    found = judge(comparison)
    assert found.status is Status.NOT_COMPARABLE
    assert str(value) in found.reason
    assert ("here" if side == "new" else "older") in found.reason
    assert comparison.suspicion == 0


def test_nothing_measured_is_not_comparable():
    place = "forward[mlp-b128-cpu]", PYTORCH, "older", METRIC
    for new, old, reason in (
        ({}, {0: [1.0]}, "nothing was measured (here)"),
        ({0: [1.0]}, {}, "nothing was measured (older)"),
        ({0: []}, {0: [1.0]}, "nothing was measured (here)"),
        ({0: [1.0]}, {1: [1.0]}, "no block in common"),
    ):
        found = judge(Comparison(*place, new, old, screened=6))
        assert (found.status, found.reason) == (Status.NOT_COMPARABLE, reason)


def test_a_reason_is_not_comparable_whatever_was_measured():
    comparison = compared(SLOWER, [1.3] * 11, reason="void here")
    assert judge(comparison) == Verdict(Status.NOT_COMPARABLE, reason="void here")
    assert comparison.suspicion == 0


# Contamination


def shares(blocks, of=17):
    """A foreign share above the limit in these blocks."""
    return {block: FOREIGN + 0.01 if block in blocks else 0.0 for block in range(of)}


@pytest.mark.parametrize(
    ("screen", "confirmation", "disturbed", "expected"),
    [
        ([0.9, 1.1] * 3, (), (1, 2), "CONTAMINATED"),
        ([0.9, 1.1] * 3, (), (1,), "INCONCLUSIVE"),
        (SLOWER, (), (1, 2), "CONTAMINATED"),
        (SLOWER, [1.3] * 11, (0, 5), "CONTAMINATED"),
        (SLOWER, [1.3] * 11, (8, 9), "CONTAMINATED"),
        (SLOWER, [1.3] * 11, (5, 9), "REGRESSED"),
        (SLOWER, [1.3] * 11, (9,), "REGRESSED"),
        ([0.7] * 6, [0.7] * 11, range(6, 17), "CONTAMINATED"),
        (EQUAL, (), range(6), "EQUIVALENT"),
        (SLOWER, [1.3] * 7 + [1.0], (9, 13), "REGRESSED"),
        (SLOWER, [1.0] * 4, (6, 7), "CONTAMINATED"),
    ],
)
def test_disturbed_blocks_speak_for_nothing_but_equality(screen, confirmation, disturbed, expected):
    """Others can make equal ones look different; they hardly make different ones look equal."""
    found = judge(compared(screen, confirmation, foreign=shares(disturbed)))
    assert found.status == expected
    if found.status is Status.CONTAMINATED:
        count = len(set(disturbed) & set(range(6) if max(disturbed) < 6 else range(6, 13)))
        assert f"in {count} of" in found.reason


def test_heavy_load_makes_different_ones_look_equal():
    """Two bursts of 10 ms and 10.3 ms that lose 4 ms each are 2.1 % apart, not 3 %."""
    for share, expected in ((0.2, "EQUIVALENT"), (0.3, "CONTAMINATED")):
        foreign = dict.fromkeys(range(6), share)
        assert judge(compared(EQUAL, foreign=foreign)).status == expected


def test_a_disturbed_screen_suspects_nothing():
    """What is looked at again is no matter of others' work."""
    assert compared(SLOWER).suspicion == 1
    assert compared(SLOWER, foreign=shares((1, 2))).suspicion == 0


def test_limit_of_disturbance_and_unknown_shares():
    """A share at the limit is none above it; where nobody could tell, nobody is accused."""
    wide = [0.9, 1.1] * 3
    assert word(wide, foreign=dict.fromkeys(range(6), FOREIGN)) == "INCONCLUSIVE"
    assert word(wide, foreign=dict.fromkeys(range(6), None)) == "INCONCLUSIVE"
    assert word(wide, foreign={}) == "INCONCLUSIVE"


# Margins


ABOVE, BELOW = np.nextafter(1 + MARGIN, 2), np.nextafter(1 / (1 + MARGIN), 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1 + MARGIN, 0), (ABOVE, 1), (1 / (1 + MARGIN), 0), (BELOW, -1), (nan, 0), (inf, 0)],
)
def test_margins_are_exact(value, expected):
    """A ratio at the margin is within it."""
    assert direction(value, {0: [1.0]}, METRIC) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1 / (1 + MARGIN), 1 + MARGIN, True),
        (1 / (1 + MARGIN), ABOVE, False),
        (BELOW, 1 + MARGIN, False),
    ],
)
def test_interval_that_ends_at_the_margin_is_within_it(low, high, expected):
    comparison = compared(EQUAL)
    assert equal(Ratio(1.0, low, high, 6), comparison) is expected


def test_new_and_old_are_mirrors():
    """Exchanging them exchanges REGRESSED and IMPROVED and inverts the interval, no more."""
    random = np.random.default_rng(7)
    other = {Status.REGRESSED: Status.IMPROVED, Status.IMPROVED: Status.REGRESSED}
    seen = set()
    for center in (0.7, 0.98, 1.0, 1.02, 1.3):
        for spread in (0.001, 0.1):
            logs = log(center) + random.normal(0, spread, 17)
            comparison = compared(np.exp(logs[:6]), np.exp(logs[6:]))
            here, there = judge(comparison), judge(mirrored(comparison))
            seen.add(here.status)
            assert there.status == other.get(here.status, here.status)
            ends = 1 / here.ratio.value, 1 / here.ratio.high, 1 / here.ratio.low
            assert (there.ratio.value, there.ratio.low, there.ratio.high) == pytest.approx(ends)
            assert comparison.suspicion == -mirrored(comparison).suspicion
    assert {*other, Status.EQUIVALENT, Status.INCONCLUSIVE} <= seen


@pytest.mark.parametrize(
    ("metric", "old", "factor", "expected"),
    [
        (FIRST_CALL, 0.01, 4.0, "EQUIVALENT"),
        (FIRST_CALL, 0.01, 7.0, "REGRESSED"),
        (FIRST_CALL, 0.01, 1 / 4, "EQUIVALENT"),
        (FIRST_CALL, 10.0, 1.2, "EQUIVALENT"),
        (FIRST_CALL, 10.0, 1.3, "REGRESSED"),
        (FIRST_CALL, 10.0, 1 / 1.3, "IMPROVED"),
        (PEAK_MEMORY, 100 * 2**20, 1.15, "EQUIVALENT"),
        (PEAK_MEMORY, 100 * 2**20, 1.17, "REGRESSED"),
        (PEAK_MEMORY, 1000 * 2**20, 1.04, "EQUIVALENT"),
        (PEAK_MEMORY, 1000 * 2**20, 1.06, "REGRESSED"),
        (PEAK_MEMORY, 1000 * 2**20, 1 / 1.06, "IMPROVED"),
    ],
)
def test_first_calls_and_memory_need_both_a_share_and_an_amount(metric, old, factor, expected):
    """Milliseconds of a file cache and one step of an allocator are no regression."""
    assert word([factor] * 6, [factor] * 11, metric=metric, old=old) == expected


def test_suspicion_is_a_matter_of_the_screen_alone():
    """That the old side was another one in the confirmation makes no suspect, and unmakes none."""
    for screened, later in ((0.01, 10.0), (10.0, 0.01)):
        comparison = compared([1.3] * 6, metric=FIRST_CALL, old=screened)
        alone = comparison.suspicion
        again = compared([1.3] * 6, [1.3] * 11, metric=FIRST_CALL, old=screened)
        for block in range(6, 17):
            again.new[block], again.old[block] = [1.3 * later], [later]
        assert again.suspicion == alone == int(screened > 1)


# Two stages


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5])
def test_one_stage_alone_never_calls_a_change(factor):
    """Seen in the screen and gone in the confirmation is gone; unseen in the screen is unasked."""
    calls = Status.REGRESSED, Status.IMPROVED
    assert word([factor] * 6, EQUAL + EQUAL[:5]) not in calls
    assert word(EQUAL, [factor] * 11) not in calls
    assert word([factor] * 30, ()) not in calls


def test_screen_does_not_enter_the_confirmed_interval():
    """The samples that raised the suspicion are no evidence for it."""
    random = np.random.default_rng(1)
    confirmation = random.uniform(1.2, 1.4, 11)
    intervals = {
        (found.ratio.value, found.ratio.low, found.ratio.high, found.ratio.blocks, found.detectable)
        for screen in ([1.1] * 6, [9.0] * 6, [1.05, 50.0] * 10)
        for found in [judge(compared(screen, confirmation))]
    }
    [(value, low, _, blocks, _)] = intervals
    counted = confirmation[:7]  # as many as confirm one suspect
    assert (value, low) == (
        pytest.approx(np.exp(np.median(np.log(counted)))),
        pytest.approx(counted.min()),
    )
    assert blocks == 7


def test_confirmed_together_needs_more_than_confirmed_alone():
    """What seven blocks show of one suspect they do not show of one in five."""
    assert word(SLOWER, [1.3] * 7, suspects=1) == "REGRESSED"
    assert word(SLOWER, [1.3] * 7, suspects=5) == "INCONCLUSIVE"
    assert word(SLOWER, [1.3] * 9, suspects=5) == "REGRESSED"


@pytest.mark.parametrize("suspects", [1, 2, 5, 24])
def test_nothing_undoes_a_decision(suspects):
    """Block by block, however others go on; it falls where its blocks suffice, never later."""
    random, ends = np.random.default_rng(suspects), confirmation_blocks(suspects)
    for share in (0.05, 0.5, 0.95):
        for _ in range(10):
            agrees = random.random(ends[-1] + 3) < share
            found = [
                decision(compared(SLOWER, np.where(agrees[:n], 1.3, 1.0), suspects))[0]
                for n in range(1, len(agrees) + 1)
            ]
            against = (~agrees).cumsum()
            confirmed = [ends[k] for k in range(OUTLIERS + 1) if against[ends[k] - 1] == k]
            refuted = [*np.flatnonzero(against > OUTLIERS) + 1]
            first = min(confirmed + refuted)
            assert found[: first - 1] == [None] * (first - 1)
            assert set(found[first - 1 :]) == {first in confirmed}


def test_contradicting_blocks_make_it_longer_until_they_refute():
    """Eight, thirteen, twenty and twenty-four blocks with none to three that contradict."""
    for against, blocks in enumerate(confirmation_blocks(2)):
        told = [1.0] * against + [1.3] * (blocks - against)
        assert decision(compared(SLOWER, told[:-1], 2)) == (None, 6 + blocks - 1)
        assert decision(compared(SLOWER, told, 2)) == (True, 6 + blocks)
    assert decision(compared(SLOWER, [1.0] * 4, 2)) == (False, 10)


def test_blocks_after_a_decision_change_nothing():
    """They were measured for another suspect: neither word, interval nor reason may move."""
    disturbed = dict.fromkeys((9, 13), 0.5)
    for confirmation in ([1.3] * 7, [1.0] * 4):
        alone = judge(compared(SLOWER, confirmation, foreign=disturbed))
        for later in ([1.0] * 7, [1.3] * 7, [0.5] * 7):
            assert judge(compared(SLOWER, confirmation + later, foreign=disturbed)) == alone


@pytest.mark.parametrize(("metric", "unit"), [(FIRST_CALL, 0.185), (PEAK_MEMORY, 60 * 2**20)])
def test_each_block_is_held_against_its_own_amount(metric, unit):
    """What counts as a change in seconds or bytes must not depend on what other blocks took."""
    screen = compared([1.3] * 6, [1.265] * 11, 1, metric, unit)
    for block in range(6, 17):
        scale = (1.0, 1.06)[block % 2]
        screen.new[block], screen.old[block] = [1.265 * unit * scale], [unit * scale]
    told = [
        direction(1.265, {block: screen.old[block]}, metric) for block in sorted(screen.old)[6:]
    ]
    assert {*told} == {0, 1}
    assert decision(screen) == (False, 6 + [i for i, one in enumerate(told) if not one][3] + 1)


# What could have been seen


def confirmed(logs, ends):
    """Which rows of log-ratios confirm that something got slower, by the number of blocks alone."""
    against = (logs <= log(1 + MARGIN)).cumsum(axis=1)
    return np.any([against[:, end - 1] <= k for k, end in enumerate(ends)], axis=0)


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.1])
def test_detectable_grows_from_the_margin_with_the_spread(margin):
    place = compared(EQUAL, metric=time_metric(margin))
    found = [detectable(spread, place, 6) for spread in (0, 0.01, 0.02, 0.05)]
    assert found[0] == pytest.approx(margin)
    assert found == sorted(set(found))


@pytest.mark.parametrize("blocks", [3, 6, 18])
def test_detectable_is_found_nine_times_in_ten(blocks):
    """By sessions that know the spread of normal noise from so many blocks only."""
    chance, ends, one = np.random.default_rng(5), confirmation_blocks(2), 0.001
    found = detectable(one, compared(EQUAL, suspects=1), blocks)  # it would be the second
    assert found == detectable(one, compared(SLOWER, suspects=2), blocks)
    times = (log(1 + found) - log(1 + MARGIN)) / one
    seen = chance.normal(0, 0.02, (20_000, blocks)).std(axis=1, ddof=1)
    true = log(1 + MARGIN) + times * seen
    logs = chance.normal(true[:, None], 0.02, (20_000, ends[-1]))
    assert confirmed(logs, ends).mean() == pytest.approx(verdicts.POWER, abs=0.01)


def test_spikes_leave_the_spread_of_rounds_alone():
    """One sample in twenty takes five times as long: a block's median hardly notices."""
    chance = np.random.default_rng(5)
    old = {block: np.exp(chance.normal(0, 0.01, 40)).tolist() for block in range(6)}
    spiky = {b: [s * (5 if i % 20 == 0 else 1) for i, s in enumerate(v)] for b, v in old.items()}
    ones = {block: [1.0] * 40 for block in old}
    quiet = round_spread(old, ones)
    assert quiet == pytest.approx(0.01, rel=0.2)
    assert round_spread(spiky, ones) == pytest.approx(quiet, rel=0.2)


def test_one_block_does_not_know_what_it_could_have_seen():
    """Its spread is unknown, not zero."""
    assert judge(compared([1.0])).detectable is None
    assert judge(compared([1.0, 1.01])).detectable > MARGIN


def test_only_blocks_of_both_sides_are_disturbed():
    """Another environment is confirmed: this one goes on, and so do its other programs."""
    for screen in (EQUAL, [0.95, 1.06, 0.97, 1.04, 0.99, 1.05]):
        alone = judge(compared(screen))
        more = compared(screen, foreign=shares((7, 8)))
        more.new.update({block: [1.0] for block in range(6, 15)})
        assert judge(more) == alone


def test_confirming_blocks_are_counted_not_their_numbers():
    one = compared(SLOWER, suspects=1)
    for block in (7, 9, 11, 13):
        one.new[block], one.old[block] = [1.0], [1.0]
    assert judge(one).reason.endswith("4 of 4 new blocks contradict")


def test_no_block_of_the_screen_is_no_equality():
    one = compared([1.0] * 6, [1.0] * 6, 0)
    for block in range(6):
        del one.old[block]
    assert judge(one).status is Status.INCONCLUSIVE


def test_no_further_block_decides_a_first_call():
    """They are judged by the screen alone."""
    one = compared([0.7, 1.4, 0.8, 1.3, 0.9, 1.2], metric=FIRST_CALL, old=1.0)
    assert judge(one).status is Status.INCONCLUSIVE
    assert "would decide" not in judge(one).reason


def test_a_large_change_is_a_factor():
    assert [*map(change, (0.031, 0.999, 1.0, 56.41))] == ["3.1%", "99.9%", "2×", "57.4×"]


# Margins in words, exit statuses


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.02", 0.02), ("0", 0), ("99%", 0.99)])
def test_margins_are_read(text, share):
    assert parse_margin(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "2 %%", "two", "-1%", "nan", "inf", "100%", "1", "2"])
def test_wrong_margins_are_refused(text):
    with pytest.raises(ValueError, match=r"--margin .*: must be from 0% to below 100%"):
        parse_margin(text)


def judged(*words):
    return [Judged(compared(EQUAL), Verdict(Status(one))) for one in words]


@pytest.mark.parametrize(
    ("words", "plain", "failing", "strict", "both"),
    [
        ([], 11, 11, 11, 11),
        (["NOT COMPARABLE"], 11, 11, 11, 11),
        (["NOT COMPARABLE"] * 2, 11, 11, 11, 11),
        (["EQUIVALENT", "IMPROVED"], 0, 0, 0, 0),
        (["EQUIVALENT", "NOT COMPARABLE"], 0, 11, 10, 11),
        (["EQUIVALENT", "INCONCLUSIVE"], 0, 0, 10, 10),
        (["EQUIVALENT", "CONTAMINATED"], 0, 0, 10, 10),
        (["SUSPECT"], 0, 0, 10, 10),
        (["EQUIVALENT", "REGRESSED"], 0, 1, 0, 1),
        (["INCONCLUSIVE", "REGRESSED", "NOT COMPARABLE"], 0, 1, 10, 1),
    ],
)
def test_exit_statuses(words, plain, failing, strict, both):
    """11 where nothing could be compared, 1 for a regression, 10 for the undecided if asked."""
    assert exit_status([judged(*words)], None, False) == plain
    assert exit_status([judged(*words)], "regression", False) == failing
    assert exit_status([judged(*words)], None, True) == strict
    assert exit_status([judged(*words)], "regression", True) == both


def test_each_baseline_must_have_something_to_compare():
    """One that works is no excuse for one that does not."""
    assert exit_status([judged("EQUIVALENT"), judged("NOT COMPARABLE")], None, False) == 11
    assert exit_status([judged("EQUIVALENT"), []], None, False) == 11


def test_a_confirmation_that_is_cut_off_says_nothing():
    """Judging it where it was cut off, and again after --resume, would be two looks."""
    assert judge(compared([1.1] * 6, [1.1] * 8, suspects=2)).status is Status.REGRESSED
    found = judge(compared([1.1] * 6, [1.1] * 7, suspects=2))
    assert (found.status, found.reason) == (
        Status.INCONCLUSIVE,
        "suspected; its confirmation was cut off after 7 new blocks, of 8 to 24",
    )


def test_every_word_is_either_decided_or_not():
    """A word that is added must be given a place."""
    assert {*Status} - {*UNDECIDED} == {Status.REGRESSED, Status.IMPROVED, Status.EQUIVALENT}


def test_headline_and_markdown():
    """Every word is counted, and nothing that a name holds breaks the table."""
    every = judged("EQUIVALENT", "REGRESSED", "EQUIVALENT")
    every += [Judged(compared(EQUAL), Verdict(Status.NOT_COMPARABLE, reason="a|b\n<c>"))]
    text = markdown(every, "against x", ["note"])
    assert headline(every) == "1 REGRESSED, 2 EQUIVALENT, 1 NOT COMPARABLE"
    assert headline([]) == "nothing compared"
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(every)
    assert {row.replace("\\|", "").count("|") for row in rows} == {8}
    assert "REGRESSED" in rows[2]
    assert "a\\|b &lt;c>" in rows[-1]


# Saved rows


def misread(images):
    """Test images as they are saved: each is a 7 that was taken for a 1."""
    return [[image, 7, 1] for image in images]


def record(trial, implementation, blocks, session="a", screened=6, suspects=0, **more):
    """A row as it is saved: `blocks` are lists of seconds; `more` goes into its extra_info."""
    operation = trial.split("[")[0]
    info = {
        "schema": 1,
        "session": session,
        "trial": trial,
        "operation": operation,
        "architecture": "mlp",
        "batch_size": 128,
        "device": "cpu",
        "implementation": implementation,
        "versions": {},
        "python": "3.12.1",
        "parity": {},
        "in_force": {
            "threads": 1,
            "precision": "float32",
            "compilation": "none",
            "environment": {},
        },
        "recipe": {"optimizer": "Adam", "batch_size": 128},
        "dataset": {"name": "mnist", "sha256": "0" * 64},
        "blocks": [block for block, found in enumerate(blocks) for _ in found],
        "first_call_seconds": [1.0 for _ in blocks],
        "peak_memory_bytes": 10**9,
        "peak_memory_bytes_by_block": [10**9 for _ in blocks],
        "foreign_cpu": {str(block): 0.0 for block in range(len(blocks))},
        "screened_blocks": screened,
        "suspects": suspects,
        "accuracy": 0.96,
        "accuracy_bounds": [0.94, 0.98],
        "misread": misread(range(400)),
    }
    name = f"test_{trial[:-1]}-{implementation}]"
    return {
        "name": name,
        "extra_info": info | more,
        "stats": {"data": list(chain.from_iterable(blocks))},
    }


STEP, FORWARD, EPOCH = (f"{kind}[mlp-b128-cpu]" for kind in ("train_step", "forward", "epoch"))
MACHINE = {"cpu": {"brand_raw": "Abacus 9", "count": 2}}


def measured(seconds, reference=1.0, session="a", spread=0.001, trial=STEP, **more):
    """A saved run of PyTorch and the NumPy reference, six blocks of five rounds."""
    random = np.random.default_rng(len(session) + ord(session[0]))
    pace = random.uniform(1, 1.01, (6, 5))  # which both see
    noise = np.exp(random.normal(0, spread, (6, 1)))
    rows = [record(trial, PYTORCH, (seconds * pace * noise).tolist(), session, **more)]
    if reference:
        rows.append(record(trial, REFERENCE, (reference * pace).tolist(), session, **more))
    return {"machine_info": MACHINE, "datetime": "2026-11-20T10:00:00", "benchmarks": rows}


def across(old, new, margin=MARGIN):
    """The one verdict on two runs of different times."""
    [one] = compare_runs(old, new, "0001_older", margin)
    return one.verdict


def test_the_reference_itself_is_not_judged():
    """It is what the others are held against, however much slower it got."""
    old, new = measured(1.0), measured(1.0, 1.3, "b")
    for run in (old, new):
        run["benchmarks"] = [row for row in run["benchmarks"] if REFERENCE in row["name"]]
    [one] = compare_runs(old, new, "0001_older", MARGIN)
    assert one.verdict.status is Status.INCONCLUSIVE
    assert "drift is measured by" in one.verdict.reason


def test_drift_of_the_machine_is_no_change():
    """All that was measured got 1.3 times slower, NumPy as well: so did the machine."""
    found = across(measured(1.0), measured(1.3, 1.3, "b"))
    assert found.status is Status.EQUIVALENT
    assert found.ratio.value == pytest.approx(1, abs=0.01)
    noisy = across(measured(1.0, spread=0.1), measured(1.3, 1.3, "b", spread=0.1))
    assert noisy.status is Status.INCONCLUSIVE
    assert noisy.ratio.low < 1 < noisy.ratio.high


@pytest.mark.parametrize("factor", [1.3, 1 / 1.3])
def test_change_against_the_reference_is_a_suspect(factor):
    """And never more than that, whatever the interval."""
    old, new = measured(1.0), measured(factor, session="b")
    [one] = compare_runs(old, new, "0001_older", MARGIN)
    assert one.verdict.status is Status.SUSPECT
    assert one.verdict.ratio.value == pytest.approx(factor, rel=0.01)
    assert ("slower" if factor > 1 else "faster") in one.verdict.reason
    command = confirm_command([one], "older")
    assert command.startswith("pytest benchmarks ")
    assert "--baseline" in command
    for part in ("train_step", f"--implementation {PYTORCH}", "--architecture mlp"):
        assert part in command
    assert exit_status([[one]], "regression", False) == 0


def test_without_suspects_there_is_nothing_to_confirm():
    assert (
        confirm_command(compare_runs(measured(1), measured(1, session="b"), "o", 0.02), "o") == ""
    )


@pytest.mark.parametrize("sides", [(1.0, None), (None, 1.0), (None, None)])
def test_without_the_reference_drift_remains(sides):
    """Nothing can be said then, and the reason is."""
    found = across(measured(1.0, sides[0]), measured(1.3, sides[1], "b"))
    assert found.status is Status.INCONCLUSIVE
    assert "numpy_reference was not measured in both" in found.reason
    assert found.ratio.value == pytest.approx(1.3, rel=0.01)
    assert (found.ratio.low, found.ratio.high) == (None, None)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"versions": {"numpy": "2.4.6"}}, "NumPy was 1.26.4, is 2.4.6"),
        ({"python": "3.13.1"}, "Python was 3.12.1, is 3.13.1"),
        (
            {"in_force": {"threads": 1, "compilation": "none", "environment": {}, "blas": "MKL"}},
            "blas was None, is MKL",
        ),
    ],
)
def test_another_reference_is_no_yardstick(now, words):
    """That it got faster by a NumPy of its own is no change of anything else."""
    then = {"versions": {"numpy": "1.26.4"}, "python": "3.12.1"}
    old, new = changed(measured(1.0), **then), changed(measured(1.0, 0.9, "b"), **then)
    reference = new["benchmarks"][1]
    assert across(old, new).status is Status.SUSPECT
    reference["extra_info"] |= now
    found = across(old, new)
    assert found.status is Status.INCONCLUSIVE
    assert words in found.reason
    assert "cannot remove the drift" in found.reason
    assert "in one session with --baseline" in found.reason
    assert (found.ratio.value, found.ratio.low) == (pytest.approx(1, rel=0.01), None)


def test_only_another_numpy_suspects_nothing():
    """The recorded run against itself with a NumPy by which only the reference is faster."""
    old, new = recorded_run(), recorded_run()
    for row in new["benchmarks"]:
        row["extra_info"]["session"] = "another"
        if row["extra_info"]["implementation"] == REFERENCE:
            row["extra_info"]["versions"] = {"numpy": "9.9"}
            row["stats"]["data"] = [seconds * 0.9 for seconds in row["stats"]["data"]]
    words = Counter(one.verdict.status for one in compare_runs(old, new, "older", MARGIN))
    others = [r for r in old["benchmarks"] if r["extra_info"]["implementation"] != REFERENCE]
    assert words == {Status.INCONCLUSIVE: len(others)}


def test_other_source_of_the_reference_is_said():
    """Its digest is of all of mnist_models, so that it is a doubt and no refusal."""
    old, new = changed(measured(1.0), source="1"), changed(measured(1.3, 1, "b"), source="2")
    found = across(old, new)
    assert found.status is Status.SUSPECT
    assert "slower than it was" in found.reason
    assert "the source of mnist_models differs" in found.reason


def with_epochs(epoch, machine, session, noise=0.0, seed=0, **more):
    """A run of epochs and of the reference's training steps, on a machine this much slower.

    `noise` is how much the machine changes between the two within a block.
    """
    random = np.random.default_rng(seed)
    paces = machine * np.exp(random.normal(0, 0.05, 6))  # of each block, which both see
    steps = (paces[:, None] * random.uniform(1, 1.01, (6, 5))).tolist()
    epochs = epoch * paces[:, None] * np.exp(random.normal(0, noise, (6, 1)))
    rows = [
        record(EPOCH, PYTORCH, epochs.tolist(), session, **more),
        record(STEP, REFERENCE, steps, session, **more),
    ]
    return {"machine_info": MACHINE, "benchmarks": rows}


@pytest.mark.parametrize(
    ("epoch", "machine", "expected"),
    [
        (1.0, 1.0, "EQUIVALENT"),
        (1.0, 1.3, "EQUIVALENT"),
        (1.3, 1.0, "SUSPECT"),
        (1.3, 0.7, "SUSPECT"),
    ],
)
def test_epochs_are_held_against_the_references_training_steps(epoch, machine, expected):
    """Of the same blocks, which see the same machine; no reference runs epochs by itself."""
    old, new = with_epochs(1.0, 1.0, "a"), with_epochs(epoch, machine, "b", seed=1)
    found = across(old, new)
    assert found.status == expected
    assert found.ratio.value == pytest.approx(epoch, rel=0.01)


def test_drift_between_epochs_and_steps_widens_the_interval():
    """A machine that changes within blocks raises hardly more suspicions than the interval may."""
    words = Counter(
        across(
            with_epochs(1.0, 1.0, "a", noise=0.05, seed=2 * number),
            with_epochs(1.0, 1.3, "b", noise=0.05, seed=2 * number + 1),
        ).status
        for number in range(200)
    )
    assert words[Status.SUSPECT] <= most(200, 0.1)
    assert words[Status.INCONCLUSIVE] > 100


def test_an_epochs_own_reference_comes_first():
    """Where the reference did run epochs, they are what is paired."""
    old, new = with_epochs(1.0, 1.0, "a"), with_epochs(1.3, 1.0, "b", seed=1)
    for run, seconds in ((old, 1.0), (new, 1.3)):
        run["benchmarks"].append(record(EPOCH, REFERENCE, [[seconds]] * 6))
    assert across(old, new).ratio.value == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize(("trial", "comparable"), [(EPOCH, False), (STEP, True)])
def test_epochs_timed_to_another_moment_are_not_comparable(trial, comparable):
    """Runs that were saved without the moment timed until `fit` returned."""
    old, new = measured(1.0, trial=trial), measured(1.0, session="b", trial=trial)
    found = across(old, changed(new, moment="trained"))
    assert (found.status is not Status.NOT_COMPARABLE) == comparable
    if not comparable:
        assert found.reason == "moment was returned, is trained"
    assert across(old, changed(new, moment="returned")).status is Status.EQUIVALENT


def test_few_blocks_across_time_are_no_interval():
    few = measured(1.3, session="b")
    for row in few["benchmarks"]:
        row["stats"]["data"] = row["stats"]["data"][:10]
        row["extra_info"]["blocks"] = row["extra_info"]["blocks"][:10]
    found = across(measured(1.0), few)
    assert (found.status, found.reason) == (
        Status.INCONCLUSIVE,
        "2 blocks are too few for an interval",
    )


@pytest.mark.parametrize("value", [nan, 0.0, -1.0, inf])
@pytest.mark.parametrize("row", [0, 1], ids=["row", "reference"])
def test_no_measurement_across_time_is_not_comparable(value, row):
    """One bad sample in a saved run is enough, in the reference's row as well."""
    bad = measured(1.0, session="b")
    bad["benchmarks"][row]["stats"]["data"][3] = value
    for found in (across(measured(1.0), bad), across(bad, measured(1.0))):
        assert found.status is Status.NOT_COMPARABLE
        assert str(value) in found.reason


def changed(run, **info):
    for row in run["benchmarks"]:
        row["extra_info"] |= info
    return run


def in_force(**more):
    same = {"threads": 1, "precision": "float32", "compilation": "none", "environment": {}}
    return {"in_force": same | more}


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"dataset": {"name": "digits", "sha256": "1" * 64}}, "data set was mnist 0"),
        ({"dataset": {"name": "mnist", "sha256": "1" * 64}}, "is mnist 11111111"),
        (in_force(threads=4), "threads was 1, is 4"),
        (in_force(environment={"XLA_FLAGS": "x"}), "environment was {}, is {'XLA_FLAGS': 'x'}"),
        ({"recipe": {"optimizer": "SGD", "batch_size": 128}}, "recipe was {'optimizer': 'Adam'"),
        ({"schema": 2}, "schema was 1, is 2"),
    ],
)
def test_what_else_differs_is_not_comparable(info, reason):
    """Whatever is not the framework's version must be the same, or no ratio is shown."""
    found = across(measured(1.0), changed(measured(1.3, session="b"), **info))
    assert found.status is Status.NOT_COMPARABLE
    assert reason in found.reason
    assert found.ratio is None


def test_how_a_framework_compiles_is_its_own_affair():
    """That a version compiles differently is what is to be seen."""
    other = changed(measured(1.0, session="b"), **in_force(compilation="XLA"))
    assert across(measured(1.0), other).status is Status.EQUIVALENT


def test_another_cpu_is_not_comparable():
    other = measured(1.0, session="b") | {"machine_info": {"cpu": {"brand_raw": "Z", "count": 2}}}
    assert "CPU was Abacus 9, 2 cores, is Z, 2 cores" in across(measured(1.0), other).reason


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model": 17}, "CPU was Abacus 9, 2 cores, is Abacus 9 (model 17), 2 cores"),
        ({"flags": ["sse", "avx2"]}, "vector instructions was , is avx2"),
    ],
)
def test_cpus_of_one_name_may_be_different(more, words):
    """Virtual machines call several generations of a processor by one name."""
    run = measured(1.0, session="b") | {"machine_info": {"cpu": MACHINE["cpu"] | more}}
    assert words in across(measured(1.0), run).reason


def test_a_processor_is_named_with_its_generation_where_it_is_known():
    cpu = {"brand_raw": "Abacus 9", "family": 6, "model": 85, "stepping": 4}
    assert cpu_name(cpu) == "Abacus 9 (family 6, model 85, stepping 4)"
    assert cpu_name({"brand_raw": "Abacus M4"}) == "Abacus M4"
    assert cpu_name({}) == "unknown CPU"


def test_rows_of_one_side_are_not_comparable():
    """What vanished and what is new is named; nothing in common is status 11."""
    old, new = measured(1.0, None), measured(1.0, None, "b", trial=FORWARD)
    found = compare_runs(old, new, "0001_older", MARGIN)
    assert [(one.comparison.trial, one.verdict.reason) for one in found] == [
        (FORWARD, "not measured in 0001_older"),
        (STEP, "not measured here"),
    ]
    assert exit_status([found], None, False) == 11


# One session in two files


def by_name(rows):
    return {row["name"]: row for row in rows}


def session_rows(factor, suspects=1):
    """A session's rows here and there: a suspect trial with a confirmation, and another."""
    random = np.random.default_rng(3)
    pace = random.uniform(1, 1.01, (17, 5))
    more = {"suspects": suspects, "recipe": recipe.DEFAULT.record()}
    ours = [
        record(STEP, PYTORCH, (factor * pace).tolist(), **more),
        record(EPOCH, PYTORCH, pace[:6, :1].tolist(), **more),
    ]
    better = {"accuracy": 0.99, "misread": misread(range(100))}
    theirs = [
        record(STEP, PYTORCH, pace.tolist(), **more),
        record(EPOCH, PYTORCH, pace[:6, :1].tolist(), **more | better),
    ]
    return by_name(ours), by_name(theirs)


def words_of(every):
    return {(one.comparison.trial, one.comparison.metric.name): one.verdict.status for one in every}


def test_a_session_is_compared_metric_by_metric():
    """Times and first calls of each row, memory of each worker, accuracy of each epoch."""
    ours, theirs = session_rows(1.3)
    found = words_of(judge_all(compare(ours, theirs, "older", MARGIN, {}), ours, theirs))
    assert found == {
        (STEP, "time"): Status.REGRESSED,
        (STEP, "first call"): Status.EQUIVALENT,
        (STEP, "peak memory"): Status.EQUIVALENT,
        (EPOCH, "time"): Status.EQUIVALENT,
        (EPOCH, "first call"): Status.EQUIVALENT,
        (EPOCH, "accuracy"): Status.REGRESSED,
    }


@pytest.mark.parametrize("factor", [1.0, 1.3, 1 / 1.3])
def test_files_of_one_session_say_what_the_session_said(factor):
    """Written, read again and compared: the same verdicts, digit by digit."""
    ours, theirs = session_rows(factor)
    said = judge_all(compare(ours, theirs, "older", MARGIN, {}), ours, theirs)
    old, new = (
        json.loads(json.dumps({"machine_info": MACHINE, "benchmarks": [*rows.values()]}))
        for rows in (theirs, ours)
    )
    for run in (old, new):
        for row in run["benchmarks"]:
            row["extra_info"] |= {"margin": MARGIN, "verdicts": []}
    assert [o.record() for o in compare_runs(old, new, "older", MARGIN)] == [
        o.record() for o in said
    ]


@pytest.mark.parametrize(
    ("known", "margin"),
    [({"margin": MARGIN, "verdicts": []}, 0.01), ({"margin": MARGIN}, MARGIN), ({}, MARGIN)],
    ids=["another margin", "two baselines", "not saved"],
)
def test_a_confirmation_answers_the_question_of_its_session_alone(known, margin):
    """Its blocks are no second try at another margin, and none between two of the baselines."""
    ours, theirs = session_rows(1.3)
    for row in (*ours.values(), *theirs.values()):
        row["extra_info"] |= known
    runs = ({"machine_info": MACHINE, "benchmarks": [*rows.values()]} for rows in (theirs, ours))
    judged = compare_runs(*runs, "older", margin)
    words = {one.verdict.status for one in judged if one.comparison.metric is not ACCURACY}
    assert words.isdisjoint({Status.REGRESSED, Status.IMPROVED})
    assert Status.INCONCLUSIVE in words


def test_memory_is_the_largest_of_a_process_over_its_trials():
    """A process has but one peak, whichever of its trials was the last."""
    megabytes = {STEP: [100, 900], FORWARD: [900, 100]}
    rows = by_name(
        record(trial, PYTORCH, [[1.0]] * 2, peak_memory_bytes_by_block=[m * 2**20 for m in peaks])
        for trial, peaks in megabytes.items()
    )
    [found] = [c for c in compare(rows, rows, "older", MARGIN, {}) if c.metric is PEAK_MEMORY]
    assert found.new == found.old == {0: [900 * 2**20], 1: [900 * 2**20]}


def memory_rows(*trials):
    """Rows of one worker, as (trial, number of blocks)."""
    return by_name(
        record(trial, PYTORCH, [[1.0]] * blocks, peak_memory_bytes_by_block=[2**30] * blocks)
        for trial, blocks in trials
    )


def test_memory_is_compared_in_whole_blocks():
    """A block that was cut off, or measured for one trial alone, has not seen the largest."""
    rows = memory_rows((STEP, 3), (FORWARD, 2))
    [found] = [c for c in compare(rows, rows, "older", MARGIN, {}) if c.metric is PEAK_MEMORY]
    assert found.new == found.old == {0: [2**30], 1: [2**30]}


def test_memory_of_workers_that_did_not_do_the_same_is_not_compared():
    """A row that failed on one side would make that side's workers look small."""
    ours, theirs = memory_rows((STEP, 2)), memory_rows((STEP, 2), (FORWARD, 2))
    for new, old in ((ours, theirs), (theirs, ours)):
        found = compare(new, old, "older", MARGIN, {})
        [of_worker] = [c for c in found if c.metric is PEAK_MEMORY]
        assert of_worker.reason.startswith(f"its workers did not do the same: {FORWARD} not meas")
        assert judge(of_worker).status is Status.NOT_COMPARABLE


def test_reasons_stand_instead_of_times():
    """A void row is named with its reason and judged by nothing else."""
    ours, theirs = session_rows(1.3)
    name = f"test_{STEP[:-1]}-{PYTORCH}]"
    found = compare(ours, theirs, "older", MARGIN, {name: "void here"})
    assert [(c.reason, c.metric.name) for c in found if c.trial == STEP] == [("void here", "time")]


# The results of a session


def with_baseline(rows):
    """Results whose plan has a baseline, "older"."""
    results = make_results(rows)
    plan = make_plan(results.plan.contests)
    object.__setattr__(plan, "baselines", {"older": None})
    return Results(plan, results.journal)


@pytest.mark.parametrize("side", [PYTORCH, f"{PYTORCH}@older"])
def test_void_rows_are_not_comparable(side):
    """Wrong answers are no slower and no faster than right ones, whoever gives them."""
    trial, facts = (
        Trial("train_step", "mlp", 128, "cpu"),
        {"versions": {}, "python": "3", "in_force": {}, "conventions": SMOOTH},
    )
    entry = {"facts": facts, "compilation": "none", "recipe": {}, "first_call_seconds": 1.0}
    rows = {(trial, name): ([1.0] * 6, entry) for name in (PYTORCH, f"{PYTORCH}@older")}
    rows[trial, side] = ([1.0] * 6, entry | BAD_PARITY)
    [found] = with_baseline(rows).verdicts()["older"]
    assert found.verdict.status is Status.NOT_COMPARABLE
    assert found.verdict.reason.startswith("here: " if side == PYTORCH else "in older: ")
    assert "from the NumPy reference" in found.verdict.reason


def test_first_calls_are_suspected_only_where_nearly_all_say_so():
    """One value a process: to measure them again costs as much as everything else."""
    for metric, unit in ((FIRST_CALL, 1.0), (PEAK_MEMORY, 2**30)):
        split = compared([1.5] * 4 + [1.0] * 2, metric=metric, old=unit, suspects=0)
        clear = compared([1.5] * 5 + [1.0], metric=metric, old=unit, suspects=0)
        assert (split.suspicion, clear.suspicion) == (0, 1)


def test_a_session_confirms_all_its_suspects_until_each_is_decided():
    """Their number counts, and who is decided is not measured again."""
    facts = {"versions": {}, "python": "3", "in_force": {}, "conventions": SMOOTH}
    entry = {"facts": facts, "compilation": "none", "recipe": {}, "first_call_seconds": 1.0}
    entry["peak_memory_bytes"] = 2**30
    trials = Trial("train_step", "mlp", 128, "cpu"), Trial("forward", "mlp", 128, "cpu")
    rows = {}
    for trial, blocks in zip(trials, (6 + 8, 6 + 7), strict=True):
        rows[trial, PYTORCH] = [1.3] * blocks, entry
        rows[trial, f"{PYTORCH}@older"] = [1.0] * blocks, entry
    results, said = with_baseline(rows), []
    records = results.journal.records
    later = [r for r in records if r.get("block", 0) >= 6]
    session = object.__new__(Session)
    session.plan = results.plan
    session.progress = SimpleNamespace(confirm=lambda *told: said.append(told))
    screen = [r for r in records if r not in later]
    session.journal = SimpleNamespace(records=screen, append=screen.append, session="made up")
    assert session.confirmation() == range(6, 6 + 24)
    assert screen[-1] == {"confirmation": {"suspects": 2, "blocks": 24, "rounds": 3}}
    assert said == [(2, 2)]
    assert {c.trial for c in session.open_suspects()} == {*map(str, trials)}
    screen.extend(later)
    assert [c.trial for c in session.open_suspects()] == ["forward[mlp-b128-cpu]"]
    assert session.confirmation() == range(6, 6 + 24)  # as noted, when it is taken up again


@pytest.mark.parametrize(("seconds", "measured_on"), [(60.0, [6]), (0.0, [])])
def test_a_session_measures_on_what_is_undecided_until_it_is_equal(seconds, measured_on):
    """One row is equal at once, another with one block more; without time for it it is not."""
    facts = {"versions": {}, "python": "3", "in_force": {}, "conventions": SMOOTH}
    entry = {"facts": facts, "compilation": "none", "recipe": {}, "first_call_seconds": 1.0}
    entry["peak_memory_bytes"] = 2**30
    step, forward = Trial("train_step", "mlp", 128, "cpu"), Trial("forward", "mlp", 128, "cpu")
    noisy = [1.021, 0.996, 1.002, 0.998, 1.004, 0.999, 0.999, 1.001]
    rows = {}
    for trial, blocks in ((step, noisy), (forward, [1.0] * 6)):
        rows[trial, PYTORCH] = blocks, entry
        rows[trial, f"{PYTORCH}@older"] = [1.0] * len(blocks), entry
    results, said, done = with_baseline(rows), [], []
    records = [r for r in results.journal.records if r.get("block", 0) < 6]
    later = [r for r in results.journal.records if r.get("block", 0) >= 6]

    def run_block(block):
        assert [*session.suspected] == [str(step)]
        done.append(block)
        records.extend(r for r in later if r["block"] == block)

    session = object.__new__(Session)
    session.plan = replace(results.plan, until_decided=seconds)
    session.progress = SimpleNamespace(decide=lambda *told: said.append(told))
    session.journal = SimpleNamespace(records=records, session="made up")
    dealer = Dealer(session)
    dealer.here.run_block = run_block
    session.decide(dealer)
    assert done == measured_on
    assert said == ([(1, 60.0)] if measured_on else [])
    # One that failed in a further block is measured no more, and so is its counterpart.
    place = verdicts.Comparison(str(step), PYTORCH, "older", METRIC)
    assert session.whole(place)
    failed = {f"{PYTORCH}@older": {"cost": 0.0, "error": "gone"}}
    records.append({"block": 99, "trial": str(step), "results": failed})
    assert not session.whole(place)


@pytest.mark.parametrize(("block", "valid"), [(5, False), (6, True)])
def test_what_fails_in_a_further_block_costs_no_row(block, valid):
    """Only the screen and the confirmation must be complete; of the rest it is said."""
    facts = {"versions": {}, "python": "3", "in_force": {}, "conventions": SMOOTH}
    entry = {"facts": facts, "compilation": "none", "recipe": {}, "first_call_seconds": 1.0}
    trial = Trial("forward", "mlp", 128, "cpu")
    rows = {(trial, name): ([1.0] * 7, entry) for name in (PYTORCH, f"{PYTORCH}@older")}
    measured_so_far = with_baseline(rows)
    for record in measured_so_far.journal.records:
        if record.get("block") == block and PYTORCH in record["results"]:
            record["results"][PYTORCH] = {"cost": 0.0, "error": "Traceback\nOSError: gone"}
    results = Results(measured_so_far.plan, measured_so_far.journal)
    assert results.rows[trial, PYTORCH].valid is valid

    records = [r for r in results.journal.records if r.get("block") == block]
    assert failures(records) == [(PYTORCH, str(trial), "OSError: gone")]
    assert failures(results.journal.records[:1]) == []


@pytest.mark.parametrize("allocator", ["steady", "installed"])
def test_both_sides_have_the_allocator_that_was_asked_for(allocator):
    """Variables cannot be set for a worker that a server elsewhere starts."""
    trial, rows = Trial("forward", "mlp", 128, "cpu"), {}
    for name, variables in ((PYTORCH, STEADY), (f"{PYTORCH}@older", {})):
        in_force = {"environment": variables}
        facts = {"versions": {}, "python": "3", "in_force": in_force, "conventions": SMOOTH}
        entry = {"facts": facts, "compilation": "none", "recipe": {}, "first_call_seconds": 1.0}
        rows[trial, name] = [1.0] * 6, entry | {"peak_memory_bytes": 2**30}
    results = with_baseline(rows)
    results.plan = replace(results.plan, allocator=allocator)
    reasons = {found.verdict.reason for found in results.verdicts()["older"]}
    refused = "in older: its allocator is not steady: use --allocator installed for both"
    assert reasons == ({refused} if allocator == "steady" else {""})


@pytest.mark.parametrize(
    ("spec", "python"),
    [
        ("popen//python=some/python", "some/python"),
        ("popen", sys.executable),
        ("ssh=user@box", "python"),
    ],
)
def test_the_steady_allocator_reaches_every_spec(spec, python):
    command = steady(Environment("other", spec)).spec.partition("//python=")[2]
    assert shlex.split(command) == ["env", *(f"{n}={v}" for n, v in STEADY.items()), python]


# Baselines


@pytest.fixture
def storage(tmp_path):
    """A storage of three runs, of which the newest two are unfit."""
    folder = tmp_path / "storage" / "Linux-machine"
    folder.mkdir(parents=True)
    for number, unfit in enumerate(([], ["train_step: void"], ["forward: REGRESSED"]), start=1):
        run = measured(1.0) | {baseline.UNFIT: unfit}
        (folder / f"{number:04}_run.json").write_text(json.dumps(run))
    return tmp_path / "storage"


def test_unfit_runs_are_passed_over(storage):
    """The newest fit run is the baseline; what was passed over is named with the reason."""
    path, passed = baseline.default(storage, "Linux-machine")
    assert path.name == "0001_run.json"
    assert passed == ["0003_run.json: forward: REGRESSED", "0002_run.json: train_step: void"]


def test_no_fit_run_is_no_baseline(storage):
    (storage / "Linux-machine" / "0001_run.json").write_text("{")
    path, passed = baseline.default(storage, "Linux-machine")
    assert path is None
    assert [line.split(":")[0] for line in passed][-1] == "0001_run.json"
    assert "unreadable" in passed[-1]
    assert baseline.default(storage, "another machine") == (None, [])


def test_pinned_run_is_the_baseline(storage):
    """Unfit or not, whoever pins it is told why not."""
    path, reasons = baseline.pin("0002", storage)
    assert (path.name, reasons) == ("0002_run.json", ["train_step: void"])
    assert baseline.default(storage, "Linux-machine") == (path.absolute(), [])


def test_pinned_run_that_is_gone_is_an_error(storage):
    path, _ = baseline.pin("0001", storage)
    path.unlink()
    with pytest.raises(RunError, match=r"0001_run\.json is gone; pin another with .* or delete"):
        baseline.default(storage, "Linux-machine")


@pytest.mark.parametrize(("run", "words"), [("0009", "no such run"), ("000", "means several runs")])
def test_run_to_pin_must_be_one(storage, run, words):
    """The message lists what there is."""
    with pytest.raises(RunError, match=rf"{run}: {words}; choose one of: .*0003_run\.json"):
        baseline.pin(run, storage)
    assert baseline.pinned(storage) is None


def test_environments_files_are_no_default(storage):
    """They lie deeper than any run that is looked for."""
    deep = storage / "environments" / "older" / "Linux-machine"
    deep.mkdir(parents=True)
    (deep / "0009_run.json").write_text(json.dumps(measured(1.0)))
    assert baseline.default(storage, "Linux-machine")[0].name == "0001_run.json"
    with pytest.raises(RunError, match="no such run"):
        baseline.find("0009", storage)


# Simulated sessions


BENCHMARKS, BLOCKS, ROUNDS, OFFSET = 12, 6, 10, 0.02


def blocks_of(true, size, random):
    """Log-ratios of rounds: two processes a block, each faster or slower by 2 % than the next."""
    offsets = random.normal(0, OFFSET, (2, *size, 1))
    noise = random.normal(0, 0.005, (2, *size, ROUNDS))
    return log(true) + (offsets + noise)[0] - (offsets + noise)[1]


def suite(true, random):
    """A session of the gate in numbers alone: its screen, its suspects and its false alarms."""
    screen = np.median(blocks_of(true, (BENCHMARKS, BLOCKS), random), axis=2)
    medians, limit = np.median(screen, axis=1), log(1 + MARGIN)
    suspects = np.flatnonzero(np.abs(medians) > limit)
    if not len(suspects):
        return screen, suspects, np.empty((0, 0)), []
    ends = confirmation_blocks(len(suspects))
    again = np.median(blocks_of(true, (len(suspects), ends[-1]), random), axis=2)
    slower = (medians[suspects] > 0) & confirmed(again, ends)
    faster = (medians[suspects] < 0) & confirmed(-again, ends)
    words = np.where(slower, "REGRESSED", np.where(faster, "IMPROVED", ""))
    return screen, suspects, again, list(words)


def most(count, rate):
    """What a share of `rate` stays below, but for one simulation in a thousand."""
    return stats.binom.ppf(0.999, count, rate)


@pytest.mark.parametrize("true", [1.0, 1 + MARGIN, 1 / (1 + MARGIN)])
def test_suites_in_which_nothing_changed_raise_no_alarm(true):
    """At most 1 % of them, also when all that is allowed to change did; the screen alone would."""
    random, gates = np.random.default_rng(2026), 400
    alarms, screened = 0, 0
    for gate in range(gates):
        screen, suspects, again, words = suite(true, random)
        alarms += any(words)
        screened += bool((np.abs(screen).min(axis=1) > log(1 + MARGIN)).any())
        for index, (which, said) in enumerate(zip(suspects, words, strict=True)):
            if gate < 20:  # these numbers are those of the product
                comparison = compared(np.exp(screen[which]), np.exp(again[index]), len(suspects))
                assert comparison.suspicion
                assert (judge(comparison).status in ("REGRESSED", "IMPROVED")) == bool(said)
    assert alarms <= most(gates, FAMILY)
    assert screened > 0.02 * gates or true == 1


def test_interval_covers_the_truth_and_rounds_for_blocks_do_not():
    """Blocks keep the promise of 95 %; every round taken as evidence of its own breaks it."""
    random, sessions = np.random.default_rng(7), 200
    held = {"blocks": 0, "rounds": 0}
    for rounds in blocks_of(1.0, (sessions, BLOCKS), random):
        for name, logs in (("blocks", np.median(rounds, axis=1)), ("rounds", rounds.ravel())):
            found = of_logs([*compared(np.exp(logs)).screen().values()])
            held[name] += found.low <= 1 <= found.high
    assert sessions - held["blocks"] <= most(sessions, 0.05)
    assert held["rounds"] < 0.75 * sessions


# Commands


def test_baseline_set_pins_a_run(storage, monkeypatch, capsys):
    """As typed: by its number; what speaks against the run is said."""
    storage.rename(storage.with_name(".benchmarks"))
    monkeypatch.chdir(storage.parent)
    assert main(["baseline", "set", "0002"]) == 0
    assert "warning: this run is a poor baseline: train_step: void" in capsys.readouterr().out
    assert baseline.pinned().name == "0002_run.json"
    assert main(["baseline", "set", "0009"]) == 4
    assert "no such run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("factor", "options", "status"),
    [
        (1.0, [], 0),
        (1.0, ["--fail-on", "regression"], 4),
        (1.3, ["--strict-verdicts"], 10),
        (float("nan"), [], 11),
    ],
)
def test_compare_ends_with_a_status(tmp_path, capsys, factor, options, status):
    """Of two runs of different times: no regression, but perhaps something undecided."""
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    paths[0].write_text(json.dumps(measured(1.0)))
    paths[1].write_text(json.dumps(measured(factor, session="b")))
    assert main(["compare", *map(str, paths), "--markdown", *options]) == status
    printed = capsys.readouterr().out
    assert ("| SUSPECT |" in printed) == (factor == 1.3)


def test_compare_needs_a_margin_that_is_one(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "old.json", "new.json", "--margin", "much"])
    assert "--margin much: must be from 0% to below 100%" in capsys.readouterr().err
