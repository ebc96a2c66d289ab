"""Whether the machines that measured a session's blocks agree. Each ratio is within one host."""

from collections.abc import Mapping
from math import log

from benchmarks.comparing.ratios import Ratio, of_logs

# The fewest blocks with which a host counts separately.
HOST_BLOCKS = 3
# Which host measured each block; empty if there was one machine.
Hosts = Mapping[int, str]


def by_host(logs: Mapping[int, float], hosts: Hosts) -> dict[str, list[float]]:
    """The log-ratios of the blocks that each host measured; empty unless there were several."""
    found: dict[str, list[float]] = {}
    for block, one in logs.items():
        if block in hosts:
            found.setdefault(hosts[block], []).append(one)
    return found if len(found) > 1 else {}


def ratios(logs: Mapping[int, float], hosts: Hosts) -> dict[str, Ratio]:
    """The ratio on each host, from each block's log-ratio; empty unless there were several."""
    return {name: of_logs(every) for name, every in by_host(logs, hosts).items()}


def disagree(logs: Mapping[int, float], hosts: Hosts, margin: float) -> bool:
    """Whether one of two sides is faster on one host, and the other on another.

    A host counts if it has HOST_BLOCKS blocks or more, all beyond the margin on the same side.
    """
    said = set()
    for every in by_host(logs, hosts).values():
        if len(every) >= HOST_BLOCKS:
            said |= {sign for sign in (-1, 1) if all(sign * one > log(1 + margin) for one in every)}
    return len(said) == 2
