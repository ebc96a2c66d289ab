"""From samples to ratios with intervals. The unit of evidence is the block."""

from dataclasses import dataclass
from math import exp, isfinite, nan

import numpy as np

CONFIDENCE = 0.95
# Fewer have no interval of that confidence: 2 · 2⁻⁵ is above 0.05.
LEAST_BLOCKS = 6
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


def median_ratio(first: Blocks, second: Blocks) -> float:
    """Median ratio over blocks, NaN without a common one: `ratio` without its interval."""
    logs = block_log_ratios(first, second)
    return exp(np.median(logs)) if logs and all(map(isfinite, logs)) else nan


def ratio(first: Blocks, second: Blocks, confidence: float = CONFIDENCE) -> Ratio:
    """Median ratio over blocks, with the exact order-statistic (sign test) interval.

    Each end leaves out at most (1 - confidence) / 2. Fewer than six blocks give no two-sided 95 %
    interval. Source: Conover, "Practical Nonparametric Statistics" (1999), section 3.2, as in
    `scipy.stats.quantile_test`.
    """
    from scipy import stats  # its import takes most of a second, even where nothing is measured

    logs = block_log_ratios(first, second)
    if not logs or not all(map(isfinite, logs)):
        return Ratio(nan, None, None, len(logs))
    interval = stats.quantile_test(logs, p=0.5).confidence_interval(confidence)
    value, low, high = (exp(end) for end in (np.median(logs), *interval))
    spread = float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0
    if not (isfinite(low) and isfinite(high)):
        return Ratio(value, None, None, len(logs), spread)
    return Ratio(value, low, high, len(logs), spread)
