"""Whether something got slower: a screen of all rows, then a confirmation of the suspects.

The screen may err, because it only selects suspects. The confirmation measures new blocks until
they suffice, by a rule that the number of suspects fixes beforehand. REGRESSED and IMPROVED rest on
the confirmation alone. So, of all sessions in which nothing changed, at most FAMILY report one of
them for times, first calls or memory, however many suspects there are. Accuracies have their own
test, which errs in at most FAMILY of sessions, and what calls keep has another (`leaks`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, cached_property
from math import ceil, exp, inf, isfinite, log, nan, pi, sqrt
from statistics import NormalDist, median

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.comparing import hosts
from benchmarks.comparing.hosts import Hosts
from benchmarks.comparing.ratios import (
    Blocks,
    Ratio,
    centre,
    logs_by_block,
    of_logs,
)
from benchmarks.trial import RowId, Trial

FAMILY = 0.01
# Blocks of a confirmation that may contradict it, because other programs may run for some seconds.
OUTLIERS = 3
# Error that rounds may leave in the median of a confirming block, about the difference between
# processes; and the most rounds to reach it, as a multiple of `--rounds`.
ROUND_ERROR = 0.01
MOST_ROUNDS = 2
# The factor by which the median of normally distributed numbers varies more than their mean.
OF_MEDIAN = sqrt(pi / 2)
# The factor by which a normal distribution's standard deviation exceeds its median absolute one.
OF_MAD = 1 / NormalDist().inv_cdf(0.75)
# A block is contaminated if other programs took more than FOREIGN of the workers' CPUs. A verdict
# may rest on FOREIGN_BLOCKS such blocks. Above HEAVY most bursts of 10 ms lose a time slice of some
# milliseconds, which pulls ratios towards 1, so that even equality cannot be trusted.
FOREIGN = 0.1
HEAVY = 0.25
FOREIGN_BLOCKS = 1
# The probability that a change that a verdict `sees` is confirmed; and the number of equally
# probable parts into which the distribution of a deviation is divided.
POWER, PARTS = 0.9, 50
# Equality is tested after each of these numbers of blocks, with LOOK_ERROR. All looks together call
# a row that differs by the margin EQUIVALENT in 4.4 % of sessions, if blocks are independent and of
# one symmetric distribution. Source: equal errors at all looks, Pocock, "Group sequential methods
# in the design and analysis of clinical trials", Biometrika 64 (1977) 191-199; tests/test_looks.py
# computes the sum.
LOOKS = (6, 7, 8, 10, 13, 18)
LOOK_ERROR = 0.016
EQUAL_ERROR = 0.05
# Standard errors from the centre of an interval with LOOK_ERROR to its ends.
LOOK_DEVIATIONS = 2.2


class Status(StrEnum):
    """The result of a comparison. The value is printed and saved."""

    REGRESSED = "REGRESSED"
    IMPROVED = "IMPROVED"
    EQUIVALENT = "EQUIVALENT"
    INCONCLUSIVE = "INCONCLUSIVE"
    CONTAMINATED = "CONTAMINATED"
    NOT_COMPARABLE = "NOT COMPARABLE"
    SUSPECT = "SUSPECT"


CALLED = (Status.REGRESSED, Status.IMPROVED)
UNDECIDED = (Status.INCONCLUSIVE, Status.CONTAMINATED, Status.NOT_COMPARABLE, Status.SUSPECT)


@dataclass(frozen=True)
class Metric:
    """A compared quantity, and the change that counts.

    A change counts when it is beyond `margin`, a share, and beyond `least`, in `unit`.
    """

    name: str
    unit: str
    margin: float
    least: float = 0.0


def parse_margin(text: str) -> float:
    """A share such as 0.02, from "2%" or "0.02"; raises ValueError."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = nan
    if not 0 <= value < 1:
        raise ValueError(f"--margin {text}: must be from 0% to below 100%, such as 2% or 0.02")
    return value


def time_metric(margin: float) -> Metric:
    """Seconds per operation."""
    return Metric("time", "s", margin)


