"""From samples to ratios with intervals. The unit of evidence is the block."""

from dataclasses import dataclass
from functools import cache
from math import exp, isfinite, nan
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
MARGIN = 0.01


@dataclass(frozen=True)
class Ratio:
    """Seconds of the first over seconds of the second, with an exact interval for the median.

    `low` and `high` are None where there are too few blocks for an interval. `spread` is the
    standard deviation of the blocks' log-ratios, 0 where there is but one.
    """

    value: float
    low: float | None
    high: float | None
    blocks: int
    spread: float = 0.0

    @property
    def winner(self) -> int | None:
        """0 when the first is faster, 1 when the second is, None when this cannot be told.

        The whole interval must lie more than MARGIN from equality: fresh processes of identical
        code differ by about as much among themselves.
        """
        if self.low is None or self.high is None:
            return None
        if self.high < 1 / (1 + MARGIN):
            return 0
        return 1 if self.low > 1 + MARGIN else None


Blocks = dict[int, list[float]]


def block_log_ratios(first: Blocks, second: Blocks) -> list[float]:
    """Median log-ratio of the paired samples of each block that both were measured in.

    Samples of the same block and position were taken in the same round. Rounds in one process are
    not independent (layout, allocation and caches are drawn once), so a block counts once.
    """
    pairs = (
        np.log([*zip(first[block], second[block], strict=True)])
        for block in sorted(first.keys() & second.keys())
    )
    return [float(np.median(logs[:, 0] - logs[:, 1])) for logs in pairs]


class Interval(NamedTuple):
    """Ends of an interval; NaN or infinite where there are too few values for one."""

    low: float
    high: float


@cache
def ranks(count: int, confidence: float) -> Interval:
    """Which of so many sorted values, counted from 0, are the ends of the interval of their median.

    Source: Conover, "Practical Nonparametric Statistics" (1999), section 3.2, as in
    `scipy.stats.quantile_test`.
    """
    from scipy import stats  # its import takes most of a second, even where nothing is measured

    return Interval(*stats.quantile_test(range(count), p=0.5).confidence_interval(confidence))


def median_interval(values: list[float], confidence: float) -> Interval:
    """The exact order-statistic (sign test) interval of the median of all values like these."""
    low, high = ranks(len(values), confidence)
    if not (isfinite(low) and isfinite(high)):
        return Interval(low, high)
    ordered = sorted(values)
    return Interval(ordered[int(low)], ordered[int(high)])


def ratio(first: Blocks, second: Blocks, confidence: float = CONFIDENCE) -> Ratio:
    """Median ratio over blocks, with the exact order-statistic (sign test) interval.

    Each end leaves out at most (1 - confidence) / 2. Fewer than six blocks give no two-sided 95 %
    interval.
    """
    logs = block_log_ratios(first, second)
    if not logs or not all(map(isfinite, logs)):
        return Ratio(nan, None, None, len(logs))
    interval = median_interval(logs, confidence)
    value, low, high = (exp(end) for end in (np.median(logs), *interval))
    spread = float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0
    if not (isfinite(low) and isfinite(high)):
        return Ratio(value, None, None, len(logs), spread)
    return Ratio(value, low, high, len(logs), spread)
