"""Accuracies are judged by what rounding can do, and by the test images that only one misreads."""

from math import nan, sqrt

import numpy as np
import pytest
from scipy import stats

from benchmarks.comparing.learning import Learned, judge_accuracy, learned
from benchmarks.comparing.records import after_epoch, compare, judge_all
from benchmarks.comparing.verdicts import ACCURACY, FAMILY, Status
from mnist_models import accuracy, recipe
from mnist_models.accuracy import COVERED, FILE, Rounding, limits, rounding
from mnist_models.implementations import PAIR
from tests.test_statistics import EPOCH, make_results, shown
from tests.test_verdicts import MARGIN, by_name, misread, record
from tools.pages import recorded

KERAS, PYTORCH = PAIR
IMAGES = 10_000
LENET5 = rounding("mnist", "lenet5", recipe.DEFAULT.record())


def side(wrong, images=IMAGES):
    """Who misreads these test images."""
    return Learned(1 - len(wrong) / images, frozenset(wrong), images)


def judged(alone_new, alone_old, both=250, limit=LENET5, comparisons=1, images=IMAGES):
    """The verdict where so many images are misread by one side alone, and by both."""
    new = side(range(both + alone_new), images)
    old = side([*range(both), *range(both + alone_new, both + alone_new + alone_old)], images)
    return judge_accuracy(new, old, limit, comparisons, "older")


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (0, 0, "EQUIVALENT"),
        (12, 12, "EQUIVALENT"),
        (19, 45, "EQUIVALENT"),  # lenet5 as it was recorded, Keras over PyTorch
        (40, 100, "INCONCLUSIVE"),
        (60, 120, "INCONCLUSIVE"),
        (500, 520, "INCONCLUSIVE"),
        (219, 40, "REGRESSED"),
        (40, 219, "IMPROVED"),
    ],
)
def test_accuracy_is_judged_by_what_rounding_can_do(new, old, expected):
    """0.9741 and 0.9562 of one seed are no rounding: the interval lies beyond what that can do."""
    found = judged(new, old)
    assert found.status == expected
    assert "rounding explains at most ±0.0059" in found.reason


def test_a_gap_of_the_size_of_two_seeds_is_no_equality():
    """What used to count as equivalent because it was within the bounds of all seeds."""
    found = judged(200, 21, both=238)
    assert found.reason.startswith("0.9562, was 0.9741: a change of -0.0179")
    assert found.status is Status.REGRESSED
    assert found.ratio.high < 1 - LENET5.most


def test_interval_is_that_of_paired_proportions():
    """By drawing the images that one side alone misreads: 95 % of the intervals hold the truth."""
    random, held = np.random.default_rng(4), 0
    draws = random.multinomial(IMAGES, (0.008, 0.012, 0.98), 1000)
    for won, lost, _ in draws:
        found = judged(lost, won)
        old = 1 - (250 + won) / IMAGES
        low, high = ((end - 1) * old for end in (found.ratio.low, found.ratio.high))
        held += low <= 0.008 - 0.012 <= high
    assert held / 1000 == pytest.approx(0.95, abs=0.02)


def test_many_comparisons_need_a_smaller_probability():
    """McNemar's exact test at the family-wise level over all of them."""
    few, limit = Rounding(0.0, 0.0), 100
    p = stats.binomtest(5, 30).pvalue
    assert FAMILY / limit < p < FAMILY
    assert judged(25, 5, limit=few).status is Status.REGRESSED
    assert judged(25, 5, limit=few, comparisons=limit).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [(0, 0, "EQUIVALENT"), (2, 3, "EQUIVALENT"), (100, 10, "INCONCLUSIVE"), (700, 20, "REGRESSED")],
)
def test_where_rounding_was_not_calibrated_the_least_and_the_most_of_it_count(new, old, expected):
    """Equal is what the steadiest network would be, changed what the shakiest would not."""
    limit = rounding("a folder", "mlp", recipe.DEFAULT.record())
    assert (limit.least, limit.most) == (min(limits(FILE).values()), max(limits(FILE).values()))
    found = judged(new, old, limit=limit)
    assert found.status == expected
    assert "was not calibrated for this data set and recipe" in found.reason


def test_equal_answers_are_equal_on_however_few_images():
    assert judged(0, 0, both=30, limit=Rounding(0.0, 1.0), images=100).status is Status.EQUIVALENT


@pytest.mark.parametrize("value", [nan, None, 0.0])
def test_no_accuracy_is_not_comparable(value):
    for sides in ((learned(value, []), side([1])), (side([1]), learned(value, []))):
        found = judge_accuracy(*sides, LENET5, 1, "older")
        assert found.status is Status.NOT_COMPARABLE
        assert "is no measurement" in found.reason


def test_without_the_misread_images_nothing_is_concluded():
    """Equal accuracies may misread other images: runs that were saved without them say nothing."""
    found = judge_accuracy(learned(0.96, None), side(range(400)), LENET5, 1, "older")
    assert found.status is Status.INCONCLUSIVE
    assert "cannot be paired" in found.reason


