"""The charts of a report, as Plotly figures. Every one has its numbers in a table beside it.

Each series has a symbol and, where it has lines, a dash of its own: colour is never the only
difference. Colours of text and grid are the page's, light or dark, and are set in its style sheet.
Colours of series follow Okabe and Ito, "Color Universal Design" (2008), where light ones are
darkened to a contrast of 3 on white.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import inf, log10
from typing import Any

from benchmarks.comparing.pair import Outcome
from benchmarks.comparing.records import Judged
from benchmarks.comparing.saved import Run
from benchmarks.comparing.verdicts import Status
from benchmarks.reporting import tables
from benchmarks.reporting.answers import Contest, contests
from benchmarks.reporting.tables import Table
from benchmarks.reporting.verdict_panel import headline
from benchmarks.reporting.verdict_panel import name as name_of
from benchmarks.reporting.words import OPERATIONS, label
from mnist_models import operations

COLORS = ("#0072B2", "#D55E00", "#00875F", "#B0508A", "#3A8FC4", "#A67500", "#7F7F7F", "#6F7D00")
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "x", "triangle-down")
# Contaminated samples are grey crosses.
DISTURBED = COLORS.index("#7F7F7F")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")

# Ticks of a ratio's axis, by the largest decimal logarithm on it.
TICKS = {
    0.08: (0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15),
    0.18: (0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4),
    0.4: (0.4, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2),
    inf: (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100),
}


@dataclass(frozen=True)
class Chart:
    """A Plotly figure (`data` and `layout`), with a text and a table of its numbers."""

    key: str
    title: str
    text: str
    data: Sequence[dict[str, Any]]
    layout: dict[str, Any]
    table: Table


def series(number: int, **more: Any) -> dict[str, Any]:
    """A scatter series with the colour and symbol of its number."""
    place = number % len(COLORS)
    marker = {"color": COLORS[place], "symbol": SYMBOLS[place], "size": 10}
    return {"type": "scatter", "mode": "markers", "marker": marker} | more


def layout(height: int, **more: Any) -> dict[str, Any]:
    """The layout that all charts share, without a text size, and with a transparent background."""
    return {
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 50, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"align": "left"},
    } | more


def whiskers(points: Sequence[tuple[float, float | None, float | None]]) -> dict[str, Any]:
    """Error bars from (value, low, high), of no length without an interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value if high else 0.0 for value, _, high in points],
        "arrayminus": [value - low if low else 0.0 for value, low, _ in points],
        "thickness": 2,
        "width": 6,
    }


def log_axis(values: Iterable[float], title: str) -> dict[str, Any]:
    """A logarithmic axis around 1, with ticks at round numbers."""
    logs = [0.0, *map(log10, values)]
    room = 0.03 + 0.05 * (max(logs) - min(logs))
    ends = [min(logs) - room, max(logs) + room]
    ticks = next(ticks for limit, ticks in TICKS.items() if max(map(abs, ends)) <= limit)
    return {
        "type": "log",
        "range": ends,
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
        "tickangle": 0,
        "title": {"text": title},
        "zeroline": False,
    }


def one_line(axis: str) -> dict[str, Any]:
    """A line across the chart where nothing differs."""
    other = {"x": "y", "y": "x"}[axis]
    ends = {f"{other}0": 0, f"{other}1": 1, f"{other}ref": "paper"}
    line = {"width": 2, "dash": "dot", "color": "#7F7F7F"}
    return {"type": "line", f"{axis}0": 1, f"{axis}1": 1, "line": line} | ends


def ratios(every: Sequence[Contest]) -> Chart:
    """Keras's time over PyTorch's: each contest with its interval, and a line at 1.

    Contaminated ratios are a series of their own, in grey.
    """
    decided = [(contest, found) for contest in every if (found := contest.ratio())]
    disturbed = [one for one in decided if is_disturbed(one[0])]
    groups = {
        name: (number, [one for one in decided if one[0].operation == key and one not in disturbed])
        for number, (key, name) in enumerate(OPERATIONS.items())
    } | {CONTAMINATED: (DISTURBED, disturbed)}
    data = []
    places = {contest.place[1:] for contest in every}
    for name, (number, points) in groups.items():
        if points:
            values = [(found.value, found.low, found.high) for _, found in points]
            data.append(
                series(
                    number,
                    name=name,
                    x=[value for value, _, _ in values],
                    y=[short(contest, places) for contest, _ in points],
                    error_x=whiskers(values),
                    hovertext=[escape(contest.answer()) for contest, _ in points],
                    hoverinfo="text",
                )
            )
    ends = [end for _, f in decided for end in (f.value, f.low, f.high) if end]
    shape = layout(
        120 + 34 * len(decided),
        xaxis=log_axis(ends, "time of Keras ÷ time of PyTorch"),
        yaxis={"automargin": True, "autorange": "reversed"},
        shapes=[one_line("x")],
    )
    text = "Left of the line at 1 Keras is faster, right of it PyTorch, each with its interval."
    if disturbed:
        text += f" Grey crosses: {CONTAMINATED}, so neither side is called faster."
    return Chart("chart-ratios", "Who is faster", text, data, shape, tables.answers(every))


CONTAMINATED = f"{Outcome.CONTAMINATED}: other programs used the CPUs"


def is_disturbed(contest: Contest) -> bool:
    """Whether other programs disturbed a contest too much for a verdict."""
    return contest.verdict is not None and contest.verdict.outcome is Outcome.CONTAMINATED


