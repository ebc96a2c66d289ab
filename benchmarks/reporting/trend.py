"""Searches of many days in one table: what each night's next releases changed."""

from collections.abc import Mapping

from benchmarks.comparing.changes import Change
from benchmarks.reporting.markdown import table
from benchmarks.reporting.words import label


def text(nights: Mapping[str, list[Change]]) -> str:
    """A line for each row and night, oldest first; what the gate confirmed is in bold.

    Each ratio is that of two environments in the same rounds, so that no drift of the machine lies
    between the nights.
    """
    rows = [
        [night, label(one.implementation), f"`{one.trial}`", one.old, one.new, said(one)]
        for night, changes in nights.items()
        for one in changes
        if one.metric == "time"
    ]
    if not rows:
        return "no session was recorded"
    return "\n".join(table(("night", "who", "row", "released", "next", "ratio"), rows))


def said(change: Change) -> str:
    """The ratio with its interval and the word."""
    if change.ratio is None or change.low is None or change.high is None:
        return f"{change.verdict}: {change.reason}"
    figures = f"{change.ratio:.3f} [{change.low:.3f}, {change.high:.3f}] {change.verdict}"
    return f"**{figures}**" if change.called else figures
