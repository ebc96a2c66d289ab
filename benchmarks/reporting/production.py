"""Starts, predictions and ways to ship of a saved run, as Markdown tables with their verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.comparing import parts
from benchmarks.comparing.growth import estimate
from benchmarks.reporting.answers import Contest, SavedRow
from benchmarks.reporting.growth import seconds
from benchmarks.reporting.markdown import table
from benchmarks.reporting.words import (
    MOMENTS,
    PLACES,
    agreement,
    feed,
    format_seconds,
    label,
    particulars,
    route,
)
from mnist_models.profiles import PARTS

# Kernels that are shown for each row.
KERNELS = 5


def of(contests: Iterable[Contest], operation: str) -> list[Contest]:
    """The contests of an operation."""
    return [one for one in contests if one.operation == operation]


def verdicts(contests: Sequence[Contest]) -> list[str]:
    """The verdict on each contest, as a list."""
    return [f"- {one.place[0]}: {one.answer()}" for one in contests]


def starts(contests: Sequence[Contest]) -> list[str]:
    """Seconds after the start of a process until each moment, with intervals over blocks."""
    rows = [
        [contest.place[0], label(row.name), *map(seconds, moments)]
        for contest in contests
        for row in contest.rows
        for moments in [[estimate([one[key] for one in row.info["start"]]) for key in MOMENTS]]
    ]
    return [*table(("network", "implementation", *MOMENTS.values()), rows), "", *verdicts(contests)]


def predictions(contests: Sequence[Contest]) -> list[str]:
    """Seconds within which each share of the calls ends, with intervals over blocks."""
    shares = next(iter(contests)).rows[0].info["latency_seconds"]
    heads = (f"{100 * float(share):g}% of calls within" for share in shares)
    rows = [
        [contest.place[0], label(row.name), place, *map(seconds, map(estimate, blocks.values()))]
        for contest in contests
        for row in contest.rows
        for key, place in PLACES.items()
        if (blocks := row.info.get(key))
    ]
    return [*table(("network", "implementation", "where", *heads), rows), "", *verdicts(contests)]


def routes(contests: Sequence[Contest]) -> list[str]:
    """Every way to ship, with its size and its seconds."""
    heads = ("network", "from", "route", "size", "packages", "export", "load", "one image")
    rows = [
        [contest.place[0], label(row.name), name, *figures(row, name)]
        for contest in contests
        for row in contest.rows
        for name in row.info["routes"][0]
    ]
    return table((*heads, "a batch", "off by"), rows)


def feeds(contests: Sequence[Contest]) -> list[str]:
    """Every way to feed, with its images a second, and the verdicts on the usual ways."""
    heads = (
        "network",
        "implementation",
        "way",
        "images/s in training",
        "images/s alone",
        "share of feeding",
    )
    rows = []
    for contest in contests:
        for row in contest.rows:
            for name in row.info["feeds"][0]:
                found = feed(name, row.info["feeds"])
                alone, training, share = found if isinstance(found, tuple) else (found, "", "")
                rows.append([contest.place[0], label(row.name), name, training, alone, share])
    return [*table(heads, rows), "", *verdicts(contests)]


def taken_apart(contests: Sequence[Contest]) -> list[str]:
    """Seconds of each part of a training step, and whether the profiler agrees."""
    rows = [
        [
            contest.place[0],
            label(row.name),
            *(seconds(parts.seconds(row.info["parts"], part)) for part in PARTS),
            agreement(row.info["parts"]),
        ]
        for contest in contests
        for row in contest.rows
    ]
    return table(("network", "implementation", *PARTS, "the profiler"), rows)


def kernels(contests: Sequence[Contest], most: int = KERNELS) -> list[str]:
    """The longest kernels of a training step."""
    rows = [
        [contest.place[0], label(row.name), f"`{name}`", format_seconds(took), f"{calls:.0f}"]
        for contest in contests
        for row in contest.rows
        for name, took, calls in parts.kernels(row.info["parts"])[:most]
    ]
    return table(("network", "implementation", "kernel", "a step", "calls"), rows)


def kept(contests: Sequence[Contest]) -> list[str]:
    """What grows from call to call."""
    return [
        f"- {contest.place[0]}, {line}"
        for contest in contests
        for row in contest.rows
        for line in particulars(row.name, row.info)
    ]


def devices(run: Mapping[str, Any]) -> list[str]:
    """Seconds of a step on one and on two devices, and the difference of their weights.

    Void rows are included, because a difference between devices is a result.
    """
    heads = (
        "network",
        "implementation",
        "one device",
        "two devices",
        "two over one",
        "lost",
        "off by",
    )
    rows = [
        [info["architecture"], label(info["implementation"]), *group(info["devices"])]
        for record in (*run["benchmarks"], *run.get("void", ()))
        if (info := record["extra_info"]).get("devices")
    ]
    return table(heads, sorted(rows))


def group(blocks: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """One row: seconds, their ratio, the share of communication, the worst difference."""
    one, two = ([block[count]["seconds"] for block in blocks] for count in ("1", "2"))
    ratio = estimate([second / first for first, second in zip(one, two, strict=True)])
    alone = [block["2"]["alone_seconds"] for block in blocks]
    lost = "unknown"
    if None not in alone:
        shares = [1 - less / second for less, second in zip(alone, two, strict=True)]
        lost = f"{100 * estimate(shares).value:.0f}%"
    ends = "" if ratio.low is None else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    worst = max(block["2"]["difference"] for block in blocks)
    middles = seconds(estimate(one)), seconds(estimate(two))
    return [*middles, f"{ratio.value:.2f}{ends}", lost, f"{worst:.0e}"]


def figures(row: SavedRow, name: str) -> list[str]:
    """A route's figures, medians over blocks; or why there are none."""
    found = route(name, row.info["routes"])
    return list(found) if isinstance(found, tuple) else [found, *[""] * 6]