# One value a process, from file caches and linkers as much as compilers: only large changes count.
FIRST_CALL = Metric("first call", "s", 0.25, least=0.05)
# Allocators take memory in steps.
PEAK_MEMORY = Metric("peak memory", "B", 0.05, least=16 * 2**20)
# Compared by `learning.judge_accuracy`, not as a ratio of times.
ACCURACY = Metric("accuracy", "", 0.0)


@dataclass(frozen=True)
class Comparison:
    """One metric of one row, here (`new`) and in another environment (`old`), block by block.

    Blocks below `screened` are the screen's. `suspects` is the number of comparisons that were
    confirmed together, or 0. `foreign` is the share of the workers' CPUs that other programs took,
    by block. `hosts` is the machine that measured each block, if there were several. `reason` is
    why both cannot be compared. The samples must not change: what follows from them is kept.
    """

    trial: str
    implementation: str
    environment: str
    metric: Metric
    new: Blocks = field(default_factory=dict)
    old: Blocks = field(default_factory=dict)
    screened: int = 0
    suspects: int = 0
    foreign: Mapping[int, float | None] = field(default_factory=dict)
    hosts: Hosts = field(default_factory=dict)
    reason: str = ""

    @property
    def test(self) -> str:
        """The name of the test, such as test_forward[mlp-b128-cpu-pytorch_eager]."""
        return RowId(Trial.parse(self.trial), self.implementation).test

    @cached_property
    def fault(self) -> str:
        """Why both cannot be compared, as text; empty if they can.

        The reason is the given one, a sample that is no measurement, or the lack of a common block.
        """
        if self.reason:
            return self.reason
        for place, blocks in (("here", self.new), (self.environment, self.old)):
            values = [value for samples in blocks.values() for value in samples]
            if not values:
                return f"nothing was measured ({place})"
            if wrong := [value for value in values if not (isfinite(value) and value > 0)]:
                return f"{wrong[0]} is no measurement ({place})"
        return "" if self.new.keys() & self.old.keys() else "no block in common"

    @cached_property
    def logs(self) -> dict[int, float]:
        """The log-ratio of each block that both sides have, in the order of the blocks."""
        return logs_by_block(self.new, self.old)

    def between(self, first: int, end: int) -> dict[int, float]:
        """The log-ratios of the blocks from `first` to before `end`."""
        return {block: one for block, one in self.logs.items() if first <= block < end}

    def screen(self) -> dict[int, float]:
        """The log-ratios of the screen's blocks, in which every row was measured."""
        return self.between(0, self.screened)

    @cached_property
    def usual(self) -> Blocks:
        """The old side's samples in the screen."""
        return {block: self.old[block] for block in self.old if block < self.screened}

    @cached_property
    def suspicion(self) -> int:
        """1 if the screen suspects an increase beyond the margin, -1 for a decrease, else 0.

        Nothing is suspected in a screen that other programs disturbed: its verdict is CONTAMINATED.
        First calls and memory have one value a process, and measuring them again costs as much as
        everything else, so all blocks except one must agree.
        """
        if self.fault:
            return 0
        logs = [*self.screen().values()]
        if not logs or contaminated(self.foreign, self.screen()):
            return 0
        suspected = direction(exp(median(logs)), self.usual, self.metric)
        if suspected and self.metric.name != "time":
            told = [direction(exp(one), self.usual, self.metric) for one in logs]
            return suspected if told.count(suspected) >= len(logs) - 1 else 0
        return suspected


@dataclass(frozen=True)
class Verdict:
    """A status, the ratio of new to old with its interval, and the smallest change it would find.

    `detectable` is the smallest change, as a share, that such a measurement confirms with a
    probability of 90 %.
    """

    status: Status
    ratio: Ratio | None = None
    detectable: float | None = None
    reason: str = ""


def direction(value: float, old: Blocks, metric: Metric) -> int:
    """1 or -1 if a ratio counts as a change of the metric from the samples `old`, else 0."""
    if not isfinite(value):
        return 0
    change = (value - 1) * median([s for block in old.values() for s in block])
    limit = 1 + metric.margin
    if abs(change) < metric.least:
        return 0
    return 1 if value > limit else -1 if value < 1 / limit else 0


