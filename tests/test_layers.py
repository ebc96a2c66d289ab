"""Layers alone: each type, and each optimiser, computes what the reference computes."""

import shutil
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnist_models
from benchmarks.measuring import workers
from mnist_models import implementations, parity
from mnist_models.data import preprocess
from mnist_models.implementations import PAIR, numpy_reference
from mnist_models.networks import Network
from mnist_models.recipe import (
    DYADIC_ADAM,
    DYADIC_ADAMW,
    DYADIC_MOMENTUM,
    DYADIC_NESTEROV,
    DYADIC_SGD,
    SGD,
    Recipe,
)
from mnist_models.weights import from_bytes, initial, to_bytes
from tests.layers.in_numpy import LAYERS, build
from tests.parity_workers import selected
from tests.scheduling import distributed
from tests.test_parity import assert_slopes
from tools.parity_table import FLOAT64_TOLERANCE, LIMIT, ParityWorker

BODIES = (*PAIR, "keras_jax", "keras_torch")
FOLDER = Path(__file__).with_name("layers")
BATCH, SEED = 16, 3
FILES = {
    "in_keras": "from mnist_models.layers.in_keras import build as one\n\n\n"
    "def build():\n    return one({name!r})\n",
    "in_pytorch": "from mnist_models.layers.in_pytorch import build\n\n\n"
    "def network():\n    return build({name!r})\n",
    "in_numpy": "from mnist_models.layers.in_numpy import build as one\n\n\n"
    "def build():\n    return one({name!r})\n",
}
OPTIMIZERS = {
    "SGD": Recipe(SGD(2.0**-10), BATCH),
    "momentum": Recipe(DYADIC_MOMENTUM, BATCH),
    "Nesterov": Recipe(DYADIC_NESTEROV, BATCH),
    "Adam": Recipe(DYADIC_ADAM, BATCH),
    "AdamW": Recipe(DYADIC_ADAMW, BATCH),
    "momentum with a cosine": Recipe(DYADIC_MOMENTUM, BATCH, cosine_steps=8),
    "AdamW with a cosine": Recipe(DYADIC_ADAMW, BATCH, cosine_steps=8),
}


class Alone(Network):
    """A network of one layer and what it needs."""

    def in_numpy(self):
        return build(self.name)


class LayerWorker(ParityWorker):
    """A worker that runs a copy of the package in which every layer is a network."""

    check = staticmethod(lambda worker, facts: None)  # which would refuse it

    def put(self, name, recipe, question, batches=3, attempt=0):
        """A question's answer in float64."""
        start = to_bytes(initial(Alone(name), SEED))
        self.process.ask("take", name, recipe.record(), "float64", start, limit=LIMIT)
        return from_bytes(self.process.ask("observe", question, batches, attempt, limit=LIMIT))


