"""Markdown tables, and text that is safe in Markdown and on a terminal."""

import re
from collections.abc import Iterable

# What begins a heading, list or quotation, code, emphasis, a cell, a formula or the address of a
# link or picture. An underscore within a word, as in numpy_reference, begins nothing.
MARKUP = re.compile(r"^[#>+=-]|[\\`*~$|]|(?<!\w)_|_(?!\w)|\](?=[\[(:])")
# What GitHub turns into links in text: addresses, mentions of people, issues.
LINKS = re.compile(r"@|:(?=//)|(?<=www)\.|#(?=\d)", re.IGNORECASE)


def printable(text: str) -> str:
    """Return text on one line, without control characters that change a terminal or Markdown."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))


def escape(text: str) -> str:
    """Text for one table cell of GitHub's Markdown, without HTML, links, pictures or mentions.

    A space of no width is put into what would become a link, as Dependabot does.
    """
    text = MARKUP.sub(r"\\\g<0>", printable(text).replace("&", "&amp;").replace("<", "&lt;"))
    return LINKS.sub("\\g<0>\u200b", text)


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table; cells are Markdown themselves."""
    headings = list(headings)
    return [f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)]