@cache
def confirmation_blocks(suspects: int) -> tuple[int, ...]:
    """How many new blocks confirm one of `suspects`, by the number of blocks that contradict.

    Each is the smallest number with which chance alone, a fair coin for every block, confirms with
    a probability of at most FAMILY / suspects, earlier ends included. The last one is the largest
    number of blocks. Source: the sign test with error spent from end to end, Lan and DeMets,
    "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983) 659-663. Each end
    spends all the error that is left, so that clear changes are confirmed soonest.
    """
    ends: tuple[int, ...] = ()
    while len(ends) <= OUTLIERS:
        blocks = ends[-1] + 1 if ends else 1
        while power((*ends, blocks), agrees=0.5) > FAMILY / suspects:
            blocks += 1
        ends = (*ends, blocks)
    return ends


def power(ends: tuple[int, ...], agrees: ArrayLike) -> np.ndarray:
    """The probability that a change is confirmed, for each probability that a block `agrees`."""
    agrees = np.asarray(agrees)
    # Probabilities of being undecided, by how many blocks contradict.
    undecided = np.zeros((len(ends), *agrees.shape))
    undecided[0], found = 1.0, np.zeros(agrees.shape)
    for blocks in range(1, ends[-1] + 1):
        undecided[1:] = undecided[1:] * agrees + undecided[:-1] * (1 - agrees)
        undecided[0] *= agrees
        if blocks in ends:
            against = ends.index(blocks)
            found += undecided[against]
            undecided[against] = 0.0
    return found


def confirmation_rounds(suspects: Iterable[Comparison], rounds: int) -> int:
    """How many rounds a confirming block has, if those of the screen had `rounds`.

    They suffice to know its median ratio to ROUND_ERROR, judged by the variation of rounds in the
    screen. There are at least `rounds` and at most MOST_ROUNDS times as many.
    """
    needed = [rounds]
    for suspect in suspects:
        sides = suspect.new, suspect.old
        within = round_spread(*({b: side[b] for b in suspect.screen()} for side in sides))
        needed.append(ceil((OF_MEDIAN * within / ROUND_ERROR) ** 2))
    return min(max(needed), MOST_ROUNDS * rounds)


def round_spread(new: Blocks, old: Blocks) -> float:
    """The standard deviation of a block's log-ratios, as the median over blocks.

    It is estimated by the median absolute deviation, which spikes hardly affect, like a median.
    """
    within = []
    for block in new.keys() & old.keys():
        logs = np.log(new[block]) - np.log(old[block])
        within.append(OF_MAD * np.median(np.abs(logs - np.median(logs))))
    return float(np.median(within))


def decision(comparison: Comparison) -> tuple[bool | None, int]:
    """Whether the confirmation agrees with the screen, and the block before which it ended.

    It agrees after as many blocks as `confirmation_blocks` requires for those that contradict. A
    block contradicts unless it lies beyond the margin on the suspected side. More than OUTLIERS of
    them refute the suspicion. The answer is None while it is open.
    """
    suspected, end = comparison.suspicion, comparison.screened
    if not (suspected and comparison.suspects):
        return None, end
    ends, against = confirmation_blocks(comparison.suspects), 0
    later = [block for block in comparison.logs if block >= end]
    for blocks, block in enumerate(later, start=1):
        old = {block: comparison.old[block]}
        against += direction(exp(comparison.logs[block]), old, comparison.metric) != suspected
        end = block + 1
        if against > OUTLIERS:
            return False, end
        if blocks >= ends[against]:
            return True, end
    return None, end


