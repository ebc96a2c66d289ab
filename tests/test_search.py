"""The search for the release that did it: the gate's real verdicts on made-up samples."""

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest

from benchmarks.comparing.changes import Change, change
from benchmarks.comparing.records import Judged
from benchmarks.comparing.search import search
from benchmarks.comparing.verdicts import Comparison, judge, time_metric
from benchmarks.reporting.bisected import text

SPREAD = 0.012  # of the blocks' log-ratios, about as measured
RELEASES = tuple(range(1, 10))
TRIAL = "train_step[mlp-b128-cpu]"


def place(number):
    return (("keras", f"3.{number}.0"), ("python", "3.12"))


def between(old, new):
    first, last = (int(one[0][1].split(".")[1]) for one in (old, new))
    return [place(number) for number in range(first + 1, last)]


def session(slowness, chance):
    """What a gate would say of releases whose time is a known multiple."""

    def verdict(new, old):
        ratio = log(slowness(new) / slowness(old))
        logs = chance.normal(ratio, SPREAD, 30)
        sides = {b: [exp(one)] for b, one in enumerate(logs)}, {b: [1.0] for b in range(30)}
        comparison = Comparison(TRIAL, "keras_tensorflow", str(old), time_metric(0.02), *sides, 6)
        suspected = bool(comparison.suspicion)
        if not suspected:  # measured on to the last look
            sides = [{b: side[b] for b in range(18)} for side in sides]
        comparison = replace(comparison, new=sides[0], old=sides[1], suspects=int(suspected))
        return change(Judged(comparison, judge(comparison)), str(new))

    return lambda new, olds: [[verdict(new, old)] for old in olds]


def slower_from(*numbers, by=1.08):
    return lambda one: by ** sum(int(one[0][1].split(".")[1]) >= number for number in numbers)


def run(slowness, seed):
    ask = session(slowness, np.random.default_rng(seed))
    return search(place(1), place(9), between, ask)


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_regression_in_the_fifth_of_nine_releases_is_found(seed):
    found = run(slower_from(5), seed)
    assert [(part.old, part.new) for part in found.steps] == [(place(4), place(5))]
    assert found.sessions == 4
    assert found.error == pytest.approx(0.04)


@pytest.mark.parametrize("seed", range(20))
def test_no_release_is_named_where_none_did_anything(seed):
    found = run(slower_from(), seed)
    assert (found.steps, found.lost, found.sessions) == ([], [], 1)


def test_two_changes_are_both_found():
    """Also where the one makes up for much of the other."""
    slowness = slower_from(3, by=0.5), slower_from(7, by=1.2)
    found = run(lambda one: slowness[0](one) * slowness[1](one), 1)
    news = {part.new: part.changes[0].verdict for part in found.steps}
    assert news == {place(3): "IMPROVED", place(7): "REGRESSED"}


def test_a_change_in_many_small_steps_is_not_blamed_on_one():
    """Each step is below the margin."""
    found = run(lambda one: 1.009 ** int(one[0][1].split(".")[1]), 3)
    assert found.steps == []
    assert found.lost
    said = text(found, [], [], "a CPU", "mnist", "keras_tensorflow")
    assert "several small steps" in said


def test_what_was_not_decided_is_said_and_not_followed():
    undecided = Change(
        trial=TRIAL,
        implementation="keras_tensorflow",
        old="old",
        new="new",
        metric="time",
        verdict="INCONCLUSIVE",
        reason="differs by at most 5.0%",
    )
    found = search(place(1), place(9), between, lambda new, olds: [[undecided]])
    assert (found.steps, found.lost, len(found.open)) == ([], [], 1)
    said = text(found, [[]] * len(found.steps), [], "a CPU", "mnist", "keras_tensorflow")
    assert "Not decided between keras 3.1.0 and keras 3.9.0" in said
    assert "differs by at most 5.0%" in said


