"""The reference's questions: what a trainer computes, and how far that is from the reference.

Every implementation answers the same questions as `numpy_reference`, each by itself. Differences
are relative in the Euclidean norm; for weights, the worst weight tensor counts.
"""

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_models.weights import Weights

Arrays = dict[str, npt.NDArray[Any]]

# How many disjoint sets of images are tried. A unit whose input is zero but for rounding may fall
# on the other side of ReLU or of max-pooling than the reference's, and a whole image's share of the
# gradient with it. That is rare and spares the next images; no fault of meaning spares any.
ATTEMPTS = 3
# Largest relative difference in float32.
TOLERANCES = {
    "logits": 5e-6,
    "probabilities": 5e-6,
    "loss": 5e-6,
    "gradients": 2e-5,
    "weights": 2e-4,
    "epoch": 2e-4,
}
LEFT_OUT = 0.01
# TF32 keeps 10 bits of each factor's mantissa: 2**-11 is 5e-4.
TF32_TOLERANCES = {
    "logits": 5e-3,
    "probabilities": 5e-3,
    "loss": 5e-3,
    "gradients": 2e-2,
    "weights": 0.3,
    "epoch": 0.3,
}


def observe(
    trainer: Any, question: str, images: npt.NDArray[Any], labels: npt.NDArray[Any], batch_size: int
) -> Arrays:
    """What the trainer answers from its starting weights, as NumPy arrays by name.

    `images` (n, 28, 28, 1) and `labels` (n,) are walked over in batches of `batch_size`, the last
    partial batch by "epoch" alone, because its shape may have to be compiled.
    """
    trainer.reset()
    start = trainer.get_weights()
    stops = range(batch_size, len(images) + 1, batch_size)
    batches = [(images[i - batch_size : i], labels[i - batch_size : i]) for i in stops]
    match question:
        case "forward":
            first, _ = trainer.put(*batches[0])
            logits, probabilities = trainer.forward(first), trainer.probabilities(first)
            return {
                "logits": trainer.fetch(logits).copy(),
                "probabilities": trainer.fetch(probabilities),
            }
        case "train_step":
            losses = [float(trainer.train_step(*trainer.put(*batch))) for batch in batches]
            return {"loss": np.array(losses)} | moved(trainer, start, "weights")
        case "gradients":
            trainer.train_step(*trainer.put(*batches[0]))
            return moved(trainer, start, "gradients")
        case "epoch":
            order = np.arange(len(images))[::-1].copy()
            trainer.train_epoch(*trainer.put(images, labels), order, lambda: None)
            return moved(trainer, start, "epoch")
    raise ValueError(f"no such question: {question!r}")


def part(question: str, batches: int, batch_size: int, total: int, attempt: int = 0) -> slice:
    """Which of `total` images a question is asked on, at the first attempt or a later one.

    Whole batches, and for "epoch" also what an epoch over all images has left at its end. Where
    there are too few images for another attempt, its part is empty.
    """
    count = min(batches * batch_size, total)
    count += total % batch_size if question == "epoch" else 0
    count = min(count, total)
    stop = (attempt + 1) * count
    return slice(stop - count, stop) if stop <= total else slice(0, 0)


def moved(trainer: Any, start: Weights, name: str) -> Arrays:
    """How far each weight tensor has moved from `start`."""
    weights = trainer.get_weights()
    return {f"{name}/{key}": weights[key].astype(np.float64) - start[key] for key in start}


def differences(observed: Arrays, expected: Arrays, left_out: float = 0.0) -> dict[str, float]:
    """Worst relative difference of each kind of answer, such as {"logits": 3e-7}.

    Anything that is not finite, and a shape that is not the expected one, counts as infinity. Of
    each weight tensor the share `left_out` of elements that differ most, at least one, is ignored:
    in float32 the rounding of a gradient that happens to vanish decides the sign of a whole step
    of Adam, and one such element of a bias would outweigh all others. Losses may be those of each
    step or their means so far, as Keras before 3.15 returns them.
    """
    worst: dict[str, float] = {}
    for name, want in expected.items():
        kind = name.split("/")[0]
        ignored = ceil(left_out * want.size) if kind in ("weights", "epoch") else 0
        difference = relative(observed[name], want, ignored)
        if kind == "loss":
            means = np.cumsum(want) / np.arange(1, want.size + 1)
            difference = min(
                difference, relative(observed[name], means.reshape(want.shape), ignored)
            )
        worst[kind] = max(worst.get(kind, 0.0), difference)
    return worst


def relative(have: npt.NDArray[Any], want: npt.NDArray[Any], ignored: int) -> float:
    """Relative difference in the Euclidean norm, without the `ignored` largest deviations."""
    if have.shape != want.shape or not np.isfinite(have).all():
        return float("inf")
    deviations = np.sort(np.abs(have.astype(np.float64) - want), axis=None)
    kept = deviations[: deviations.size - ignored]
    return float(np.linalg.norm(kept) / (np.linalg.norm(want) or 1.0))


def violations(found: dict[str, float], precision: str = "float32") -> list[str]:
    """The differences that are too large, in words."""
    limits = TF32_TOLERANCES if precision == "tf32" else TOLERANCES
    return [
        f"{kind} differ from the NumPy reference by {difference:.1e} (at most {limits[kind]:.0e})"
        for kind, difference in found.items()
        if not difference <= limits[kind]
    ]