def judge(comparison: Comparison) -> Verdict:
    """The verdict on times, first calls and peak memory.

    A change is judged by its confirmation alone, an equality by the blocks of the first look that
    finds it, a refuted suspicion by all blocks until then, an open suspicion by the screen, and
    anything else by all blocks. Blocks after a decision were measured for other rows. If hosts
    disagree, there is no verdict over all of them.
    """
    if comparison.fault:
        return Verdict(Status.NOT_COMPARABLE, reason=comparison.fault)
    if said := disagreement(comparison):
        found = centre([*judged_blocks(comparison).values()], LOOK_ERROR)
        return Verdict(Status.INCONCLUSIVE, found, reason=said)
    changed, end = decision(comparison)
    later = len(comparison.between(comparison.screened, end))
    if changed:
        logs = comparison.between(comparison.screened, end)
        found = of_logs([*logs.values()], 1 - 2 * FAMILY / comparison.suspects)
    elif look := equal_after(comparison, changed, end):
        logs = comparison.between(0, look)
        found = centre([*logs.values()], LOOK_ERROR)
        if not contaminated(comparison.foreign, logs, HEAVY):
            return Verdict(Status.EQUIVALENT, found, sees(found, comparison))
    else:
        logs = judged_blocks(comparison)
        if changed is False:
            logs = comparison.between(0, end)
        elif comparison.suspicion:
            logs = comparison.screen()
        found = centre([*logs.values()], LOOK_ERROR)
    word, reason = status_for(comparison, found, changed, later)
    if count := contaminated(comparison.foreign, logs):
        word = Status.CONTAMINATED
        reason = f"other programs used the CPUs in {count} of {len(logs)} blocks"
    verdict = Verdict(word, found, sees(found, comparison), reason)
    open_ = word is Status.INCONCLUSIVE and not comparison.suspicion
    if open_ and (more := blocks_to_decide(verdict, comparison)):
        return replace(verdict, reason=f"{reason}; about {more} blocks would decide it")
    return verdict


def disagreement(comparison: Comparison) -> str:
    """The ratio on each host, as text, if hosts disagree; else empty."""
    judged = judged_blocks(comparison), comparison.hosts
    if not hosts.disagree(*judged, comparison.metric.margin):
        return ""
    each = (f"{one.value:.3f} on {name}" for name, one in hosts.ratios(*judged).items())
    return f"hosts disagree: {', '.join(each)}"


def equal_after(comparison: Comparison, changed: bool | None, end: int) -> int | None:
    """The block before which the first look ended that finds both sides equal, or None.

    There is no look while a suspicion is open: if it was refuted, looks start at the block `end`.
    """
    if changed is None and comparison.suspicion:
        return None
    judged = judged_blocks(comparison) if changed is None else comparison.logs
    blocks, logs = [*judged], [*judged.values()]
    for count in looks(comparison.screened):
        if count > len(blocks) or (changed is False and blocks[count - 1] + 1 < end):
            continue
        if equal(centre(logs[:count], LOOK_ERROR), comparison):
            return blocks[count - 1] + 1
    return None


def looks(screened: int) -> tuple[int, ...]:
    """The numbers of blocks after which equality is tested, for a screen of `screened` blocks.

    These are the screen's number, if it is enough for an interval, and each larger one of LOOKS.
    There are never more of them than LOOKS.
    """
    return tuple(sorted({max(screened, LOOKS[0]), *(look for look in LOOKS if look > screened)}))


def judged_blocks(comparison: Comparison) -> dict[int, float]:
    """The log-ratios that count without a suspicion: all, or for first calls only the screen's.

    Further blocks start fewer processes side by side, which changes the time of a first call.
    """
    if comparison.metric == FIRST_CALL:
        return comparison.screen()
    return comparison.logs


def equal(found: Ratio, comparison: Comparison) -> bool:
    """Whether the whole interval of a ratio lies within the margin."""
    if found.low is None or found.high is None or not comparison.usual:
        return False
    ends = found.low, found.high
    return not any(direction(end, comparison.usual, comparison.metric) for end in ends)


def blocks_to_decide(verdict: Verdict, comparison: Comparison) -> int | None:
    """Roughly how many blocks in all would show equality, if further ones vary like these.

    None if that is unlikely: the sides differ by nearly the margin, hosts disagree, or no look is
    that late.
    """
    found = verdict.ratio
    if verdict.status not in UNDECIDED or found is None or found.blocks < 2:
        return None
    if comparison.metric == FIRST_CALL:  # it is judged by the screen, however many blocks follow
        return None
    # Heavy load stays, however many blocks follow.
    if disagreement(comparison) or contaminated(comparison.foreign, comparison.logs, HEAVY):
        return None
    room = log(1 + comparison.metric.margin) - abs(log(found.value))
    # A refuted suspicion is judged by fewer blocks than there are.
    for count in looks(comparison.screened):
        if count > len(comparison.logs) and room > LOOK_DEVIATIONS * found.spread / sqrt(count):
            return count
    return None


