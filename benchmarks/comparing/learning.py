"""Verdicts on accuracy: do two sides differ more than rounding can explain?"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import NormalDist

from benchmarks.comparing.ratios import CONFIDENCE, Ratio
from benchmarks.comparing.verdicts import FAMILY, POWER, Status, Verdict
from mnist_models.accuracy import Rounding


@dataclass(frozen=True)
class Learned:
    """What one side has learned after an epoch.

    `misread` are the numbers of the test images that it misreads, None if they were not saved.
    `images` is the number of test images, 0 if it is unknown.
    """

    accuracy: float
    misread: frozenset[int] | None
    images: int


def learned(accuracy: float | None, misread: Iterable[tuple[int, int, int]] | None) -> Learned:
    """Return an accuracy with the misread images, which are saved as [image, label, answer]."""
    value = float("nan") if accuracy is None else accuracy
    images = None if misread is None else frozenset(image for image, _, _ in misread)
    return Learned(value, images, round(len(images) / (1 - value)) if images and value < 1 else 0)


def judge_accuracy(
    new: Learned, old: Learned, rounding: Rounding, comparisons: int, environment: str
) -> Verdict:
    """The verdict on two accuracies after the same epoch, on the same test images.

    Both sides share weights, order and seed, so only rounding should make them differ. The verdict
    is EQUIVALENT if the whole interval of their difference lies within what rounding explains. It
    is a change if the interval lies beyond that, and McNemar's exact test on the images that only
    one of them misreads rejects at FAMILY / `comparisons`. Source of the interval and the test:
    Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions" (2003), section 13.1.
    """
    from scipy import special

    for side, where in ((new, "here"), (old, environment)):
        if not (isfinite(side.accuracy) and side.accuracy > 0):
            reason = f"accuracy {side.accuracy} is no measurement ({where})"
            return Verdict(Status.NOT_COMPARABLE, reason=reason)
    words = f"{new.accuracy:.4f}, was {old.accuracy:.4f}"
    if new.misread is None or old.misread is None:
        found = Ratio(new.accuracy / old.accuracy, None, None, 1)
        reason = f"{words}; which images were misread was not saved, so they cannot be paired"
        return Verdict(Status.INCONCLUSIVE, found, reason=reason)
    won, lost = len(old.misread - new.misread), len(new.misread - old.misread)
    images = max(new.images, old.images, 1)
    change = (won - lost) / images
    error = sqrt(won + lost - (won - lost) ** 2 / images) / images
    room = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * error
    # Both are equally likely to misread an image, so the two tails are equal.
    chance = min(1.0, 2 * float(special.bdtr(min(won, lost), won + lost, 0.5)))
    word = Status.INCONCLUSIVE
    if abs(change) + room <= rounding.least:
        word = Status.EQUIVALENT
    elif abs(change) - room > rounding.most and chance < FAMILY / comparisons:
        word = Status.IMPROVED if change > 0 else Status.REGRESSED
    value, low, high = (1 + (change + end) / old.accuracy for end in (0, -room, room))
    sees = rounding.most + room + NormalDist().inv_cdf(POWER) * error
    interval = f"[{change - room:+.4f}, {change + room:+.4f}]"
    reason = f"{words}: a change of {change:+.4f} {interval}; {rounding}"
    return Verdict(word, Ratio(value, low, high, 1), sees / old.accuracy, reason)
