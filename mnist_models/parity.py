"""The reference's questions: what a trainer computes, and how far that is from the reference.

Every implementation answers the same questions as `numpy_reference`, each by itself. Differences
are relative in the Euclidean norm; for weights, the worst weight tensor counts.
"""

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_models.networks import Network
from mnist_models.weights import Weights

Arrays = dict[str, npt.NDArray[Any]]

# How many disjoint sets of images are tried. A unit whose input is zero except for rounding may
# fall on the other side of ReLU or of max-pooling than the reference's, which changes a whole
# image's share of the gradient. That is rare, and does not repeat on other images as faults do.
ATTEMPTS = 3
# Largest relative difference in float32.
TOLERANCES = {
    "logits": 5e-6,
    "probabilities": 5e-6,
    "loss": 5e-6,
    "gradients": 2e-5,
    "weights": 2e-4,
    "state": 2e-4,
    "trained_logits": 2e-4,
    "epoch": 2e-4,
    "dropout": 1.3,
}
# With batch statistics the gradient of a weight before them is a small difference of large sums.
WITH_STATISTICS = {"gradients": 1e-4}
# With rough statistics, a wrong formula shows in evaluation logits, before and after training, and
# in the state. The rest is tested in float64: tests/test_parity.py.
WITH_ROUGH_STATISTICS = {
    "loss": 2e-4,
    "gradients": 0.2,
    "weights": 0.5,
    "state": 1e-2,
    "trained_logits": 2e-2,
    "epoch": 0.5,
}
LEFT_OUT = 0.01
# TF32 keeps 10 bits of each factor's mantissa: 2**-11 is 5e-4.
TF32_TOLERANCES = {
    "logits": 5e-3,
    "probabilities": 5e-3,
    "loss": 5e-3,
    "gradients": 2e-2,
    "weights": 0.3,
    "state": 2e-2,
    "trained_logits": 0.3,
    "epoch": 0.3,
    "dropout": 1.3,
}
# Questions about training, which a network answers without its dropout.
OF_TRAINING = ("train_step", "gradients", "epoch")
# Losses that show whether a network draws at random, and as widely as the reference.
DRAWS = 16


