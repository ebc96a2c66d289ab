"""The chart of docs/history.md: each network's times over the releases of a package."""

from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.comparing.timeline import Timeline
from benchmarks.trial import RowId

# How far lines stand apart, in releases; from which ratio on an axis is logarithmic.
APART, LARGE = 0.07, 2.0


def draw(timeline: Timeline, path: Path) -> None:
    """Write an SVG picture: times against the newest release with their intervals, and imports."""
    releases = timeline.measured()
    rows = [(RowId.parse(row).trial, row) for row in timeline.rows]
    operations = list(dict.fromkeys(trial.operation for trial, _ in rows))
    # The salt makes the same file from the same figures.
    with matplotlib.rc_context(
        {"svg.hashsalt": "history", "svg.fonttype": "none", "font.size": 11}
    ):
        figure, axes = pyplot.subplots(
            len(operations) + 1, figsize=(9, 3.2 * (len(operations) + 1)), sharex=True
        )
        for axis, operation in zip(axes, operations, strict=False):
            drawn = [(trial, row) for trial, row in rows if trial.operation == operation]
            for place, (trial, row) in enumerate(drawn):
                shift = APART * (place - (len(drawn) - 1) / 2)
                line(axis, timeline, row, shift, trial.architecture)
                axis.set_title(f"{trial.kind.title}: time over that of {timeline.anchor}")
            axis.axhline(1, color="#333", linewidth=1)
            if axis.get_ylim()[1] > LARGE:
                axis.set_yscale("log")
        axes[0].legend(ncols=3, fontsize=9)
        last, places = axes[-1], range(len(releases))
        last.plot(
            places,
            [timeline.import_seconds(one) or float("nan") for one in releases],
            "o-",
            color="#555",
        )
        last.set_title(f"import {timeline.package}, seconds")
        last.set_ylim(bottom=0)
        last.set_xticks(places, releases, rotation=45)
        last.set_xlabel(timeline.package)
        figure.tight_layout()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def line(axis: Axes, timeline: Timeline, row: str, shift: float, name: str) -> None:
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