def test_number_of_images_is_that_of_accuracy_and_misread():
    """Of the recorded run, ten thousand; a side that misreads nothing does not know it."""
    rows = [row["extra_info"] for row in recorded()["benchmarks"]]
    assert {after_epoch(i).images for i in rows if i["operation"] == "epoch"} == {IMAGES}
    assert learned(1.0, []).images == 0
    assert judge_accuracy(learned(1.0, []), side([1]), LENET5, 1, "").status is Status.EQUIVALENT


def test_the_recorded_pair_differs_by_rounding():
    """Keras and PyTorch, three networks: what the limits were calibrated for."""
    rows = by_name(recorded()["benchmarks"])
    for network in ("mlp", "deep_mlp", "lenet5"):
        keras, torch = (
            rows[f"test_epoch[{network}-b128-cpu-{name}]"]["extra_info"] for name in PAIR
        )
        limit = rounding("mnist", network, keras["recipe"])
        found = judge_accuracy(after_epoch(keras), after_epoch(torch), limit, 3, "")
        assert found.status is Status.EQUIVALENT


# What rounding can do


def test_limits_hold_what_they_promise():
    """In 95 % of calibrations of 20 seeds, 99.9 % of differences are within the limit."""
    drawn = np.random.default_rng(6).normal(0, 0.001, (1000, 20))
    found = np.array([accuracy.limit([*(0.9 + pairs), *[0.9] * 20]) for pairs in drawn])
    held = 2 * stats.norm.sf(found / 0.001) <= 1 - COVERED
    assert held.mean() == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    "change", [{"batch_size": 100}, {"learning_rate": 0.01}, {"optimizer": "SGD"}]
)
def test_another_recipe_was_not_calibrated(change):
    """But another seed was."""
    default = recipe.DEFAULT.record()
    assert (
        rounding("mnist", "mlp", default | {"seed": 99}).least == limits(FILE)["mnist", "mlp", 128]
    )
    found = rounding("mnist", "mlp", default | change)
    assert found.least < found.most


def test_no_calibrated_network_differs_more_by_rounding_than_by_seeds():
    """Two seeds differ by √2 standard deviations; and no pair of a seed by more than its limit."""
    table = accuracy.Table().bounds
    assert len(limits(FILE)) == sum(len(sizes) for of in table.values() for sizes in of.values())
    for (dataset, network, size), limit in limits(FILE).items():
        found = np.array(table[dataset][network][str(size)]["accuracies"])
        keras, torch = found[: len(found) // 2], found[len(found) // 2 :]
        assert abs(keras - torch).max() < limit
        assert np.std(keras - torch) < sqrt(2) * np.std(found)


# In a session


def test_accuracies_of_a_session_are_paired_by_their_images():
    """Saved rows of both sides, judged together."""
    more = {"recipe": recipe.DEFAULT.record()}
    for alone, word in ((0, "EQUIVALENT"), (90, "REGRESSED")):
        wrong = range(400 + alone)
        ours = record(str(EPOCH), PYTORCH, [[1.0]] * 6, misread=misread(wrong), **more)
        ours["extra_info"]["accuracy"] = 1 - len(wrong) / IMAGES
        theirs = record(str(EPOCH), PYTORCH, [[1.0]] * 6, **more)
        rows = by_name([ours]), by_name([theirs])
        found = judge_all(compare(*rows, "older", MARGIN, {}), *rows)
        [verdict] = [one.verdict for one in found if one.comparison.metric is ACCURACY]
        assert verdict.status == word


def test_accuracies_are_tested_together_with_those_of_other_baselines():
    """What one comparison of twenty finds at 1 %, 2,000 do not."""
    more = {"recipe": recipe.DEFAULT.record()}
    ours = record(str(EPOCH), PYTORCH, [[1.0]] * 6, misread=misread(range(490)), **more)
    ours["extra_info"]["accuracy"] = 1 - 490 / IMAGES
    theirs = record(str(EPOCH), PYTORCH, [[1.0]] * 6, **more)
    rows = by_name([ours]), by_name([theirs])
    compared = compare(*rows, "older", MARGIN, {})
    for environments, word in ((1, "REGRESSED"), (10**30, "INCONCLUSIVE")):
        found = judge_all(compared, *rows, environments)
        [verdict] = [one.verdict for one in found if one.comparison.metric is ACCURACY]
        assert verdict.status == word


@pytest.mark.parametrize(("alone", "said"), [(10, False), (700, True)])
def test_the_panel_says_where_the_pair_does_not_learn_alike(alone, said):
    """More than rounding parts them: a hint at parity."""
    rows = {
        (EPOCH, name): (
            [1.0] * 6,
            {"accuracy": 1 - len(wrong) / IMAGES, "misread": misread(wrong)},
        )
        for name, wrong in ((KERAS, range(800)), (PYTORCH, range(800 - alone)))
    }
    assert ("the two may not train the same way" in shown(make_results(rows))) == said


def test_a_failure_to_reject_is_no_equality():
    """Few test images show nothing: neither a change nor that there is none."""
    found = judged(3, 1, both=4, images=100)
    assert found.status is Status.INCONCLUSIVE