def test_a_verdict_turned_round_is_the_other_ones():
    made = session(slower_from(5), np.random.default_rng(0))(place(9), [place(1)])[0][0]
    back = made.turned()
    assert (made.verdict, back.verdict) == ("REGRESSED", "IMPROVED")
    assert back.low < back.ratio < back.high < 1 < made.low
    assert back.turned().ratio == pytest.approx(made.ratio, rel=1e-4)
    assert (back.old, back.new) == (made.new, made.old)


def test_what_was_found_can_be_pasted_into_a_tracker():
    """From which release on, by how much, on what, and how to see it."""
    found = run(slower_from(5), 4)
    part = found.steps[0]
    causes = [["5 % of its time is the kernel"], ["traced or compiled 1 times per step"]]
    changes = tuple(
        one.model_copy(update={"seconds": [0.001, 0.00108], "causes": causes})
        for one in part.changes
    )
    found.steps[0] = replace(part, changes=changes)
    numbers, refused = [["Adam: epsilon: 1 / 2"]], ["keras 3.4.1: Because of that"]
    said = text(found, numbers, refused, "a CPU", "mnist", "keras_tensorflow")
    for words in (
        "**keras 3.5.0** changed Keras, compared with keras 3.4.0:",
        f"- `{TRIAL}` is 1.08× slower [1.0",
        "1 ms → 1.08 ms",
        "- since then: traced or compiled 1 times per step",
        "- before: 5 % of its time is the kernel",
        "- a number changed, too: Adam: epsilon: 1 / 2",
        "Left out, because they cannot be installed: keras 3.4.1: Because of that.",
        "Measured with python 3.12 on a CPU",
        "uv venv -p 3.12 old && uv pip install -p old keras==3.4.0",
        "uv venv -p 3.12 new && uv pip install -p new keras==3.5.0",
        'python -m benchmarks bisect old new --implementation keras_tensorflow "train_step[',
        "4 sessions. Each reports a change that is not real with a probability of at most 1%; all "
        "of them together with at most 4%",
    ):
        assert words in said
    assert len(said.splitlines()) < 24


def one_change(trial=TRIAL, metric="time", verdict="REGRESSED", **more):
    ends = {"ratio": 1.2, "low": 1.19, "high": 1.21}
    return Change(
        trial=trial,
        implementation="keras_tensorflow",
        old="old",
        new="new",
        metric=metric,
        verdict=verdict,
        **(ends | more),
    )


def test_what_changed_beside_the_times_is_told_and_not_searched():
    """Peak memory alone: the answer must not say that nothing changed."""
    changes = [one_change(verdict="EQUIVALENT"), one_change(metric="peak memory")]
    found = search(place(1), place(9), between, lambda new, olds: [changes for _ in olds])
    said = text(found, [], [], "a CPU", "mnist", "keras_tensorflow")
    assert (found.steps, found.sessions) == ([], 1)
    assert "no time changed between keras 3.1.0 and keras 3.9.0" in said
    assert (
        f"but not searched further: the peak memory of `{TRIAL}` is 1.20× larger [1.19, 1.21]."
        in said
    )


def test_a_trial_whose_change_is_lost_is_told_beside_another_that_is_found():
    """One changes at the fifth release, the other only over the whole way."""
    other = "forward[lenet5-b128-cpu]"

    def ask(new, olds):
        return [
            [
                one_change(verdict=session_word(new, old)),
                one_change(other, verdict="REGRESSED" if whole(new, old) else "EQUIVALENT"),
            ]
            for old in olds
        ]

    def number(one):
        return int(one[0][1].split(".")[1])

    def whole(new, old):
        return {number(new), number(old)} == {1, 9}

    def session_word(new, old):
        crossed = min(number(new), number(old)) < 5 <= max(number(new), number(old))
        later = "REGRESSED" if number(new) > number(old) else "IMPROVED"
        return later if crossed else "EQUIVALENT"

    found = search(place(1), place(9), between, ask)
    assert [part.new for part in found.steps] == [place(5)]
    assert [[one.trial for one in part.changes] for part in found.lost] == [[other]]