def observe(
    trainer: Any,
    network: Network,
    question: str,
    images: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    batch_size: int,
) -> Arrays:
    """What the trainer answers from its starting weights, as NumPy arrays by name.

    `images` (n, 28, 28, 1) and `labels` (n,) are used in batches of `batch_size`. Only "epoch" uses
    the last partial batch, because its shape may have to be compiled. Raises ValueError for a
    question that does not exist.
    """
    trainer.reset()
    start = trainer.get_weights()
    stops = range(batch_size, len(images) + 1, batch_size)
    batches = [(images[i - batch_size : i], labels[i - batch_size : i]) for i in stops]

    def logits() -> npt.NDArray[Any]:
        return trainer.fetch(trainer.forward(trainer.put(*batches[0])[0])).copy()

    def step(batch: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> float:
        return float(trainer.train_step(*trainer.put(*batch)))

    def moved(kind: str, trained: bool = True) -> Arrays:
        weights = trainer.get_weights()
        return {
            f"{kind}/{name}": weights[name].astype(np.float64) - start[name]
            for name, weight in network.weights.items()
            if weight.trained == trained and weight.compared
        }

    match question:
        case "forward":
            first, _ = trainer.put(*batches[0])
            return {
                "logits": logits(),
                "probabilities": trainer.fetch(trainer.probabilities(first)),
            }
        case "train_step":
            found = {"loss": np.array([step(batch) for batch in batches])}
            found |= moved("weights") | moved("state", trained=False)
            return found | {"trained_logits": logits()}
        case "gradients":
            step(batches[0])
            return moved("gradients")
        case "epoch":
            order = np.arange(len(images))[::-1].copy()
            trainer.train_epoch(*trainer.put(images, labels), order, lambda: None)
            return moved("epoch")
        case "dropout":
            losses = []
            for _ in range(DRAWS):
                trainer.reset()
                losses.append(step(batches[0]))
            return {"dropout": np.array(losses)}
    raise ValueError(f"no such question: {question!r}")


def part(question: str, batches: int, batch_size: int, total: int, attempt: int = 0) -> slice:
    """The images, of `total`, for a question, at the first attempt or a later one.

    They are whole batches, and for "epoch" also as many images as the last partial batch of all
    images has. The part is empty if there are too few images for another attempt.
    """
    count = min(batches * batch_size, total)
    count += total % batch_size if question == "epoch" else 0
    count = min(count, total)
    stop = (attempt + 1) * count
    return slice(stop - count, stop) if stop <= total else slice(0, 0)


def differences(observed: Arrays, expected: Arrays, left_out: float = 0.0) -> dict[str, float]:
    """Worst relative difference of each kind of answer, such as {"logits": 3e-7}.

    Anything that is not finite, and a shape that is not the expected one, counts as infinity. The
    share `left_out` of the elements of a weight tensor, rounded up, is ignored: those that differ
    most. In float32 the rounding of a gradient that happens to vanish decides the sign of a whole
    step of Adam, and one such element of a bias would outweigh all others. Losses may be those of
    each step or their means so far, as Keras before 3.15 returns them.
    """
    worst: dict[str, float] = {}
    for name, want in expected.items():
        kind = name.split("/")[0]
        if kind == "dropout":
            worst[kind] = drawn_apart(observed[name], want)
            continue
        ignored = ceil(left_out * want.size) if kind in ("weights", "epoch") else 0
        difference = relative(observed[name], want, ignored)
        if kind == "loss":
            means = np.cumsum(want) / np.arange(1, want.size + 1)
            difference = min(
                difference, relative(observed[name], means.reshape(want.shape), ignored)
            )
        worst[kind] = max(worst.get(kind, 0.0), difference)
    return worst


def drawn_apart(have: npt.NDArray[Any], want: npt.NDArray[Any]) -> float:
    """How far apart two sets of random losses are: the larger difference of means or log-spreads.

    The means' difference is in standard deviations of `want`. Infinite if `have` does not vary.
    """
    if have.shape != want.shape or not np.isfinite(have).all() or np.ptp(have) == 0:
        return float("inf")
    centre = abs(have.mean() - want.mean()) / want.std()
    return float(max(centre, abs(np.log(have.std() / want.std()))))


def relative(have: npt.NDArray[Any], want: npt.NDArray[Any], ignored: int) -> float:
    """Relative difference in the Euclidean norm, without the `ignored` largest deviations."""
    if have.shape != want.shape or not np.isfinite(have).all():
        return float("inf")
    deviations = np.sort(np.abs(have.astype(np.float64) - want), axis=None)
    kept = deviations[: deviations.size - ignored]
    return float(np.linalg.norm(kept) / (np.linalg.norm(want) or 1.0))


def worst(have: Weights, want: Weights) -> float:
    """The largest relative difference of a weight."""
    return max(relative(have[name], array, 0) for name, array in want.items())


def limits(
    network: Network, rough_statistics: bool, precision: str = "float32"
) -> dict[str, float]:
    """The largest difference of each kind that rounding explains, from measurements.

    `rough_statistics` is that of the implementation's `Conventions`.
    """
    if precision == "tf32":
        return TF32_TOLERANCES
    if not network.has_state:
        return TOLERANCES
    return TOLERANCES | (WITH_ROUGH_STATISTICS if rough_statistics else WITH_STATISTICS)


def violations(found: dict[str, float], allowed: dict[str, float] = TOLERANCES) -> list[str]:
    """The differences that are larger than allowed, as text."""
    return [
        f"{kind}: off by {difference:.1e} from the NumPy reference (allowed: {allowed[kind]:.0e})"
        for kind, difference in found.items()
        if not difference <= allowed[kind]
    ]