def with_layers(folder):
    """A copy of the package with every layer as a network; dropout is left on in training."""
    home = Path(mnist_models.__file__).parent
    copy = folder / home.name
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(FOLDER, copy / "layers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in LAYERS:
        (copy / "networks" / name).mkdir(exist_ok=True)
        for file, text in FILES.items():
            (copy / "networks" / name / f"{file}.py").write_text(text.format(name=name))
    path = copy / "parity.py"
    text = path.read_text(encoding="utf-8")
    questions = 'OF_TRAINING = ("train_step", "gradients", "epoch")'
    assert questions in text
    path.write_text(text.replace(questions, "OF_TRAINING = ()"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def worker(request, start_worker, tmp_path_factory):
    """A function from an implementation to its `LayerWorker`; skips where it is not installed.

    Where all tests run in this process, all are started at once.
    """
    root = with_layers(tmp_path_factory.mktemp("layers"))
    started = {}

    def start(name):
        if name not in started:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(workers, "ROOT", root)
                started[name] = start_worker(name, root, LayerWorker)
        return started[name]

    def get(name):
        if lacks := implementations.missing(name):
            pytest.skip(f"not installed: pip install {' '.join(lacks)}")
        found = start(name)
        assert found.facts
        return found

    if not distributed(request.config):
        for (name,) in selected(request, "implementation"):
            if not implementations.missing(name):
                start(name)
    yield get
    for witness in started.values():
        witness.dismiss()


def reference(name, recipe, conventions):
    trainer = numpy_reference.Trainer(Alone(name), recipe, conventions=conventions)
    trainer.set_weights(initial(Alone(name), SEED))
    return trainer


def expected(name, recipe, question, conventions, dataset, batches=3):
    count = parity.part(question, batches, recipe.batch_size, len(dataset.train_labels)).stop
    images, labels = preprocess(dataset.train_images[:count]), dataset.train_labels[:count]
    trainer = reference(name, recipe, conventions)
    return parity.observe(trainer, Alone(name), question, images, labels, recipe.batch_size)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "dropout"])
@pytest.mark.parametrize("implementation", BODIES)
def test_a_layer_alone_is_the_references(worker, dataset, implementation, name):
    """Outputs, gradients, ten steps of Adam, running statistics, outputs after them: float64."""
    witness, plain = worker(implementation), Recipe(DYADIC_SGD, BATCH)
    # Adam is another algorithm for an embedding in Keras on TensorFlow: see the next test.
    trained = Recipe(DYADIC_MOMENTUM if name == "embedding" else DYADIC_ADAM, BATCH)
    for question, recipe, batches in (
        ("forward", plain, 3),
        ("gradients", plain, 3),
        ("train_step", trained, 10),
    ):
        answer = witness.put(name, recipe, question, batches)
        right = expected(name, recipe, question, witness.conventions, dataset, batches)
        found = parity.differences(answer, right)
        assert max(found.values()) <= FLOAT64_TOLERANCE, found


class SquaresApart(numpy_reference.Trainer):
    """Adam whose second moment of an embedding squares before it adds up equal tokens."""

    def train_step(self, images, labels):
        layer: Any = self.layers["layer"]
        backward = layer.backward

        def remember(delta):
            self.squares = np.zeros_like(layer.embeddings)
            np.add.at(self.squares, layer.x, delta**2)
            return backward(delta)

        layer.backward = remember
        loss = super().train_step(images, labels)
        layer.backward = backward
        return loss

    def adapt(self, gradients, rate, beta_1, beta_2, epsilon):
        name = "layer/embeddings"
        gradient, v = gradients[name], self.second_moment[name]
        # What `adapt` adds of the square, taken away, and the sum of the squares in its place.
        v += (1 - beta_2) / beta_2 * (self.squares - gradient**2)
        super().adapt(gradients, rate, beta_1, beta_2, epsilon)


@pytest.mark.parametrize("implementation", BODIES)
def test_adam_squares_equal_tokens_apart_in_keras_on_tensorflow(worker, dataset, implementation):
    """There a token that comes twice counts in v as g² + g², elsewhere as (g + g)²."""
    witness, recipe = worker(implementation), Recipe(DYADIC_ADAM, BATCH)
    answer = witness.put("embedding", recipe, "train_step", 10)
    found = {}
    for kind in (numpy_reference.Trainer, SquaresApart):
        trainer = kind(Alone("embedding"), recipe, conventions=witness.conventions)
        trainer.set_weights(initial(Alone("embedding"), SEED))
        count = 10 * BATCH
        sample = preprocess(dataset.train_images[:count]), dataset.train_labels[:count]
        right = parity.observe(trainer, Alone("embedding"), "train_step", *sample, BATCH)
        found[kind] = max(parity.differences(answer, right).values())
    of_tensorflow = implementation == "keras_tensorflow"
    assert found[SquaresApart if of_tensorflow else numpy_reference.Trainer] <= FLOAT64_TOLERANCE
    assert found[numpy_reference.Trainer if of_tensorflow else SquaresApart] > 1e-3


@pytest.mark.parametrize("title", OPTIMIZERS)
@pytest.mark.parametrize("implementation", BODIES)
def test_an_optimizer_is_the_references(worker, dataset, implementation, title):
    """Losses and weights of twelve steps, in float64; a schedule has come to its end in eight."""
    witness, recipe = worker(implementation), OPTIMIZERS[title]
    answer = witness.put("dense", recipe, "train_step", 12)
    right = expected("dense", recipe, "train_step", witness.conventions, dataset, 12)
    found = parity.differences(answer, right)
    assert max(found.values()) <= FLOAT64_TOLERANCE, found


@pytest.mark.parametrize("implementation", BODIES)
def test_dropout_is_the_references_for_the_mask_it_draws(worker, dataset, implementation):
    """The mask is read off the gradient of the layer behind; then everything must follow from it.

    Of 960 units, those that are kept are 75 % within five standard errors.
    """
    witness, recipe, kept = worker(implementation), Recipe(DYADIC_SGD, 1), 0
    for attempt in range(60):
        answer = witness.put("dropout", recipe, "gradients", 1, attempt)
        mask = (answer["gradients/logits/kernel"] != 0).any(axis=1)
        trainer = reference("dropout", recipe, witness.conventions)
        trainer.layers["layer"].mask = mask
        image = preprocess(dataset.train_images[attempt : attempt + 1])
        label = dataset.train_labels[attempt : attempt + 1]
        right = parity.observe(trainer, Alone("dropout"), "gradients", image, label, 1)
        found = parity.differences(answer, right)
        assert max(found.values()) <= FLOAT64_TOLERANCE, found
        kept += mask.sum()
    assert abs(kept / 960 - 0.75) < 5 * sqrt(0.25 * 0.75 / 960)


@pytest.mark.parametrize("name", LAYERS)
def test_the_references_layer_has_the_slope_of_its_loss(name):
    """Against central differences, in the layer, behind it and before it."""
    network, random = Alone(name), np.random.default_rng(1)
    batch = random.random((4, 28, 28, 1)), np.arange(4)
    checked = [tensor for tensor, weight in network.weights.items() if weight.trained]
    assert checked
    for tensor in checked:
        assert_slopes(network, tensor, batch)
