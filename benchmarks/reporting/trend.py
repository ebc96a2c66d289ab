"""Searches of many days in one table: what each night's next releases changed."""

from collections.abc import Mapping

from benchmarks.comparing.changes import Change
from benchmarks.reporting.markdown import printable, table
from benchmarks.reporting.words import label


def text(nights: Mapping[str, list[Change] | str]) -> str:
    """A line for each row and night, oldest first; what the gate confirmed is in bold.

    Metrics other than the time have a line only if the gate confirmed a change.
    A night without a result has one line with the reason. Each ratio is of two environments in the
    same rounds, so the drift of the machine between nights does not affect it.
    """
    rows = []
    for night, changes in nights.items():
        if isinstance(changes, str):
            rows.append([night, "", "", "", "", printable(changes)])
            continue
        for one in changes:
            if one.metric == "time" or one.called:
                row = f"`{one.trial}`" + (f", {one.metric}" if one.metric != "time" else "")
                rows.append([night, label(one.implementation), row, one.old, one.new, said(one)])
    return "\n".join(table(("night", "implementation", "row", "released", "next", "ratio"), rows))


def said(change: Change) -> str:
    """The ratio with its interval and the verdict."""
    if change.ratio is None or change.low is None or change.high is None:
        return f"{change.verdict}: {change.reason}"
    figures = f"{change.ratio:.3f} [{change.low:.3f}, {change.high:.3f}] {change.verdict}"
    return f"**{figures}**" if change.called else figures
