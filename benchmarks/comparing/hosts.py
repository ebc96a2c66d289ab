"""Whether the machines that measured a session's blocks agree. Each ratio is within one host."""

from collections.abc import Mapping
from math import log

from benchmarks.comparing.ratios import Blocks, Ratio, block_log_ratios, ratio

# The fewest blocks with which a host counts separately.
HOST_BLOCKS = 3
# Which host measured each block; empty if there was one machine.
Hosts = Mapping[int, str]


def by_host(first: Blocks, second: Blocks, hosts: Hosts) -> dict[str, tuple[Blocks, Blocks]]:
    """The blocks of both sides that each host measured; empty unless there were several."""
    names = [*dict.fromkeys(hosts[block] for block in first if block in hosts)]
    if len(names) < 2:
        return {}
    return {name: (of_host(first, hosts, name), of_host(second, hosts, name)) for name in names}


def of_host(blocks: Blocks, hosts: Hosts, name: str) -> Blocks:
    """The blocks that a host measured."""
    return {block: samples for block, samples in blocks.items() if hosts.get(block) == name}


def ratios(first: Blocks, second: Blocks, hosts: Hosts) -> dict[str, Ratio]:
    """The ratio on each host; empty unless there were several."""
    return {name: ratio(*sides) for name, sides in by_host(first, second, hosts).items()}


def disagree(first: Blocks, second: Blocks, hosts: Hosts, margin: float) -> bool:
    """Whether one of two sides is faster on one host, and the other on another.

    A host counts if it has HOST_BLOCKS blocks or more, all beyond the margin on the same side.
    """
    said = set()
    for sides in by_host(first, second, hosts).values():
        logs = block_log_ratios(*sides)
        if len(logs) >= HOST_BLOCKS:
            said |= {sign for sign in (-1, 1) if all(sign * one > log(1 + margin) for one in logs)}
    return len(said) == 2
