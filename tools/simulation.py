"""How often the gate errs: thousands of sessions drawn from recorded ones of identical code.

    python -m tools.simulation --gates 10000

A simulated session takes whole recorded blocks of the same benchmark, in their order: rounds that
were drawn within a block would make it vary more, and hide that neighbouring blocks resemble each
other. Which side is which is drawn by chance. Noise of several kinds is added, in a tenth of the
sessions each. Leaving out each part of the recorded sessions in turn gives a standard error.
"""

import argparse
import json
from collections.abc import Callable
from itertools import chain
from math import exp, log, sqrt

import numpy as np

from benchmarks.comparing.ratios import CONFIDENCE, Ratio, ratio
from benchmarks.comparing.verdicts import (
    CALLED,
    LOOKS,
    Comparison,
    Status,
    Verdict,
    confirmation_blocks,
    judge,
    time_metric,
)
from benchmarks.numbers import whole
from tools.campaigns import by_block, planted, recorded
from tools.measured import MARGIN, SIMULATED

# The campaigns whose blocks are drawn: those of the suite as it is.
CAMPAIGNS = ("looks", "doses")
# Parts of the recorded sessions that are left out in turn, for the jackknife's standard error.
# Source: J. W. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical
# Statistics 29 (1958) 614.
PARTS = 8
# Lasting differences that must not be called none.
DIFFERENCES = (0.02, 0.03)
BENCHMARKS = 12
# Rounds of a block that are taken; blocks with fewer, of a slow or busy machine, are left out.
ROUNDS = 30
BLOCKS = 6
Chance = np.random.Generator
# Logarithms of seconds: (benchmarks, blocks, sides, rounds).
Samples = np.ndarray
Noise = Callable[[Samples, Chance], Samples]


def pools(without: int | None = None) -> list[Samples]:
    """The recorded blocks of each benchmark, (blocks, 2, rounds), as logarithms of seconds.

    All screens of identical code: also those in which something else had more work planted. Every
    session but those of the part `without`, of PARTS.
    """
    found: dict[str, list[list[list[float]]]] = {}
    for number, session in enumerate(chain.from_iterable(map(recorded, CAMPAIGNS))):
        if number % PARTS == without:
            continue
        for name, row in session["rows"].items():
            if planted(session, name):
                continue
            sides = by_block(row["new"]), by_block(row["old"])
            screened = range(row["screened_blocks"])
            cut = ([side[block][:ROUNDS] for side in sides] for block in screened)
            whole = (block for block in cut if all(len(side) == ROUNDS for side in block))
            found.setdefault(name, []).extend(whole)
    return [np.log(np.array(blocks)) for blocks in found.values()]


def draw(
    pool: list[Samples], benchmarks: np.ndarray, blocks: int, rounds: int, chance: Chance
) -> Samples:
    """Blocks for each of `benchmarks` (indices of pools), in the order of their recording.

    They start anywhere and go round, so that neighbours stay neighbours; a block is taken as it is,
    its first `rounds` rounds in their order. Which side is which is drawn once a session: a lasting
    difference between the two environments would stay one.
    """
    drawn = []
    for index in benchmarks:
        recorded_blocks = pool[int(index)]
        start = chance.integers(len(recorded_blocks))
        picked = recorded_blocks[(start + np.arange(blocks)) % len(recorded_blocks)]
        drawn.append(picked[:, :: chance.choice((1, -1)), :rounds])
    return np.array(drawn)


def offsets(samples: Samples, chance: Chance) -> Samples:
    """Each process is faster or slower than the next, with a standard deviation of 2 %."""
    return samples + chance.normal(0, 0.02, samples.shape[:3])[..., None]


def two_modes(samples: Samples, chance: Chance) -> Samples:
    """Every other process, by chance, is slower by 5 %."""
    return samples + log(1.05) * (chance.random(samples.shape[:3]) < 0.5)[..., None]


def bursts(samples: Samples, chance: Chance) -> Samples:
    """One sample in twenty takes 1.5 to 10 times as long."""
    hit = chance.random(samples.shape) < 0.05
    return samples + hit * np.log(chance.uniform(1.5, 10, samples.shape))


def neighbours(samples: Samples, chance: Chance) -> Samples:
    """Each side is faster or slower by 1 %, for some blocks in a row (correlated by a half)."""
    steps = chance.normal(0, 0.01, samples.shape[:3])
    for block in range(1, steps.shape[1]):
        steps[:, block] = 0.5 * steps[:, block - 1] + sqrt(0.75) * steps[:, block]
    return samples + steps[..., None]


def drift(samples: Samples, chance: Chance) -> Samples:
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
    "neighbours alike": (neighbours,),
    "drift": (drift,),
    "all of these": (offsets, two_modes, bursts, neighbours, drift),
}


def medians(samples: Samples) -> np.ndarray:
    """Each block's median log-ratio, (benchmarks, blocks)."""
    return np.median(samples[:, :, 0] - samples[:, :, 1], axis=2)


