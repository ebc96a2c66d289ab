"""Parity: every implementation does the NumPy reference's arithmetic, which is right."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy.signal import correlate

from mnist_models import networks, numpy_layers, parity
from mnist_models.conventions import TEXTBOOK, Conventions
from mnist_models.implementations import PAIR, names, numpy_reference
from mnist_models.recipe import DEFAULT, DYADIC_ADAM, DYADIC_SGD, Recipe
from mnist_models.weights import initial
from tools.parity_table import FLOAT64_TOLERANCE, LIMIT, QUESTIONS, STEPS, differences

TENSORS = [
    (name, tensor)
    for name in networks.names()
    for tensor, weight in networks.load(name).weights.items()
    if weight.compared
]
NUDGE = 1e-6
# The others are variants of these, which compile every network anew for every type: they are asked
# what they could have changed. `python -m tools.parity_table` asks everybody everything.
COMPLETE = (*PAIR, "keras_jax", "keras_torch", "numpy_reference")
# What the pair alone is timed on by default takes long to compile: of these, less is asked.
SHORT = [name for name in networks.names() if networks.load(name).for_all]
LONG = [name for name in networks.names() if name not in SHORT]
ASKED = [
    *product(
        SHORT,
        ("float64 momentum", "float64 Adam", *(q for q in QUESTIONS if q.startswith("float32"))),
    ),
    *product(LONG, ("float64 AdamW, 10 steps", "float32 Adam")),
]
ASKED_OF_THE_PAIR = [
    *product(LONG, ("float32 forward", "float32 epoch")),
]
ASKED_OF_VARIANTS = [("mlp", "float64 Adam")]
ASKED_OF_VARIANTS += product(("mlp", "lenet5"), ["float32 forward", "float32 epoch"])


def asked_of(implementation):
    """(architecture, question) of each case."""
    if implementation in PAIR:
        return ASKED + ASKED_OF_THE_PAIR
    return ASKED if implementation in COMPLETE else ASKED_OF_VARIANTS


# Every implementation against the reference


@pytest.mark.parametrize(
    ("implementation", "architecture", "question"),
    [(name, *case) for name in names() for case in asked_of(name)],
)
def test_implementation_agrees_with_the_reference(
    worker, dataset, implementation, architecture, question
):
    """In float64 to 12 digits after 100 steps, in float32 within `parity.TOLERANCES`."""
    witness = worker(implementation)
    answer = witness.ask(architecture, question).result()
    found = differences(answer, dataset, architecture, question, witness.conventions)
    if QUESTIONS[question].dtype == "float64":
        assert max(found.values()) <= FLOAT64_TOLERANCE, found
    else:
        rough = witness.conventions.rough_statistics
        allowed = parity.limits(networks.load(architecture), rough)
        assert parity.violations(found, allowed) == []


@pytest.mark.parametrize("implementation", names())
def test_nothing_gave_up_compiling(worker, implementation):
    """Nor fell back to eager execution, of which PyTorch tells nobody but its log."""
    witness = worker(implementation)
    for answer in witness.asked.values():
        answer.result()
    assert "recompile_limit" not in witness.process.log.read_text()


# The check itself


@pytest.mark.parametrize(("architecture", "tensor"), TENSORS)
def test_one_weight_that_is_off_by_a_percent_is_a_violation(architecture, tensor, batch):
    """Whichever tensor it is in, provided that it has a say in the outcome."""
    network = networks.load(architecture)
    start = begun(network)

    def answer():
        return parity.observe(reference(network, start), network, "forward", *batch, len(batch[1]))

    right = answer()
    # In a deep network one of a thousand weights is less than rounding: all of the tensor, then.
    deep = architecture in ("resnet", "transformer")
    start[tensor][... if deep else most_telling(slopes(network, batch)[tensor])] *= 1.01
    wrong = answer()
    assert parity.violations(parity.differences(right, right)) == []
    assert parity.violations(parity.differences(wrong, right))


@pytest.mark.parametrize(
    "answer",
    [
        np.array([[0.0, np.nan], [1.0, 1.0]]),
        np.array([[0.0, np.inf], [1.0, 1.0]]),
        np.zeros((2, 1)),
        np.zeros(4),
    ],
    ids=["not a number", "infinite", "broadcast", "flat"],
)
@pytest.mark.parametrize("kind", parity.TOLERANCES)
def test_what_cannot_be_compared_counts_as_infinitely_different(kind, answer):
    """A NaN must not pass because no comparison with it is true, nor a shape that broadcasts."""
    found = parity.differences({kind: answer}, {kind: np.eye(2)}, parity.LEFT_OUT)
    assert found == {kind: float("inf")}
    assert parity.violations(found)


def test_losses_may_be_means_over_the_steps_so_far():
    """And nothing else that is close to them, such as the mean over all steps for each."""
    right = np.array([2.0, 1.0, 0.6])
    for answer, passes in [
        (right, True),
        (np.array([2.0, 1.5, 1.2]), True),
        (np.array([2.0, 1.5, 0.6]), False),
        (np.full(3, 1.2), False),
        (np.array([2.0, 2.0, 2.0]), False),
    ]:
        found = parity.differences({"loss": answer}, {"loss": right}, parity.LEFT_OUT)
        assert (parity.violations(found) == []) == passes


# The reference


@pytest.fixture(scope="module")
def batch(dataset):
    """Images of noise, so that every weight has a slope, and labels."""
    random = np.random.default_rng(1)
    return random.random((4, 28, 28, 1)), dataset.train_labels[:4]


def reference(network, start, optimizer=DYADIC_SGD, conventions=TEXTBOOK):
    trainer = numpy_reference.Trainer(network, Recipe(optimizer, 1), conventions=conventions)
    trainer.set_weights(start)
    return trainer


def begun(network):
    """Starting weights in float64."""
    return {name: array.astype(float) for name, array in initial(network, DEFAULT.seed).items()}


SLOPES = {}


def slopes(network, batch):
    """The reference's gradient of the loss; computed once for each network."""
    if network.name not in SLOPES:
        start = begun(network)
        trainer = reference(network, start)
        trainer.train_step(*batch)
        moved = trainer.get_weights()
        rate = DYADIC_SGD.learning_rate
        SLOPES[network.name] = {name: (start[name] - moved[name]) / rate for name in start}
    return SLOPES[network.name]