def short(contest: Contest, places: set[tuple[int, str]]) -> str:
    """A contest's name on an axis, with batch and device only if there are several `places`.

    It is escaped, because Plotly interprets tags.
    """
    architecture, batch_size, device = contest.place
    name = f"{architecture} {OPERATIONS[contest.operation]}"
    if len(places) > 1:
        name += f", b{batch_size} {device}"
    return escape(name)


def samples(contest: Contest) -> Chart:
    """Every sample of a contest, block by block, void rows left out."""
    unit, scale = ("s", 1.0) if operations.OPERATIONS[contest.operation].whole else ("ms", 1e-3)
    data = []
    for number, row in enumerate(contest.rows):
        if row.void:
            continue
        x, y = [], []
        for block, seconds in row.blocks().items():
            count = len(seconds)
            x += [round(block + 1 + 0.7 * (i + 0.5) / count - 0.35, 3) for i in range(count)]
            y += [float(f"{second / scale:.4g}") for second in seconds]
        points = series(number, name=escape(label(row.name)), x=x, y=y)
        data.append(points | {"marker": points["marker"] | {"size": 6}})
    shape = layout(
        380,
        xaxis={"title": {"text": "block of fresh processes"}, "dtick": 1, "zeroline": False},
        yaxis={"title": {"text": unit}, "type": "log", "automargin": True},
    )
    text = f"Samples of {contest.title}, in the order in which they were taken."
    table = tables.samples(contest)
    return Chart(f"chart-{table.key}", contest.title, text, data, shape, table)


def classes(dataset: dict[str, Any]) -> Chart:
    """How many images there are of each digit."""
    patterns = {"train_counts": ("training", ""), "test_counts": ("test", "/")}
    data = [
        {
            "type": "bar",
            "name": name,
            "x": [*range(10)],
            "y": dataset[key],
            "marker": {"color": COLORS[number], "pattern": {"shape": pattern}},
        }
        for number, (key, (name, pattern)) in enumerate(patterns.items())
    ]
    shape = layout(280, xaxis={"title": {"text": "digit"}, "dtick": 1}, yaxis={"automargin": True})
    least, most = min(dataset["train_counts"]), max(dataset["train_counts"])
    text = f"Between {least:,} and {most:,} training images of each digit."
    return Chart("chart-classes", "Class balance", text, data, shape, tables.classes(dataset))


def versions(runs: dict[str, Run]) -> Chart:
    """Keras over PyTorch in each run, oldest first; each ratio is within one run."""
    found: dict[tuple[str, Any], dict[str, Contest]] = {}
    for name, run in runs.items():
        for contest in contests(run):
            if contest.ratio():
                found.setdefault((contest.operation, contest.place), {})[name] = contest
    every = [contest for by_run in found.values() for contest in by_run.values()]
    places = {contest.place[1:] for contest in every}
    data, ends = [], []
    for number, by_run in enumerate(found.values()):
        ratios = [one.ratio() for one in by_run.values()]
        values = [(one.value, one.low, one.high) for one in ratios if one]
        ends += [end for value in values for end in value if end]
        line = series(number)["marker"]
        grey = series(DISTURBED)["marker"]
        each = [grey if is_disturbed(one) else line for one in by_run.values()]
        data.append(
            series(
                number,
                mode="lines+markers",
                line={"dash": DASHES[number % len(DASHES)], "color": line["color"]},
                marker={key: [marker[key] for marker in each] for key in line},
                hovertext=[escape(one.answer()) for one in by_run.values()],
                name=short(next(iter(by_run.values())), places),
                x=[escape(name) for name in by_run],
                y=[value for value, _, _ in values],
                error_y=whiskers(values),
            )
        )
    shape = layout(
        420,
        xaxis={"type": "category", "automargin": True},
        yaxis=log_axis(ends, "Keras ÷ PyTorch") | {"automargin": True},
        shapes=[one_line("y")],
    )
    text = "Time of Keras over time of PyTorch within each run: above 1, PyTorch is faster."
    if any(map(is_disturbed, every)):
        text += f" Grey crosses: {CONTAMINATED}."
    title, table = "From version to version", tables.over_versions(runs)
    return Chart("chart-versions", title, text, data, shape, table)


def changes(judged: Sequence[Judged], title: str, key: str) -> Chart:
    """New over old for each time, with intervals."""
    times = [one for one in judged if one.comparison.metric.name == "time" and one.verdict.ratio]
    data, ends = [], []
    for number, word in enumerate(dict.fromkeys(one.verdict.status for one in times)):
        of_word = [one for one in times if one.verdict.status is word]
        found = [one.verdict.ratio for one in of_word]
        values = [(one.value, one.low, one.high) for one in found if one]
        ends += [end for value in values for end in value if end]
        data.append(
            series(
                DISTURBED if word is Status.CONTAMINATED else number,
                name=word.value,
                x=[value for value, _, _ in values],
                y=[escape(name_of(one)) for one in of_word],
                error_x=whiskers(values),
            )
        )
    shape = layout(
        120 + 30 * len(times),
        xaxis=log_axis(ends, "new ÷ old"),
        yaxis={"automargin": True, "autorange": "reversed"},
        shapes=[one_line("x")],
    )
    title += f": {headline(judged)}"
    table = tables.verdicts(judged, title, key)
    text = "Left of the line at 1 it is faster now, right of it slower."
    return Chart(f"chart-{key}", title, text, data, shape, table)
