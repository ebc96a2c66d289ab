"""Do several main jobs say the same? `python -m tools.repeats RUN …` keeps saved runs.

Of each run the pair's ratios are kept, with their intervals, in `tools/recorded/repeats.json`;
`python -m tools.measured` writes what they show into docs/measured.md.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from math import comb, sqrt
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.comparing.machines import cpu_name
from benchmarks.comparing.saved import read
from benchmarks.reporting import markdown
from benchmarks.reporting.answers import circumstances, contests, versions
from tools import pages
from tools.campaigns import RECORDED

REPEATS = RECORDED / "repeats.json"
# Of one row in one run: the ratio of Keras's time to PyTorch's, and the ends of its interval.
Interval = tuple[float, float, float]
DIGITS = 5
# Probability that the ranges of two times six blocks of equal code exclude each other.
CHANCE = 2 / comb(12, 6)
UNKNOWN = "two shared virtual cores, not recorded more exactly"


def intervals(run: Mapping[str, Any]) -> dict[str, Interval]:
    """The pair's ratio in each row of a saved run that has an interval, by the row's title."""
    found = {}
    for contest in contests(run):
        if (pair := contest.verdict) and pair.ratio.low is not None and pair.ratio.high is not None:
            ends = pair.ratio.value, pair.ratio.low, pair.ratio.high
            found[contest.title] = tuple(float(f"{end:.{DIGITS}g}") for end in ends)
    return found  # type: ignore[return-value]


def contradictions(runs: Iterable[Interval]) -> int:
    """How many pairs of runs have intervals of which each excludes the other."""
    return sum(one[2] < other[1] or other[2] < one[1] for one, other in combinations([*runs], 2))


def half_width(interval: Interval) -> float:
    """Half the width of an interval, as a share of the ratio."""
    return sqrt(interval[2] / interval[1]) - 1


def machine(run: Mapping[str, Any]) -> str:
    """The processor and the versions of a run, without its date."""
    cpu = run["machine_info"].get("cpu", {})
    listed = ", ".join(f"{name} {version}" for name, version in versions(run).items())
    return f"{cpu_name(cpu)}, {cpu.get('count')} CPUs; {listed}"


def kept() -> list[dict[str, Any]]:
    """All runs that were kept, the oldest first."""
    return json.loads(REPEATS.read_text("utf-8")) if REPEATS.exists() else []


def lines() -> list[str]:
    """What the kept runs of each machine show, as a section of Markdown; empty without two."""
    by_machine: dict[str, list[dict[str, Any]]] = {}
    for run in kept():
        by_machine.setdefault(run.get("machine", UNKNOWN), []).append(run)
    found = [about(machine, runs) for machine, runs in by_machine.items() if len(runs) > 1]
    if not found:
        return []
    command = "`pytest benchmarks --benchmark-save NAME`, then `python -m tools.repeats RUN …`."
    return ["", "## The panel, repeated", "", command, *chain.from_iterable(found), *the_readmes()]


def the_readmes() -> list[str]:
    """How often the run that README.md shows excludes what the kept runs found."""
    run = pages.recorded()
    of_readme = intervals(run)
    both = [
        (of_readme[title], tuple(interval))
        for other in kept()
        for title, interval in other["rows"].items()
        if title in of_readme
    ]
    return [
        "",
        f"The run in README.md ended at {str(run['datetime'])[:16].replace('T', ' ')}. Machine:",
        f"{circumstances(run)}.",
        f"Its intervals exclude those of the kept runs in {sum(map(contradictions, both))} of "
        f"{len(both)} rows.",
    ]


def about(machine: str, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What several runs on one machine show."""
    by_title: dict[str, list[Interval]] = {}
    for run in runs:
        for title, interval in run["rows"].items():
            by_title.setdefault(title, []).append(tuple(interval))
    every = {title: found for title, found in by_title.items() if len(found) > 1}
    rows = [
        [
            title,
            str(len(found)),
            f"{median(one[0] for one in found):.3f}",
            f"{min(one[0] for one in found):.3f} to {max(one[0] for one in found):.3f}",
            f"{median(map(half_width, found)):.1%}",
            str(contradictions(found)),
        ]
        for title, found in every.items()
    ]
    pairs = sum(len(found) * (len(found) - 1) // 2 for found in every.values())
    against = sum(map(contradictions, every.values()))
    widths = [median(map(half_width, found)) for found in every.values()]
    held = [
        one[1] <= median(other[0] for other in found) <= one[2]
        for found in every.values()
        for one in found
    ]
    return [
        "",
        f"{len(runs)} main jobs of five minutes, which ended from {runs[0]['began']} to "
        f"{runs[-1]['began']}.",
        f"Machine: {machine}.",
        f"In {against} of {pairs} pairs of runs of a row, the two intervals exclude each other;",
        f"chance alone gives {CHANCE * pairs:.1f} of them. {sum(held)} of {len(held)} intervals",
        f"hold the median of their row ({sum(held) / len(held):.1%}; each promises 96.9 %). Half",
        f"an interval is {median(widths):.1%} of the ratio wide: the median over rows, each over",
        "its runs. The time budget left some epochs out.",
        "",
        *markdown.table(
            ("row", "runs", "Keras/PyTorch", "least to most", "half-width", "contradictions"), rows
        ),
    ]


def main() -> None:
    """Keep the runs that are named, each once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="+", type=Path, metavar="RUN", help="a saved run")
    runs = {run["began"]: run for run in kept()}
    for path in parser.parse_args().run:
        run = read(path)
        began = str(run["datetime"])[:16].replace("T", " ")
        runs[began] = {"began": began, "rows": intervals(run), "machine": machine(run)}
    text = json.dumps([runs[began] for began in sorted(runs)], indent=0)
    REPEATS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