def one_each(logs: np.ndarray) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Blocks of one sample with these log-ratios."""
    new = {i: [exp(value)] for i, value in enumerate(logs)}
    return new, {block: [1.0] for block in new}


def gate(
    pool: list[Samples],
    noise: tuple[Noise, ...],
    chance: Chance,
    difference: float = 0.0,
) -> tuple[list[Verdict], Samples]:
    """One session: the verdicts, and the samples of its screen.

    One side is slower by `difference`, a share. What is neither suspected nor found equal is
    measured on to the last look.
    """
    everything = np.arange(BENCHMARKS) % len(pool)
    # A confirmation goes on where the screen ended, with the same sides.
    most = max(confirmation_blocks(suspects)[-1] for suspects in range(1, BENCHMARKS + 1))
    samples = draw(pool, everything, max(BLOCKS + most, LOOKS[-1]), ROUNDS, chance)
    for add in noise:
        samples = add(samples, chance)
    logs = medians(samples) + log(1 + difference)
    place = ("step[]", "x", "y", time_metric(MARGIN))

    def comparison(index: int, blocks: int, suspects: int = 0) -> Comparison:
        return Comparison(*place, *one_each(logs[index][:blocks]), BLOCKS, suspects)

    suspects = [i for i in range(BENCHMARKS) if comparison(i, BLOCKS).suspicion]
    blocks = BLOCKS + (confirmation_blocks(len(suspects))[-1] if suspects else 0)
    found = [
        judge(comparison(i, blocks if i in suspects else LOOKS[-1], len(suspects)))
        for i in range(BENCHMARKS)
    ]
    return found, samples[:, :BLOCKS]


def simulate(
    pool: list[Samples],
    noise: tuple[Noise, ...],
    gates: int,
    seed: int = 1,
    difference: float = 0.0,
) -> dict[str, float]:
    """Number of sessions with a false alarm; shares of reported intervals that hold the truth.

    `suspected` is the share of sessions with a suspect, `naive` the coverage of the same interval
    if every round were evidence of its own, `equal` the share of verdicts that are EQUIVALENT with
    `equal_sd`, its error in this simulation, and `at_once` the share of those that are so after the
    screen. With a `difference` only the last three mean anything.
    """
    chance = np.random.default_rng(seed)
    alarms = held = naive = suspected = at_once = 0
    equal: list[float] = []
    for _ in range(gates):
        verdicts, screen = gate(pool, noise, chance, difference)
        found_equal = [v.ratio for v in verdicts if v.status is Status.EQUIVALENT and v.ratio]
        equal.append(len(found_equal) / BENCHMARKS)
        at_once += sum(found.blocks == BLOCKS for found in found_equal)
        alarm = any(verdict.status in CALLED for verdict in verdicts)
        alarms += alarm
        suspected += alarm or any("suspected" in verdict.reason for verdict in verdicts)
        held += sum(holds(verdict.ratio) for verdict in verdicts)
        naive += holds(ratio(*one_each((screen[0, :, 0] - screen[0, :, 1]).ravel()), CONFIDENCE))
    return {
        "gates": gates,
        "false alarms": alarms,
        "coverage": held / (gates * BENCHMARKS),
        "naive": naive / gates,
        "suspected": suspected / gates,
        "equal": float(np.mean(equal)),
        "equal_sd": float(np.std(equal)) / sqrt(gates),
        "at_once": at_once / (gates * BENCHMARKS),
    }


def error(gates: int, difference: float) -> float:
    """The standard error of the share of EQUIVALENT, from leaving out each part of the sessions.

    The simulation's own error is taken off.
    """
    every = [simulate(pools(part), (), gates, difference=difference) for part in range(PARTS)]
    between = float(np.var([one["equal"] for one in every], ddof=1))
    own = float(np.mean([one["equal_sd"] ** 2 for one in every]))
    return (PARTS - 1) * sqrt(max(0.0, between - own) / PARTS)


def holds(found: Ratio | None) -> bool:
    """Whether an interval holds the truth, which is that nothing changed."""
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low <= 1 <= found.high


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.simulation", description=__doc__)
    text = "simulated sessions as recorded; a tenth of them with each noise"
    parser.add_argument("--gates", type=whole, default=10_000, help=text)
    options = parser.parse_args()
    pool = pools()
    if not pool:
        parser.error("nothing recorded: run python -m tools.campaigns looks first")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for difference in (0.0, *DIFFERENCES):
        kinds = found.setdefault(f"{difference:.0%}", {})
        few = max(1, options.gates // 10)
        for name, noise in NOISES.items():
            gates = few if noise else options.gates
            kinds[name] = simulate(pool, noise, gates, difference=difference)
            if not noise:
                kinds[name]["equal_error"] = error(few, difference)
            print(f"{difference:.0%}", name, kinds[name], flush=True)
    SIMULATED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