def sees(found: Ratio, comparison: Comparison) -> float | None:
    """The smallest change that a confirmation would find; None for one block, without a spread."""
    return detectable(found.spread, comparison, found.blocks) if found.blocks > 1 else None


def status_for(
    comparison: Comparison, found: Ratio, changed: bool | None, later: int
) -> tuple[Status, str]:
    """Return the status of a change, or of an undecided comparison with the reason.

    `later` is the number of confirming blocks.
    """
    if changed:
        return (Status.REGRESSED if found.value > 1 else Status.IMPROVED), ""
    if changed is False:
        against = f"{OUTLIERS + 1} of {later} new blocks contradict"
        return Status.INCONCLUSIVE, f"suspected, but not confirmed: {against}"
    if found.low is None or found.high is None:
        return Status.INCONCLUSIVE, f"{found.blocks} blocks are too few for an interval"
    if not comparison.suspicion:
        return Status.INCONCLUSIVE, undecided(found, comparison.metric.margin)
    if not later:
        return Status.INCONCLUSIVE, "suspected; its confirmation was not measured"
    least, *_, most = confirmation_blocks(comparison.suspects)
    blocks = f"{later} new blocks, of {least} to {most}"
    return Status.INCONCLUSIVE, f"suspected; its confirmation was cut off after {blocks}"


def undecided(found: Ratio, margin: float) -> str:
    """What an interval shows, as text, if nothing is suspected and equality is not found."""
    assert found.low is not None
    assert found.high is not None
    least, most = sorted((abs(log(found.low)), abs(log(found.high))))
    at_most = f"differs by at most {exp(most) - 1:.1%}"
    if exp(most) <= 1 + margin:
        return f"{at_most}, but equality is tested only after fixed numbers of blocks"
    if found.low <= 1 <= found.high or exp(least) <= 1 + margin:
        return at_most
    found_later = "which the first blocks did not show"
    return f"differs by {exp(least) - 1:.1%} to {exp(most) - 1:.1%}, {found_later}"


def contaminated(
    foreign: Mapping[int, float | None], blocks: Iterable[int], limit: float = FOREIGN
) -> int:
    """How many of these blocks other programs disturbed; 0 if they are too few to matter.

    `foreign` is the share of the workers' CPUs that other programs took, by block, None if unknown.
    A block is disturbed above `limit`.
    """
    shares = (foreign.get(block) for block in blocks)
    count = sum(share is not None and share > limit for share in shares)
    return count if count > FOREIGN_BLOCKS else 0


def detectable(spread: float, comparison: Comparison, blocks: int) -> float:
    """The smallest change that a confirmation finds with POWER, together with all other suspects.

    Log-ratios are taken as normal, with a standard deviation of `spread` over `blocks`. Each new
    block must lie beyond the margin with the probability that gives a confirmation POWER.
    """
    itself = bool(comparison.suspects and comparison.suspicion)
    ends = confirmation_blocks(comparison.suspects - itself + 1)
    usual = median([s for samples in comparison.old.values() for s in samples] or [inf])
    limit = 1 + max(comparison.metric.margin, comparison.metric.least / usual)
    return exp(log(limit) + deviations(ends, blocks) * spread) - 1


@cache
def deviations(ends: tuple[int, ...], blocks: int) -> float:
    """How far beyond the margin a change must be for POWER, in standard deviations of `blocks`.

    The deviation of few blocks is a rough estimate, so the power is a mean over its true values.
    """
    from scipy import optimize, special

    parts = (np.arange(PARTS) + 0.5) / PARTS
    known = np.sqrt(special.chdtri(blocks - 1, 1 - parts) / (blocks - 1))
    # A table of the power of a change by its size in true deviations.
    reach = np.linspace(0, 8, 4 * PARTS)
    powers = power(ends, special.ndtr(reach))

    def missing(times: float) -> float:
        return float(np.mean(np.interp(times * known, reach, powers))) - POWER

    return float(optimize.brentq(missing, 0, 1000))
