"""Which of two rows of one session is faster, or why that cannot be said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import log

from benchmarks.comparing.ratios import MARGIN, Blocks, Ratio, block_log_ratios, ratio
from benchmarks.comparing.verdicts import contaminated

# The fewest blocks in which a host says something of its own.
HOST_BLOCKS = 3


class Outcome(StrEnum):
    """The outcome of a verdict on a pair. The value is shown to people."""

    FASTER = "faster"
    NO_DIFFERENCE = "no difference found"
    CONTAMINATED = "contaminated"
    TOO_FEW = "no verdict"
    HOSTS_DISAGREE = "hosts disagree"
    VOID = "void"


@dataclass(frozen=True)
class Side:
    """One row: seconds per operation by block, and whether it is void.

    `foreign` is the share of the workers' CPUs that others took, by block, None where unknown.
    """

    blocks: Blocks
    foreign: Mapping[int, float | None] = field(default_factory=dict)
    void: bool = False
    # Which host measured each block, where there were several.
    hosts: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """The verdict on two rows, the ratio of their times, and why it is no more than that.

    `disturbed` is how many blocks others disturbed, `void` which of the two (0, 1) do not count,
    `hosts` what each host says, where there were several.
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

    A pair is contaminated by the rule of `verdicts.judge`, unless the whole interval
    lies within MARGIN of equality: others hardly make different times look equal. Where hosts
    disagree, there is no verdict over all of them.
    """
    found = ratio(first.blocks, second.blocks)
    common = first.blocks.keys() & second.blocks.keys()
    count = max(contaminated(side.foreign, common) for side in (first, second))
    hosts = by_host(first, second)
    if void := tuple(number for number, side in enumerate((first, second)) if side.void):
        return Pair(Outcome.VOID, found, count, void)
    if disagree(first, second, hosts):
        return Pair(Outcome.HOSTS_DISAGREE, found, count, hosts=hosts)
    if count and not within(found):
        return Pair(Outcome.CONTAMINATED, found, count, hosts=hosts)
    if found.low is None or found.high is None:
        return Pair(Outcome.TOO_FEW, found, hosts=hosts)
    word = Outcome.NO_DIFFERENCE if found.winner is None else Outcome.FASTER
    return Pair(word, found, count, hosts=hosts)


def of_host(side: Side, host: str) -> Blocks:
    """The blocks that a host measured."""
    return {block: seconds for block, seconds in side.blocks.items() if side.hosts[block] == host}


def by_host(first: Side, second: Side) -> dict[str, Ratio]:
    """What each host says, where there were several: ratios are within hosts."""
    names = [*dict.fromkeys(first.hosts[block] for block in first.blocks if first.hosts)]
    if len(names) < 2:
        return {}
    return {name: ratio(of_host(first, name), of_host(second, name)) for name in names}


def disagree(first: Side, second: Side, hosts: Iterable[str]) -> bool:
    """Whether one of two sides is faster on one host, and the other on another.

    A host says so when all its blocks, of HOST_BLOCKS or more, lie beyond MARGIN on one side.
    """
    said = set()
    for host in hosts:
        logs = block_log_ratios(of_host(first, host), of_host(second, host))
        if len(logs) >= HOST_BLOCKS:
            said |= {sign for sign in (-1, 1) if all(sign * one > log(1 + MARGIN) for one in logs)}
    return len(said) == 2


def within(found: Ratio) -> bool:
    """Whether the whole interval of a ratio lies within MARGIN of equality."""
    if found.low is None or found.high is None:
        return False
    return found.low >= 1 / (1 + MARGIN) and found.high <= 1 + MARGIN