def most_telling(gradient):
    return np.unravel_index(np.abs(gradient).argmax(), gradient.shape)


def assert_slopes(network, tensor, batch, places=3):
    """Against central differences, at the steepest weight of a tensor and at others drawn.

    The loss is that of training; dropout draws the same mask each time.
    """
    start, gradient = begun(network), slopes(network, batch)[tensor]
    random = np.random.default_rng(2)
    drawn = [tuple(random.integers(gradient.shape)) for _ in range(places - 1)]
    for place in [most_telling(gradient), *drawn]:
        centre, around = start[tensor][place], []
        for nudge in (NUDGE, -NUDGE):
            start[tensor][place] = centre + nudge
            around.append(reference(network, start).train_step(*batch))
        start[tensor][place] = centre
        slope = (around[0] - around[1]) / (2 * NUDGE)
        assert slope == pytest.approx(gradient[place], abs=1e-6 * np.abs(gradient).max() + 1e-9)


@pytest.mark.parametrize(("architecture", "tensor"), TENSORS)
def test_the_references_gradient_is_the_slope_of_its_loss(architecture, tensor, batch):
    """Where it is steepest; tests/test_layers.py has every layer alone, at more places."""
    network = networks.load(architecture)
    if network.weights[tensor].trained:
        assert_slopes(network, tensor, batch, places=1)


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_the_references_convolution_is_a_correlation(padding):
    """Pixel by pixel in plain loops, and as SciPy's `correlate` has it."""
    random = np.random.default_rng(3)
    images, layer = random.standard_normal((2, 6, 7, 3)), numpy_layers.Convolution(3, 4, 3, padding)
    layer.kernel, layer.bias = random.standard_normal((3, 3, 3, 4)), random.standard_normal(4)
    found = layer.forward(images)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    by_loops, by_scipy = np.empty(found.shape), np.empty(found.shape)
    for n, i, j, f in np.ndindex(found.shape):
        window = padded[n, i : i + 3, j : j + 3]
        by_loops[n, i, j, f] = (window * layer.kernel[..., f]).sum() + layer.bias[f]
    for n, f in np.ndindex(2, 4):
        valid = correlate(padded[n], layer.kernel[..., f], mode="valid")
        by_scipy[n, ..., f] = valid[..., 0] + layer.bias[f]
    np.testing.assert_allclose(found, by_loops, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found, by_scipy, rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [2, 3])
