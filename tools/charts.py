"""The charts of docs/, drawn by Matplotlib from recorded data, each with that data's digest."""

import json
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BaseModel

from benchmarks.comparing.curves import Band, Curves, band, cases
from benchmarks.comparing.growth import Growth, Row, line
from benchmarks.comparing.moves import Explained
from benchmarks.comparing.timeline import Timeline
from benchmarks.reporting import explained
from benchmarks.reporting.words import label
from benchmarks.trial import RowId
from mnist_models.implementations import PAIR
from mnist_models.operations import OPERATIONS

COLORS = dict(zip(PAIR, ("#d00000", "#1a5fb4"), strict=True))
# How far lines stand apart, in releases; from which ratio on an axis is logarithmic.
APART, LARGE = 0.07, 2.0
# Where an axis of factors has its ticks, and where else if it is short.
FACTORS, FINE = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50), (0.8, 0.9, 1.1, 1.25)
# The colours of the doses that `tools.campaigns` plants in training steps.
DOSES = {0.0: "#999999", 0.02: "#9ecae1", 0.03: "#4292c6", 0.05: "#2a62a8", 0.10: "#08306b"}


def write(path: Path, draw: Callable[[Any], Figure], data: Any) -> None:
    """Write an SVG picture of `data`: the same file from the same figures."""
    path.parent.mkdir(exist_ok=True)
    with matplotlib.rc_context(
        {"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.size": 11}
    ):
        figure = draw(data)
        figure.tight_layout()
        told = {"Date": None, "Creator": None, "Description": digest(data)}
        figure.savefig(path, format="svg", metadata=told)


def is_of(path: Path, data: Any) -> bool:
    """Whether a picture was drawn from this data."""
    return f">{digest(data)}<" in path.read_text(encoding="utf-8")


def digest(data: Any) -> str:
    """The SHA-256 of a chart's data, which its file holds."""
    text = data.model_dump_json() if isinstance(data, BaseModel) else json.dumps(data)
    return sha256(text.encode()).hexdigest()


def moves(found: Explained) -> Figure:
    """By how much each knob moves one trial: a bar from low to high for each side."""
    ((trial, every),) = explained.in_order(found).items()
    every = [one for one in every if one.sides]
    figure = Figure((9.6, 1.2 + 0.24 * len(every)))
    axis = figure.subplots()
    for row, one in enumerate(every):
        for side in one.sides:
            low, high = explained.limits(one.factor(side))
            place = row + 0.4 * (PAIR.index(side) - 0.5)
            axis.barh(place, high - low, 0.36, low, color=COLORS[side], edgecolor=COLORS[side])
    marks = ["✗ " if one.knob in explained.MISTAKES else "" for one in every]
    names = [
        mark + explained.TITLES[one.knob].replace("`", "")
        for mark, one in zip(marks, every, strict=True)
    ]
    axis.set_yticks(range(len(every)), names, fontsize=9)
    axis.set(xscale="log", title=explained.title(trial), ylim=(len(every) - 0.4, -0.6))
    for side in PAIR:
        axis.barh(0, 0, color=COLORS[side], label=label(side))
    axis.legend(fontsize=9)
    ticks(axis, [one.factor(side).value for one in every for side in one.sides])
    return figure


def ticks(axis: Axes, factors: Sequence[float]) -> None:
    """Factors of time on a logarithmic axis; an interval that is wider than it is cut off."""
    low, high = min(*factors, 0.8) / 1.2, max(*factors, 1.25) * 1.2
    fine = high < 4 * low
    shown = [one for one in (*FACTORS, *(FINE if fine else ())) if low <= one <= high]
    axis.set_xticks(shown, [f"{one:g}×" for one in shown])
    axis.minorticks_off()
    axis.set_xlim(low, high)
    axis.axvline(1, color="#333333", linewidth=1)


def growth(found: Growth) -> Figure:
    """Microseconds for each image by size, and where overhead is half of them."""
    operations = list(dict.fromkeys(row.operation for row in found.rows))
    columns = list(dict.fromkeys((row.architecture, row.along) for row in found.rows))
    size = len(operations), len(columns)
    figure = Figure((max(8, 5 * len(columns)), 8))
    axes = figure.subplots(*size, sharex="col", squeeze=False)
    for row in found.rows:
        place = operations.index(row.operation), columns.index((row.architecture, row.along))
        growth_row(axes[place], row)
    axes[0][0].legend()
    for axis, (_, along) in zip(axes[-1], columns, strict=True):
        axis.set_xlabel({"batch": "batch size", "units": "units in the hidden layer"}[along])
    figure.suptitle(
        "Microseconds for each image. Left of a dotted line,\nmost of a call is overhead."
    )
    return figure


