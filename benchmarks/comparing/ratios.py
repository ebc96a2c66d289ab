"""From samples to ratios with intervals. The unit of evidence is the block."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import comb, exp, isfinite, log, nan, sqrt
from statistics import fmean, median

import numpy as np

CONFIDENCE = 0.95
# Fewer blocks give no interval of that confidence: 2 · 2⁻⁵ is above 0.05.
LEAST_BLOCKS = 6
MARGIN = 0.01


@dataclass(frozen=True)
class Ratio:
    """Seconds of the first over seconds of the second, with an exact interval for the median.

    `low` and `high` are None if there are too few blocks for an interval. `spread` is the standard
    deviation of the blocks' log-ratios, 0 for a single block.
    """

    value: float
    low: float | None
    high: float | None
    blocks: int
    spread: float = 0.0

    @property
    def winner(self) -> int | None:
        """0 when the first is faster, 1 when the second is, None when neither surely is.

        The whole interval must lie more than MARGIN from equality, because fresh processes of
        identical code differ by about that much.
        """
        if self.low is None or self.high is None:
            return None
        if self.high < 1 / (1 + MARGIN):
            return 0
        return 1 if self.low > 1 + MARGIN else None


Blocks = dict[int, list[float]]


def logs_by_block(first: Blocks, second: Blocks) -> dict[int, float]:
    """Median log-ratio of the paired samples of each block that both were measured in.

    Samples of the same block and position were taken in the same round. Rounds in one process are
    not independent (layout, allocation and caches are drawn once), so a block counts once. NaN
    stands for a block with a sample that is no measurement.
    """
    found = {}
    for block in sorted(first.keys() & second.keys()):
        pairs = zip(first[block], second[block], strict=True)
        logs = [log(one) - log(other) if one > 0 < other else nan for one, other in pairs]
        found[block] = median(logs) if all(map(isfinite, logs)) else nan
    return found


def block_log_ratios(first: Blocks, second: Blocks) -> list[float]:
    """The values of `logs_by_block`, in the order of the blocks."""
    return [*logs_by_block(first, second).values()]


@cache
def places(blocks: int, confidence: float) -> tuple[int, int] | None:
    """The positions, among `blocks` sorted values, of the ends of their median's exact interval.

    None if there are too few values. Source: Conover, "Practical Nonparametric Statistics"
    (1999), section 3.2. `scipy.stats.quantile_test` finds the same, but its import takes most of a
    second, which every session would wait for.
    """
    # In 2**blocks equally likely cases: how many of them each end may miss.
    cases, beyond = int(Fraction((1 - confidence) / 2) * 2**blocks), 0
    while (cases := cases - comb(blocks, beyond)) >= 0:
        beyond += 1
    return (beyond - 1, blocks - beyond) if beyond else None


def interval(values: list[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The exact order-statistic (sign test) interval of the median; None for too few values."""
    found, ordered = places(len(values), confidence), sorted(values)
    return (ordered[found[0]], ordered[found[1]]) if found else None


@cache
def cut(count: int, error: float) -> int | None:
    """How many pairwise means of `count` values lie beyond each end of their centre's interval.

    The largest number whose one-sided error is at most `error`; None for too few values.
    Source: Wilcoxon's signed ranks, as in Hollander and Wolfe, "Nonparametric Statistical Methods"
    (1999), section 3.3.
    """
    sums = np.ones(1)  # the number of subsets of the ranks 1 to `count` with each sum
    for rank in range(1, count + 1):
        sums = np.convolve(sums, [1.0, *[0.0] * (rank - 1), 1.0])
    below = int(np.searchsorted(np.cumsum(sums) / 2.0**count, error, side="right"))
    return below - 1 if below else None


@cache
def upper_triangle(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns of each pair of `count` values, a value with itself included."""
    return np.triu_indices(count)


def centre(logs: list[float], error: float) -> Ratio:
    """Ratio of two runs of one code: the median of pairwise means, with Wilcoxon's exact interval.

    Each end misses with a probability of at most `error`. The blocks' log-ratios must be as likely
    on either side of the true one, as they are if both sides run the same code and only the
    environments differ.
    """
    if not measured(logs):
        return Ratio(nan, None, None, len(logs))
    means = np.sort(np.add.outer(logs, logs)[upper_triangle(len(logs))] / 2)
    beyond = cut(len(logs), error)
    ends = None if beyond is None else (means[beyond], means[-1 - beyond])
    middle = (means[(len(means) - 1) // 2] + means[len(means) // 2]) / 2
    return with_ends(logs, float(middle), ends)


def ratio(first: Blocks, second: Blocks, confidence: float = CONFIDENCE) -> Ratio:
    """Median ratio over blocks with its exact interval.

    Each end misses with a probability of at most (1 - confidence) / 2. Fewer than six blocks give
    no two-sided 95 % interval.
    """
    return of_logs(block_log_ratios(first, second), confidence)


def of_logs(logs: list[float], confidence: float = CONFIDENCE) -> Ratio:
    """Median ratio with its exact interval, from each block's log-ratio."""
    if not measured(logs):
        return Ratio(nan, None, None, len(logs))
    return with_ends(logs, median(logs), interval(logs, confidence))


def measured(logs: list[float]) -> bool:
    """Whether there are blocks, and each is a measurement."""
    return bool(logs) and all(map(isfinite, logs))


def with_ends(logs: list[float], value: float, ends: tuple[float, float] | None) -> Ratio:
    """A ratio from each block's log-ratio, and the logarithms of its value and its ends."""
    low, high = map(exp, ends) if ends else (None, None)
    mean, others = fmean(logs), max(len(logs) - 1, 1)
    spread = sqrt(sum((one - mean) * (one - mean) for one in logs) / others)
    return Ratio(exp(value), low, high, len(logs), spread)
