"""Feeding: every way feeds the same images in the same order, and one that does not is void."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.reporting import words
from benchmarks.trial import Trial
from mnist_models import feeding, feeds, networks, recipe, weights
from mnist_models.feeding import Feeding
from mnist_models.feeds import SHIFT, Feed, part, shifted
from mnist_models.implementations import PAIR, Unavailable, numpy_reference
from mnist_models.operations import FEED
from tests.test_command_lines import run_here
from tests.test_statistics import make_results

KERAS, PYTORCH = PAIR
TRIAL = Trial("feed", "mlp", 128, "cpu")
RANDOM = np.random.default_rng(4)
IMAGES = RANDOM.integers(0, 256, (50, 28, 28), np.uint8)
LABELS = RANDOM.integers(0, 10, 50).astype(np.uint8)
FIGURES = {"images": 12800, "wrong": 0, "alone_seconds": 0.25, "training_seconds": 0.5}


@pytest.mark.parametrize("shift", [(0, 0), (1, -2), (-2, 2), (2, 1)])
def test_an_image_moves_by_its_shift(shift):
    moved = shifted(IMAGES[:1], np.array([shift]))
    expected = ndimage.shift(IMAGES[0].astype(float), shift, order=0)
    np.testing.assert_allclose(moved[0, :, :, 0], expected / 255, rtol=1e-6)


def test_a_part_has_every_image_once_and_shifts_within_their_limit():
    found = part(IMAGES, LABELS, 16, seed=1)
    assert sorted(found.order) == list(range(50))
    assert {*found.shifts.ravel()} == {*range(-SHIFT, SHIFT + 1)}


def batches(part):
    for start in range(0, len(part.order), part.batch_size):
        batch = part.order[start : start + part.batch_size]
        yield shifted(part.images[batch], part.shifts[batch]), part.labels[batch]


def of_another_order(part):
    yield from batches(replace(part, order=part.order[::-1]))


def not_shifted(part):
    yield from batches(replace(part, shifts=np.zeros_like(part.shifts)))


def shifted_the_other_way(part):
    yield from batches(replace(part, shifts=-part.shifts))


def without_the_last_batch(part):
    yield from list(batches(part))[:-1]


def with_an_image_twice(part):
    yield from batches(replace(part, order=np.append(part.order, part.order[0])))


def with_labels_of_others(part):
    yield from batches(replace(part, labels=part.labels[::-1]))


def not_normalised(part):
    yield from ((255 * images, labels) for images, labels in batches(part))


@pytest.fixture
def feeding_by(monkeypatch):
    """A `Feeding` of a worker whose usual way is right, and whose other way is the given one."""

    def make(way, train=lambda trainer, feed, done: (list(feed), done())):
        def trained(run):
            run(lambda: None)
            return (0.5, 0.4), 0.5

        trainer = SimpleNamespace(reset=lambda: None)
        ways = {
            "usual": Feed(lambda part: [*batches(part)], train),
            "other": Feed(lambda part: [*way(part)], train),
            "absent": Feed(batches, train, ("no_such_loader",)),
        }
        monkeypatch.setattr(feeds, "feeds", lambda name: ways)
        return Feeding(
            SimpleNamespace(
                own=lambda: (PYTORCH, "mlp", {}, "cpu", 1),
                trainer=trainer,
                network=SimpleNamespace(draws=True),
                images=IMAGES,
                labels=LABELS,
                batch_size=16,
                seed=0,
                clock=lambda call, iterations: (call(0), (0.25, 0.2))[1],
                trained=trained,
                counted=lambda call, calls: (*call(), {}),
            )
        )

    return make


def test_the_right_images_have_all_their_figures(feeding_by):
    found = feeding_by(batches).found("other")
    assert found == FIGURES | {"images": 50}


@pytest.mark.parametrize(
    "way",
    [
        of_another_order,
        not_shifted,
        shifted_the_other_way,
        without_the_last_batch,
        with_an_image_twice,
        with_labels_of_others,
        not_normalised,
    ],
)
def test_other_images_void_the_row(feeding_by, way):
    """The planted fault is counted, and said."""
    found = feeding_by(way).found("other")
    assert found["wrong"] > 0
    results = make_results({(TRIAL, KERAS): ([1.0] * 6, {"feeds": {"other": found}})})
    row = results.rows[TRIAL, KERAS]
    assert not row.valid
    assert row.wrong_answers[0].startswith(f"other fed {found['wrong']} of 50 images wrong")


def test_a_fault_of_the_usual_way_is_in_its_sample(feeding_by, monkeypatch):
    made = feeding_by(batches)
    made.ways["usual"] = made.ways["usual"].__class__(
        lambda part: [*not_shifted(part)], made.ways["usual"].train
    )
    monkeypatch.setattr("mnist_models.operations.production.Feeding", lambda worker: made)
    FEED.first_call(made.worker)
    found = FEED.sample(made.worker, 1)
    assert found["seconds"] == 0.5
    assert found["feeds"]["usual"]["wrong"] > 0
    assert found["feeds"]["other"]["wrong"] == 0


class Epochs:
    """A loader whose timed epoch, its third one, is another one than the first."""

    def __init__(self, part, third):
        self.part, self.third, self.epochs = part, third, 0

    def __iter__(self):
        self.epochs += 1
        return (self.third if self.epochs == 3 else batches)(self.part)


@pytest.mark.parametrize(
    ("third", "wrong"),
    [
        (batches, False),
        (of_another_order, True),
        (not_shifted, True),
        (with_labels_of_others, True),
        (without_the_last_batch, True),
    ],
)
def test_the_weights_after_the_timed_epoch_are_compared(third, wrong, monkeypatch):
    """The reference trains. What the first epoch fed says nothing about the timed one."""
    network, plan = networks.load("mlp"), replace(recipe.DEFAULT, batch_size=16)
    trainer = numpy_reference.Trainer(network, plan, "cpu", "float32")
    trainer.set_weights(weights.initial(network, 0))

    def train(trainer, feed, done):
        for images, labels in feed:
            trainer.train_step(*trainer.put(images, labels))
        done()

    ways = {"other": Feed(lambda part: Epochs(part, third), train)}
    monkeypatch.setattr(feeds, "feeds", lambda name: ways)
    made = Feeding(
        SimpleNamespace(
            own=lambda: (PYTORCH, "mlp", {}, "cpu", 1),
            trainer=trainer,
            network=network,
            images=IMAGES,
            labels=LABELS,
            batch_size=16,
            seed=0,
            trained=lambda run: (run(lambda: None), ((0.5, 0.4), 0.5))[1],
            clock=lambda call, iterations: (call(0), (0.25, 0.2))[1],
        )
    )
    made.expect()
    found = made.found("other")
    assert found["wrong"] == 0
    assert (found["difference"] > found["bound"]) == wrong
    results = make_results({(TRIAL, KERAS): ([1.0] * 6, {"feeds": {"other": found}})})
    said = results.rows[TRIAL, KERAS].wrong_answers
    assert [line.startswith("other: weights differ by ") for line in said[:1]] == [True] * wrong


def test_weights_that_rounding_moves_far_are_not_compared(feeding_by, monkeypatch):
    """The check could not fail."""
    made = feeding_by(batches)
    made.worker.network.draws = False
    ends = iter([{"w": np.array([1.0])}, {"w": np.array([1.002])}])
    monkeypatch.setattr(made, "steps", lambda parts: next(ends))
    made.expect()
    assert made.expected == {}
    assert "difference" not in made.found("other")


def test_a_way_that_only_feeds_training_has_no_figure_alone():
    figures = FIGURES | {"alone_seconds": None}
    results = make_results({(TRIAL, KERAS): ([1.0] * 6, {"feeds": {"threads": figures}})})
    info = results.particulars(results.rows[TRIAL, KERAS])
    assert words.particulars(KERAS, info) == ["Keras threads: 25,600 images/s in training"]


def test_what_is_not_installed_is_a_way_with_its_reason(feeding_by):
    found = feeding_by(batches).found("absent")
    assert found == {"missing": "not installed: no_such_loader; pip install -e '.[feed]'"}
    said = words.particulars(KERAS, {"feeds": [{"absent": found}]})
    assert said == [f"Keras absent: {found['missing']}"]


def test_what_fails_is_a_way_with_its_reason(feeding_by):
    def failing(part):
        raise ValueError("no such file\nand more")
        yield

    found = feeding_by(failing).found("other")
    assert found == {"missing": "cannot feed: ValueError: no such file"}


def test_who_has_no_way_to_feed_is_refused(feeding_by, monkeypatch):
    made = feeding_by(batches)
    monkeypatch.setattr(feeds, "feeds", lambda name: {})
    with pytest.raises(Unavailable, match="pytorch_eager has no ways to feed"):
        Feeding(made.worker)
    monkeypatch.undo()
    assert feeds.feeds("numpy_reference") == {}


def test_figures_are_told_as_images_a_second():
    results = make_results({(TRIAL, KERAS): ([1.0] * 6, {"feeds": {"tf.data": FIGURES}})})
    info = results.particulars(results.rows[TRIAL, KERAS])
    assert words.particulars(KERAS, info) == [
        "Keras tf.data: 25,600 images/s in training, 51,200 images/s alone (50% of the time)"
    ]


@pytest.mark.slow
def test_every_way_that_is_installed_feeds_right(tmp_path):
    """A live session of the pair, on a last batch that is not whole."""
    rows = run_here(tmp_path, "--operation=feed", "--blocks=1")
    assert {name: len(row["extra_info"]["feeds"][0]) for name, row in rows.items()} == {
        KERAS: 6,
        PYTORCH: 4,
    }
    for row in rows.values():
        for name, found in row["extra_info"]["feeds"][0].items():
            assert found.get("missing", "not installed").startswith("not installed"), (name, found)
            assert found.get("wrong", 0) == 0
            assert 0 < found.get("images", 1) <= feeding.FED
