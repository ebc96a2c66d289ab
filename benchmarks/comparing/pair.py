"""Which of two rows of one session is faster, or why there is no verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.comparing.hosts import Hosts, disagree, ratios
from benchmarks.comparing.ratios import MARGIN, Blocks, Ratio, logs_by_block, of_logs
from benchmarks.comparing.verdicts import FOREIGN, HEAVY, contaminated


class Outcome(StrEnum):
    """The outcome of a verdict on a pair. The value is printed."""

    FASTER = "faster"
    NO_DIFFERENCE = "no difference found"
    CONTAMINATED = "contaminated"
    TOO_FEW = "no verdict"
    HOSTS_DISAGREE = "hosts disagree"
    VOID = "void"


@dataclass(frozen=True)
class Side:
    """One row: seconds per operation by block, and whether it is void.

    `foreign` is the share of the workers' CPUs that other programs took, by block, None if unknown.
    """

    blocks: Blocks
    foreign: Mapping[int, float | None] = field(default_factory=dict)
    void: bool = False
    hosts: Hosts = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """The verdict on two rows, and the ratio of their times.

    `disturbed` is the number of blocks that other programs disturbed, `void` which of the two rows
    (0, 1) do not count, and `hosts` the ratio on each host, if there were several.
    """

    outcome: Outcome
    ratio: Ratio
    disturbed: int = 0
    void: tuple[int, ...] = ()
    hosts: Mapping[str, Ratio] = field(default_factory=dict)

    @property
    def winner(self) -> int | None:
        """0 when the first is faster, 1 when the second is, None when neither is called faster."""
        return self.ratio.winner if self.outcome is Outcome.FASTER else None


def judge_pair(first: Side, second: Side) -> Pair:
    """The verdict on two rows that took turns in the same rounds.

    A pair is contaminated by the rule of `verdicts.judge`. If the whole interval lies within MARGIN
    of equality, only heavy load counts. If hosts disagree, there is no verdict over all of them.
    """
    logs = logs_by_block(first.blocks, second.blocks)
    found = of_logs([*logs.values()])
    limit = HEAVY if within(found) else FOREIGN
    count = max(contaminated(side.foreign, logs, limit) for side in (first, second))
    hosts = ratios(logs, first.hosts)
    if void := tuple(number for number, side in enumerate((first, second)) if side.void):
        return Pair(Outcome.VOID, found, count, void)
    if disagree(logs, first.hosts, MARGIN):
        return Pair(Outcome.HOSTS_DISAGREE, found, count, hosts=hosts)
    if count:
        return Pair(Outcome.CONTAMINATED, found, count, hosts=hosts)
    if found.low is None or found.high is None:
        return Pair(Outcome.TOO_FEW, found, hosts=hosts)
    word = Outcome.NO_DIFFERENCE if found.winner is None else Outcome.FASTER
    return Pair(word, found, count, hosts=hosts)


def within(found: Ratio) -> bool:
    """Whether the whole interval of a ratio lies within MARGIN of equality."""
    if found.low is None or found.high is None:
        return False
    return found.low >= 1 / (1 + MARGIN) and found.high <= 1 + MARGIN
