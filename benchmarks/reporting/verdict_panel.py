"""The verdicts against other environments or saved runs: a panel, Markdown, an exit status."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from benchmarks.comparing.records import Judged
from benchmarks.comparing.verdicts import UNDECIDED, Status
from benchmarks.reporting.markdown import escape, printable, table
from benchmarks.reporting.words import label

REGRESSION_STATUS = 1
UNDECIDED_STATUS = 10
NOTHING_STATUS = 11
STYLES = {
    Status.REGRESSED: "bold red",
    Status.IMPROVED: "green",
    Status.EQUIVALENT: "",
    Status.SUSPECT: "yellow",
}
# Lines of each kind in a panel; more than any session has.
MOST_LINES = 200
HEADINGS = ("what", "verdict", "ratio", "interval", "blocks", "sees", "reason")


def exit_status(verdicts: Iterable[Sequence[Judged]], fail_on: str | None, strict: bool) -> int:
    """Return the exit status for the verdicts on each baseline; 0 when all is well.

    It is never 0 if nothing could be compared with one of them. With `fail_on`, no comparison may
    be missing.
    """
    several = [[one.verdict.status for one in judged] for judged in verdicts]
    words = [word for each in several for word in each]
    if fail_on == "regression" and Status.REGRESSED in words:
        return REGRESSION_STATUS
    if not words or any(set(each) <= {Status.NOT_COMPARABLE} for each in several):
        return NOTHING_STATUS
    if fail_on and Status.NOT_COMPARABLE in words:
        return NOTHING_STATUS
    return UNDECIDED_STATUS if strict and set(words) & set(UNDECIDED) else 0


def headline(judged: Iterable[Judged]) -> str:
    """How often each status was given, as text."""
    counts = Counter(one.verdict.status for one in judged)
    return (
        ", ".join(f"{counts[word]} {word}" for word in Status if counts[word]) or "nothing compared"
    )


def cells(one: Judged) -> tuple[str, ...]:
    """A comparison as text: status, ratio of new to old, interval, blocks, detectable change."""
    verdict = one.verdict
    found = verdict.ratio
    ratio = f"{found.value:.3f}" if found and isfinite(found.value) else ""
    interval = blocks = ""
    if found and found.low is not None and found.high is not None:
        interval, blocks = f"[{found.low:.3f}, {found.high:.3f}]", str(found.blocks)
    sees = "" if verdict.detectable is None else change(verdict.detectable)
    return verdict.status.value, ratio, interval, blocks, sees


def change(share: float) -> str:
    """A change by a share, as text: 3.1%, or from twice as much on a factor, 57.4×."""
    return f"{share:.1%}" if share < 0.9995 else f"{1 + share:.3g}×"


def name(one: Judged) -> str:
    """Return the name of a comparison, as text."""
    comparison = one.comparison
    words = re.sub(r"[\[\]-]", " ", comparison.trial).rstrip()
    metric = "" if comparison.metric.name == "time" else f", {comparison.metric.name}"
    return f"{words} {label(comparison.implementation)}{metric}"


def by_urgency(judged: Iterable[Judged]) -> list[Judged]:
    """The most urgent comparisons first; times before the rest."""
    order = list(Status)
    return sorted(
        judged,
        key=lambda one: (order.index(one.verdict.status), one.comparison.metric.name != "time"),
    )


def panel(judged: Sequence[Judged], title: str, notes: Iterable[str]) -> Panel:
    """The verdicts: all on times, and those on other metrics that are not good."""
    table = Table("", "", "ratio", "", "n", "sees", box=None, pad_edge=False)
    good = (Status.EQUIVALENT, Status.IMPROVED)
    shown = [
        one
        for one in by_urgency(judged)
        if one.comparison.metric.name == "time" or one.verdict.status not in good
    ]
    for one in shown[:MOST_LINES]:
        word, *figures = cells(one)
        style = STYLES.get(one.verdict.status, "dim")
        table.add_row(Text(word, style=style), Text(printable(name(one))), *map(Text, figures))
    alike: dict[str, list[str]] = {}
    for one in shown:
        if one.verdict.reason and one.verdict.status in UNDECIDED:
            alike.setdefault(one.verdict.reason, []).append(name(one))
    reasons = [f"{'; '.join(names)}: {reason}" for reason, names in alike.items()]
    more = len(judged) - len(shown)
    lines = [Text(printable(line), style="yellow") for line in reasons[:MOST_LINES]]
    if len(shown) > MOST_LINES:
        lines.append(Text(f"the first {MOST_LINES} of {len(shown)}; compare --markdown has all"))
    if more:
        lines.append(Text(f"{more} more on first calls, memory, accuracy: nothing got worse"))
    lines += [Text(printable(line), style="dim") for line in notes]
    heading = Text(printable(f"{title}: {headline(judged)}"))
    return Panel(Group(table, *lines), title=heading, expand=False)


def markdown(judged: Sequence[Judged], title: str, notes: Iterable[str]) -> str:
    """The same as a section of Markdown."""
    rows = (map(escape, (name(one), *cells(one), one.verdict.reason)) for one in by_urgency(judged))
    lines = [f"## {escape(title)}: {escape(headline(judged))}", "", *table(HEADINGS, rows)]
    return "\n".join([*lines, "", *(f"{escape(note)}  " for note in notes), ""])
