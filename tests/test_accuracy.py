"""Which accuracy counts: by network, data set, recipe and batch size."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measuring.results import Results
from benchmarks.measuring.session import Session
from mnist_models import accuracy, networks
from tests.test_command_lines import fresh_copy, journals, run
from tests.test_statistics import EPOCH, KERAS, STEP, make_results, shown

CALIBRATED = (128, 512)


@pytest.mark.parametrize("size", CALIBRATED)
@pytest.mark.parametrize("dataset", ["mnist", "digits"])
@pytest.mark.parametrize("architecture", networks.names())
def test_documented_batch_sizes_are_calibrated(dataset, architecture, size):
    """README's `--batch-size 512` has bounds of its own: networks learn less in fewer steps."""
    found = accuracy.Table().get(dataset, architecture, size)
    assert found is not None
    assert found.rule == "calibrated"
    assert 0.5 < found.low < found.high <= 1.0


def test_an_epoch_from_another_seed_would_be_accepted():
    """Each of 600 epochs, by bounds from the other seeds alone: hardly one is outside."""
    outside, epochs = 0, 0
    entries = [s for networks in accuracy.Table().bounds.values() for s in networks.values()]
    for entry in (entry for sizes in entries for entry in sizes.values()):
        found = entry["accuracies"]
        seeds = len(found) // 2
        assert all(entry["low"] <= one < entry["high"] for one in found)
        for place, reached in enumerate(found):
            others = [one for at, one in enumerate(found) if at % seeds != place % seeds]
            bounds = accuracy.calibrated(others)
            outside += not bounds["low"] <= reached < bounds["high"]
            epochs += 1
    assert epochs >= 600
    assert outside <= epochs / 100


@pytest.mark.parametrize("change", [{"learning_rate": 0.01}, {"beta_1": 0.8}])
def test_bounds_of_another_recipe_are_none(tmp_path, change):
    """What was calibrated with another optimiser says nothing."""
    content = json.loads(accuracy.FILE.read_text(encoding="utf-8"))
    content["recipe"] |= change
    file = tmp_path / "bounds.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    assert accuracy.Table(file).get("mnist", "mlp", 128) is None


@pytest.mark.parametrize(("reached", "half"), [(0.97, 0.0121), (0.5, 0.0354)])
def test_the_references_accuracy_is_surrounded_by_five_errors(reached, half):
    """sqrt(2 · 0.97 · 0.03 / 10,000) is 0.00241."""
    low, high, rule = accuracy.around(reached, 10_000, "mlp")
    assert (low, high) == pytest.approx((reached - half, reached + half), abs=1e-4)
    assert rule == "referee"


def test_a_network_that_rounding_shakes_has_room_for_it():
    """An LSTM of two frameworks parts within an epoch as if it had begun from two seeds."""
    low, high, _ = accuracy.around(0.97, 10_000, "lstm")
    most = accuracy.limits(accuracy.FILE)["digits", "lstm", 128]
    assert most > 5 * 0.00241
    assert (low, high) == pytest.approx((0.97 - most, 1.0), abs=1e-3)


def test_better_than_guessing_is_better_than_the_most_frequent_digit():
    """Of 10,000 test labels 1,135 are ones: 0.1135 + 5 · 0.00317."""
    labels = np.repeat(np.arange(10), [985] * 9 + [1135])
    low, high, _ = accuracy.above_guessing(labels)
    assert (low, high) == (pytest.approx(0.1294, abs=1e-4), 1.0)


@pytest.mark.parametrize(
    ("found", "valid"), [(0.70, True), (0.68, True), (0.60, False), (0.80, False)]
)
def test_accuracy_is_held_against_what_the_reference_reached(found, valid):
    """A row that learned less than the reference in the same epoch is void, or more."""
    rows = {(EPOCH, KERAS): ([1.0] * 6, {"accuracy": found}), (STEP, KERAS): ([1.0] * 6, {})}
    results = make_results(rows)
    bounds = accuracy.around(0.7, 10_000, "mlp")
    results.journal.records.append({"expected": {"place": ["mlp", 128], "bounds": list(bounds)}})
    results = Results(results.plan, results.journal)
    assert results.rows[STEP, KERAS].valid == valid
    assert results.rows[EPOCH, KERAS].accuracy_bounds == bounds
    assert (
        "accuracy of mlp at batch 128: not calibrated; the accepted range is [0.6676, 0.7324)"
        in (shown(results, width=200))
    )


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A session at a batch size that nobody calibrated, with a contestant that learns nothing."""
    idle = "\n\ndef idle(trainer, images, labels, order, trained):\n    trained()\n\n\n"
    copy = fresh_copy(tmp_path_factory, {"idle": idle + "Trainer.train_epoch = idle\n"})
    chosen = ("--implementation=idle", "--implementation=pytorch_eager", "-k", "epoch and mlp")
    session = run(copy, "benchmarks", "--batch-size=48", "--device=cpu", *chosen)
    return copy, session


@pytest.mark.slow
def test_the_reference_trains_what_nobody_calibrated(odd):
    """The session says so, and who learned as much passes."""
    copy, session = odd
    [expected] = [r["expected"] for r in journals(copy)[-1] if "expected" in r]
    assert expected["place"] == ["mlp", 48]
    assert expected["bounds"][2] == "referee"
    assert "mlp at batch 48 is not calibrated: the reference trains it" in session.stdout
    assert "PASSED" in session.stdout or "1 passed" in session.stdout


@pytest.mark.slow
def test_who_learned_nothing_is_void_there(odd):
    """As it is where bounds were calibrated."""
    _, session = odd
    assert session.returncode == 1
    assert "void: epoch[mlp-b48-cpu] idle:" in session.stdout


def test_a_reference_that_is_too_slow_leaves_better_than_guessing(dataset):
    """The limit of a call holds for the reference, too."""
    plan = replace(make_results({(EPOCH, KERAS): ([1.0], {})}, blocks=1).plan, call_limit=1e-3)

    class Journal:
        records = [{"fingerprint": {}}]  # noqa: RUF012
        session = "made up"

        def append(self, record):
            self.records.append(record)

    class Slow(Session):
        def trained_by_reference(self, architecture, batch_size):
            from benchmarks.measuring.workers import WorkerError

            raise WorkerError("no answer within 0.001 s")

    class Quiet:
        def say(self, text):
            pass

    journal = Journal()
    Slow(plan, dataset, journal, Quiet()).expect_accuracy()
    assert journal.records[-1]["expected"]["bounds"].rule == "guessing"
