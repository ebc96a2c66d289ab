"""The parts of a training step, over blocks, and whether both ways to measure them agree."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.comparing.growth import Estimate, estimate
from mnist_models.profiles import PROFILED

# Both ways agree if no part's share differs by more. Shares are of the parts that both measure.
AGREE = 0.10
# What is saved of each block: parts `subtracted` and `profiled`, and the `kernels`.
Blocks = Sequence[Mapping[str, Any]]


def seconds(blocks: Blocks, part: str) -> Estimate:
    """Seconds of a part by subtraction, with its interval over blocks."""
    return estimate([block["subtracted"][part] for block in blocks])


def shares(blocks: Blocks, how: str) -> dict[str, float]:
    """The share of each part that both ways measure, in the sum of these parts."""
    middles = {part: median(block[how][part] for block in blocks) for part in PROFILED}
    total = sum(middles.values())
    return {part: value / total for part, value in middles.items()}


def apart(blocks: Blocks) -> float:
    """The largest difference between the two ways in a part's share."""
    subtracted, profiled = (shares(blocks, how) for how in ("subtracted", "profiled"))
    return max(abs(subtracted[part] - profiled[part]) for part in PROFILED)


def kernels(blocks: Blocks) -> list[tuple[str, float, float]]:
    """(name, seconds a step, calls a step) of kernels, medians over blocks, longest first."""
    found: dict[str, list[tuple[float, float]]] = {}
    for block in blocks:
        for name, took, calls in block["kernels"]:
            found.setdefault(name, []).append((took, calls))
    middles = [
        (name, median(took for took, _ in each), median(calls for _, calls in each))
        for name, each in found.items()
        if 2 * len(each) > len(blocks)
    ]
    return sorted(middles, key=lambda one: -one[1])
