"""Markdown: tables whose cells stay cells."""

from collections.abc import Iterable


def escape(text: str) -> str:
    """Text that stays one cell of a table, and no HTML."""
    replaced = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(replaced.split())


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table; cells are Markdown themselves."""
    headings = list(headings)
    return [f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)]
