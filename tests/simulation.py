"""How often the gate errs: thousands of sessions drawn from recorded ones of identical code.

    python -m tests.simulation --gates 2000

A block of a simulated session is a recorded block of the same benchmark with its two sides swapped
or not, by chance, so that nothing has changed by construction. Noise of several kinds is added.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import exp, log

import numpy as np

from benchmarks.comparing.ratios import CONFIDENCE, ratio
from benchmarks.comparing.verdicts import (
    Comparison,
    Word,
    confirmation_blocks,
    judge,
    suspicion,
    time,
)
from tests.campaigns import recorded
from tests.measured import SIMULATED

BENCHMARKS = 12
BLOCKS = 6
MARGIN = 0.02
# Logarithms of seconds: (benchmarks, blocks, sides, rounds).
Samples = np.ndarray
Noise = Callable[[Samples, np.random.Generator], Samples]


def pools(campaigns: Sequence[str] = ("identical", "unequal_bursts")) -> list[Samples]:
    """The recorded blocks of each benchmark, (blocks, 2, rounds), as logarithms of seconds."""
    found: dict[str, list[list[list[float]]]] = {}
    for session in chain.from_iterable(map(recorded, campaigns)):
        for name, row in session["rows"].items():
            sides = [dict(by_block(row[side])) for side in ("new", "old")]
            screened = range(row["screened_blocks"])
            found.setdefault(name, []).extend([s[block] for s in sides] for block in screened)
    return [np.log(np.array(blocks)) for blocks in found.values()]


def by_block(side: dict[str, list[float]]) -> Iterator[tuple[int, list[float]]]:
    """Samples by block."""
    blocks = np.array(side["blocks"])
    for block in dict.fromkeys(side["blocks"]):
        yield block, np.array(side["data"])[blocks == block].tolist()


def draw(
    pool: list[Samples],
    benchmarks: np.ndarray,
    blocks: int,
    rounds: int,
    chance: np.random.Generator,
) -> Samples:
    """Blocks for each of `benchmarks` (indices of pools), with sides swapped by chance."""
    drawn = []
    for index in benchmarks:
        recorded_blocks = pool[index]
        picked = recorded_blocks[chance.integers(len(recorded_blocks), size=blocks)]
        turned = np.where(chance.random((blocks, 1, 1)) < 0.5, picked, picked[:, ::-1])
        order = chance.integers(picked.shape[2], size=(blocks, rounds))
        drawn.append(np.take_along_axis(turned, order[:, None, :], axis=2))
    return np.array(drawn)


def offsets(samples: Samples, chance: np.random.Generator) -> Samples:
    """Each process is faster or slower than the next, with a standard deviation of 2 %."""
    return samples + chance.normal(0, 0.02, samples.shape[:3])[..., None]


def two_modes(samples: Samples, chance: np.random.Generator) -> Samples:
    """Every other process, by chance, is slower by 5 %."""
    return samples + log(1.05) * (chance.random(samples.shape[:3]) < 0.5)[..., None]


def bursts(samples: Samples, chance: np.random.Generator) -> Samples:
    """One sample in twenty takes 1.5 to 10 times as long."""
    hit = chance.random(samples.shape) < 0.05
    return samples + hit * np.log(chance.uniform(1.5, 10, samples.shape))


def drift(samples: Samples, chance: np.random.Generator) -> Samples:
    """The machine gets slower by half in every session, also from one side to the other."""
    *_, blocks, sides, rounds = samples.shape
    position = np.arange(blocks * rounds).reshape(blocks, 1, rounds) * sides
    first = chance.random((*samples.shape[:2], 1, rounds)) < 0.5
    turn = np.concatenate([first, ~first], axis=2)
    return samples + log(1.5) * (position + turn) / (blocks * rounds * sides)


NOISES: dict[str, tuple[Noise, ...]] = {
    "as recorded": (),
    "process offsets": (offsets,),
    "two modes": (two_modes,),
    "bursts": (bursts,),
    "drift": (drift,),
    "all of these": (offsets, two_modes, bursts, drift),
}


def medians(samples: Samples) -> np.ndarray:
    """Each block's median log-ratio, (benchmarks, blocks)."""
    return np.median(samples[:, :, 0] - samples[:, :, 1], axis=2)


def one_each(logs: np.ndarray, first: int = 0) -> tuple[dict[int, list[float]], ...]:
    """Blocks of one sample with these log-ratios."""
    new = {first + i: [exp(value)] for i, value in enumerate(logs)}
    return new, {block: [1.0] for block in new}


def gate(
    pool: list[Samples], noise: tuple[Noise, ...], chance: np.random.Generator, rounds: int
) -> tuple[list[Word], np.ndarray, np.ndarray]:
    """One session: verdicts of suspects, block ratios of the screen, and all its rounds' ratios."""

    def measured(benchmarks: np.ndarray, blocks: int, rounds: int) -> Samples:
        samples = draw(pool, benchmarks, blocks, rounds, chance)
        for add in noise:
            samples = add(samples, chance)
        return samples

    everything = np.arange(BENCHMARKS) % len(pool)
    samples = measured(everything, BLOCKS, rounds)
    screen = medians(samples)
    place = ("step[]", "x", "y", time(MARGIN))
    suspects = [
        i
        for i, logs in enumerate(screen)
        if suspicion(Comparison(*place, *one_each(logs), screened=BLOCKS))
    ]
    words = []
    if suspects:
        blocks = confirmation_blocks(len(suspects))
        again = measured(everything[suspects], blocks, rounds)
        for index, logs in zip(suspects, medians(again), strict=True):
            (new, old), (newer, older) = one_each(screen[index]), one_each(logs, BLOCKS)
            sides = new | newer, old | older
            words.append(judge(Comparison(*place, *sides, BLOCKS, len(suspects))).word)
    return words, screen, samples[:, :, 0] - samples[:, :, 1]


def simulate(
    pool: list[Samples], noise: tuple[Noise, ...], gates: int, seed: int = 1
) -> dict[str, float]:
    """Number of sessions with a false alarm; shares of intervals that hold the truth.

    `confirmed` is the share of sessions with a suspect, `naive` the coverage of the same interval
    if every round were evidence of its own.
    """
    chance = np.random.default_rng(seed)
    rounds = min(blocks.shape[2] for blocks in pool)
    alarms = held = naive = confirmed = 0
    for _ in range(gates):
        words, screen, pairs = gate(pool, noise, chance, rounds)
        alarms += Word.REGRESSED in words or Word.IMPROVED in words
        confirmed += bool(words)
        held += int(((screen.min(axis=1) <= 0) & (screen.max(axis=1) >= 0)).sum())
        found = ratio(*one_each(pairs[0].ravel()), CONFIDENCE)
        assert found.low is not None
        assert found.high is not None
        naive += found.low <= 1 <= found.high
    return {
        "gates": gates,
        "false alarms": alarms,
        "coverage": held / (gates * BENCHMARKS),
        "naive": naive / gates,
        "confirmed": confirmed / gates,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--gates", type=int, default=1000, help="simulated sessions of each kind")
    options = parser.parse_args()
    pool = pools()
    if not pool:
        parser.error("nothing recorded: run python -m tests.campaigns identical first")
    found = {}
    for name, noise in NOISES.items():
        found[name] = simulate(pool, noise, options.gates)
        print(name, found[name], flush=True)
    SIMULATED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