def growth_row(axis: Axes, row: Row) -> None:
    """One implementation: its times, and where overhead is half, if that is among its sizes."""
    sizes, color = row.sizes(), COLORS[row.implementation]
    each = [1e6 / rate for rate in row.rates()]
    axis.loglog(sizes, each, "o-", color=color, label=label(row.implementation))
    if sizes[0] <= (half := line(row).half.value) <= sizes[-1]:
        axis.axvline(half, color=color, linestyle=":", linewidth=1)
    by = {"batch": "", "units": " by width"}[row.along]
    axis.set_title(f"{OPERATIONS[row.operation].title}, {row.architecture}{by}")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()


def history(timeline: Timeline) -> Figure:
    """Times against the newest release with their intervals, and the seconds of an import."""
    releases = timeline.measured()
    rows = [(RowId.parse(row).trial, row) for row in timeline.rows]
    operations = list(dict.fromkeys(trial.operation for trial, _ in rows))
    high = len(operations) + 1
    figure = Figure((9, 3.2 * high))
    axes = figure.subplots(high, sharex=True)
    for axis, operation in zip(axes, operations, strict=False):
        drawn = [(trial, row) for trial, row in rows if trial.operation == operation]
        for place, (trial, row) in enumerate(drawn):
            shift = APART * (place - (len(drawn) - 1) / 2)
            history_line(axis, timeline, row, shift, trial.architecture)
            axis.set_title(f"{trial.kind.title}: time over that of {timeline.anchor}")
        axis.axhline(1, color="#333333", linewidth=1)
        if axis.get_ylim()[1] > LARGE:
            axis.set_yscale("log")
    axes[0].legend(ncols=3, fontsize=9)
    last, places = axes[-1], range(len(releases))
    imports = [timeline.import_seconds(one) or float("nan") for one in releases]
    last.plot(places, imports, "o-", color="#555555")
    last.set(title=f"import {timeline.package}, seconds", xlabel=timeline.package)
    last.set_ylim(bottom=0)
    last.set_xticks(places, releases, rotation=45)
    return figure


def history_line(axis: Axes, timeline: Timeline, row: str, shift: float, name: str) -> None:
    """One network: a point with its interval for each release."""
    places, values, below, above = [], [], [], []
    for place, release in enumerate(timeline.measured()):
        found = timeline.to_anchor(release, row)
        if found is None and release != timeline.anchor:
            continue
        value = found.value if found else 1.0
        places.append(place + shift)
        values.append(value)
        below.append(value - (found.low or value) if found else 0.0)
        above.append((found.high or value) - value if found else 0.0)
    axis.errorbar(places, values, yerr=[below, above], fmt="o-", ms=4, capsize=2, label=name)


def learning(found: Curves) -> Figure:
    """Mean test accuracy after each epoch, with a band of one standard deviation over seeds."""
    architectures = list(dict.fromkeys(network for network, _ in cases(found.runs)))
    arms = ("equal", "own")
    size = len(arms), len(architectures)
    figure = Figure((1 + 2.6 * size[1], 6))
    axes = figure.subplots(*size, sharex=True, sharey="col", squeeze=False)
    for (architecture, arm), seeds in cases(found.runs).items():
        if arm in arms:
            axis = axes[arms.index(arm), architectures.index(architecture)]
            learning_curves(axis, [band(one) for one in seeds], architecture, arm)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    axes[0][0].legend()
    return figure


def learning_curves(axis: Axes, bands: Sequence[Band], architecture: str, arm: str) -> None:
    """Both of the pair."""
    for name, its in zip(PAIR, bands, strict=True):
        means, deviations = np.array(its.means), np.array(its.deviations)
        epochs, color = range(1, len(means) + 1), COLORS[name]
        axis.plot(epochs, means, "o-", ms=3, color=color, label=label(name))
        axis.fill_between(
            epochs, means - deviations, means + deviations, color=color, alpha=0.2, linewidth=0
        )
    axis.set_title(f"{architecture}, {'equal' if arm == 'equal' else 'own defaults'}", fontsize=10)
    axis.set_xticks(epochs)


# One ratio of a live session: what was planted, its interval's ends, whether a change was called.
Session = tuple[float, float, float, bool]


def sessions(rows: Sequence[Session]) -> Figure:
    """The interval of each ratio, thick where a change was called, in the colour of its dose."""
    figure = Figure((9.5, 4))
    axis = figure.subplots()
    planted, lows, highs, called = zip(*rows, strict=True)
    axis.vlines(
        range(len(rows)),
        lows,
        highs,
        colors=[DOSES[abs(share)] for share in planted],
        linewidth=[1.8 if word else 0.6 for word in called],
    )
    axis.axhline(1, color="#333333", linewidth=1)
    axis.set(ylim=(0.85, 1.15), xticks=[], ylabel="candidate over baseline")
    axis.grid(axis="y", linestyle=":")
    return figure


def file_name(trial: str) -> str:
    """A trial as a file's name."""
    return re.sub(r"\W+", "_", trial).strip("_")