def test_the_references_max_pooling_passes_on_the_largest(size):
    """Forward its value; back its gradient, to where it stood and nowhere else."""
    random = np.random.default_rng(4)
    images, layer = random.standard_normal((2, 7, 8, 3)), numpy_layers.MaxPool(size)
    found = layer.forward(images)
    delta = random.standard_normal(found.shape)
    largest, gradient = np.empty(found.shape), np.zeros(images.shape)
    for n, i, j, c in np.ndindex(found.shape):
        square = images[n, size * i : size * (i + 1), size * j : size * (j + 1), c]
        largest[n, i, j, c] = square.max()
        gradient[n, ..., c][images[n, ..., c] == square.max()] += delta[n, i, j, c]
    assert found.shape == (2, 7 // size, 8 // size, 3)
    np.testing.assert_array_equal(found, largest)
    np.testing.assert_array_equal(layer.backward(delta), gradient)


def textbook_adam(start, gradients, epsilons):
    """Algorithm 1 of Kingma & Ba, line by line, with an epsilon for every step."""
    weights, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    beta_1, beta_2 = DYADIC_ADAM.beta_1, DYADIC_ADAM.beta_2
    for t, (gradient, epsilon) in enumerate(zip(gradients, epsilons, strict=True), start=1):
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        unbiased_m, unbiased_v = m / (1 - beta_1**t), v / (1 - beta_2**t)
        weights -= DYADIC_ADAM.learning_rate * unbiased_m / (np.sqrt(unbiased_v) + epsilon)
    return weights


@pytest.mark.parametrize(
    ("form", "epsilon_at"),
    [
        ("plain", lambda t: DYADIC_ADAM.epsilon),
        ("hat", lambda t: DYADIC_ADAM.epsilon / sqrt(1 - DYADIC_ADAM.beta_2**t)),
    ],
    ids=["plain", "hat"],
)
def test_the_two_forms_of_adam_are_one(form, epsilon_at):
    """Keras's form is PyTorch's with another epsilon at each step, so parity joins the two."""
    network = networks.load("mlp")
    start = {name: array.astype(float) for name, array in initial(network, 0).items()}
    kernel, bias = start["logits/kernel"], start["logits/bias"]
    random = np.random.default_rng(5)
    sizes = 10.0 ** random.uniform(
        -9, 0, (STEPS, *kernel.shape)
    )  # epsilon rules some, and not others
    gradients = sizes * random.standard_normal(sizes.shape)
    trainer = reference(network, start, DYADIC_ADAM, Conventions(adam_epsilon=form))
    for gradient in gradients:
        trainer.update({"logits/kernel": gradient, "logits/bias": gradient[0]})
    epsilons = [epsilon_at(t) for t in range(1, STEPS + 1)]
    for name, array, share in [
        ("logits/kernel", kernel, gradients),
        ("logits/bias", bias, gradients[:, 0]),
    ]:
        expected = textbook_adam(array, share, epsilons)
        np.testing.assert_allclose(trainer.weights[name], expected, rtol=0, atol=1e-14)


# Sizes


SIZES = {
    "mlp": (407_050, 2 * (784 * 512 + 512 * 10)),
    "deep_mlp": (567_434, 2 * (784 * 512 + 512 * 256 + 256 * 128 + 128 * 10)),
    "lenet5": (
        61_706,
        2 * (28 * 28 * 6 * 25 + 10 * 10 * 16 * 25 * 6 + 400 * 120 + 120 * 84 + 84 * 10),
    ),
    "lstm": (81_674, 2 * (28 * (28 + 128) * 4 * 128 + 128 * 10)),
    "resnet": (
        19_810,
        2
        * (
            14 * 14 * 9 * (8 + 2 * 8 * 8)
            + 7 * 7 * (9 * 16 * (8 + 16) + 8 * 16)
            + 4 * 4 * (9 * 32 * (16 + 32) + 16 * 32)
            + 32 * 10
        ),
    ),
    "transformer": (
        55_434,
        2 * (16 * 49 * 64 + 2 * 16 * (4 * 64 * 64 + 2 * 16 * 64 + 2 * 64 * 64) + 64 * 10),
    ),
}
# What PyTorch's counter does not know.
UNCOUNTED = ("lstm",)


def count_in_keras(channel, architecture):
    from math import prod

    from mnist_models import networks

    model = networks.load(architecture).in_keras()
    counted = 0
    for weight in model.trainable_weights:  # execnet takes no function with closures
        counted += prod(weight.shape)
    channel.send([counted])


def count_in_pytorch(channel, architecture):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mnist_models import networks

    model = networks.load(architecture).in_pytorch()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, 28, 28))
    counted = 0
    for weight in model.parameters():
        counted += weight.numel() if weight.requires_grad else 0
    channel.send([counted, counter.get_total_flops()])


@pytest.mark.parametrize("architecture", networks.names())
def test_sizes_are_what_one_computes_by_hand(architecture):
    """Parameters, and multiplications and additions of one image's forward pass."""
    network = networks.load(architecture)
    assert (network.parameters, network.flops) == SIZES[architecture]


@pytest.mark.parametrize(
    ("implementation", "count"),
    [("keras_tensorflow", count_in_keras), ("pytorch_eager", count_in_pytorch)],
)
@pytest.mark.parametrize("architecture", networks.names())
def test_sizes_are_what_the_frameworks_count(worker, implementation, count, architecture):
    """Keras counts trained parameters; PyTorch's flop counter counts operations, too."""
    witness = worker(implementation)
    (gateway,) = witness.process.group
    counted = witness.queue.submit(
        lambda: gateway.remote_exec(count, architecture=architecture).receive(LIMIT)
    )
    found = counted.result()[: 1 if architecture in UNCOUNTED else 2]
    assert found == [*SIZES[architecture]][: len(found)]
