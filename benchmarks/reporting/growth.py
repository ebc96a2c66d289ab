"""How times grow with the batch or with a hidden layer, as text and tables."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from benchmarks.comparing.growth import (
    STRAIGHT,
    Along,
    Estimate,
    Growth,
    Row,
    crossing,
    line,
    shares,
    winners,
)
from benchmarks.comparing.ratios import CONFIDENCE
from benchmarks.reporting.markdown import table
from benchmarks.reporting.words import format_seconds, label
from mnist_models.operations import OPERATIONS
from mnist_models.recipe import BATCH_SIZE

# What is added, what grows, and how a heading ends.
WORDS = {"batch": ("image", "batch"), "units": ("unit", "width")}
BY = {"batch": "", "units": ", by the width of its hidden layer"}


def text(found: Growth) -> str:
    """Tables for each network and operation, with a sentence on which side is faster."""
    lines = []
    for (architecture, along, operation), rows in by_trial(found).items():
        what, size = WORDS[along]
        lines += [f"### {OPERATIONS[operation].title}, {architecture}{BY[along]}", ""]
        heads = (
            "",
            "a call costs",
            f"each {what} adds",
            f"largest {size} with half overhead",
            "the line",
        )
        lines += [*table(heads, [cells(row) for row in rows]), ""]
        lines += [*measured(rows, found.limits), "", meets(*rows), ""]
    about = (
        "The line is: seconds = what a call costs + size × what each image or unit adds. It is "
        "fitted in every block of fresh processes, with least relative errors. Intervals have "
        f"{CONFIDENCE:.0%} confidence over the blocks. If the line is off by more than "
        f"{STRAIGHT:.0%}, a straight line does not describe the times: caches, threads and kernels "
        f"change with the size. {where(found)}."
    )
    if found.limits:
        about += (
            f" At most, this CPU computes {found.limits['products'] / 1e9:.0f} GFLOP/s in products "
            f"of large float32 matrices and copies {found.limits['memory'] / 1e9:.0f} GB/s, both "
            "by NumPy in the same session; the share counts the products that the network needs."
        )
    return "\n".join([*lines, about])


def where(found: Growth) -> str:
    """Where it was measured, and with what."""
    listed = ", ".join(found.versions.values())
    return f"{found.machine}; {listed}; data set '{found.dataset}'; {found.threads} thread(s)"


def by_trial(found: Growth) -> dict[tuple[str, Along, str], list[Row]]:
    """The pair's rows by (architecture, along, operation)."""
    groups = groupby(found.rows, lambda row: (row.architecture, row.along, row.operation))
    return {key: list(rows) for key, rows in groups}


def cells(row: Row) -> list[str]:
    """One implementation's line of the table."""
    fitted = line(row)
    return [
        label(row.implementation),
        seconds(fitted.fixed),
        seconds(fitted.each),
        batch(fitted.half),
        ("fits within" if fitted.straight else "is off by up to") + f" {fitted.deviation:.0%}",
    ]


def measured(rows: list[Row], limits: Mapping[str, float]) -> list[str]:
    """Images a second at each size, and their share of the machine's limit."""
    sizes = rows[0].sizes()
    where = {"batch": "in batches of", "units": f"in batches of {BATCH_SIZE}, by width"}
    heads = [f"images a second {where[rows[0].along]}", *(f"{size:,}" for size in sizes)]
    lines = [[label(row.implementation), *map(rate, row.rates())] for row in rows]
    for row in rows if limits else ():
        percent = (f"{one:.0%}" for one in shares(row, limits["products"]))
        lines.append([f"{label(row.implementation)}, of the CPU's limit", *percent])
    return table(heads, lines)


def rate(value: float) -> str:
    """Images a second, as text."""
    return f"{value:,.0f}"


def meets(first: Row, second: Row) -> str:
    """Which side is faster at which sizes, as a sentence."""
    names = [label(row.implementation) for row in (first, second)]
    sizes, ahead = first.sizes(), winners(first, second)
    if len(set(ahead)) == 1 and ahead[0] is not None:
        return f"{names[ahead[0]]} is faster at every size from {sizes[0]:,} to {sizes[-1]:,}."
    where = []
    for place, name in enumerate(names):
        if won := [f"{size:,}" for size, who in zip(sizes, ahead, strict=True) if who == place]:
            where.append(f"{name} is faster at {', '.join(won)}")
    said = "; ".join(where) or "Neither is surely faster at any size"
    if found := crossing(first, second):
        below = max(size for size in sizes if size <= found.value)
        above = min(size for size in sizes if size > found.value)
        said += f"; both are equally fast at about {batch(found)}, interpolated between "
        said += f"{below:,} and {above:,}"
    return f"{said}."


def crossings(sessions: Sequence[Growth]) -> list[str]:
    """Where the pair's times meet in each of two sessions, and whether the intervals overlap."""
    lines = []
    first, second = map(by_trial, sessions)
    for (architecture, along, operation), rows in first.items():
        met = crossing(*rows), crossing(*second[architecture, along, operation])
        told = (batch(one) if one else "nowhere surely" for one in met)
        lines.append([f"{OPERATIONS[operation].title}, {architecture}", *told, agree(*met)])
    return table(("", "first session", "second session", "intervals"), lines)


def agree(first: Estimate | None, second: Estimate | None) -> str:
    """Whether two intervals overlap, as text; empty if one is lacking."""
    if not (first and second) or None in (first.low, second.low):
        return ""
    (low, high), (least, most) = ((one.low or 0.0, one.high or 0.0) for one in (first, second))
    return "overlap" if low <= most and least <= high else "do not overlap"


def seconds(found: Estimate) -> str:
    """A time with its interval."""
    if found.low is None or found.high is None:
        return format_seconds(found.value)
    ends = f"[{format_seconds(found.low)}, {format_seconds(found.high)}]"
    return f"{format_seconds(found.value)} {ends}"


def batch(found: Estimate) -> str:
    """A batch size with its interval."""
    if found.low is None or found.high is None:
        return f"{found.value:,.0f}"
    return f"{found.value:,.0f} [{found.low:,.0f}, {found.high:,.0f}]"
