"""Defaults that differ, in Markdown: for the terminal and for docs/differences.md."""

import re
from pathlib import Path
from typing import Any

from benchmarks.comparing.defaults import between_frameworks, between_releases
from benchmarks.reporting.markdown import escape
from mnist_models.implementations import PAIR

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
KINDS = {
    "layer": "Layers",
    "activation": "Activations",
    "initialiser": "Initialisers",
    "optimiser": "Optimisers",
    "loss": "Losses",
}
Found = dict[str, tuple[dict[str, str], Any]]


def versions(found: Found) -> str:
    """All versions of an environment, each once."""
    every = dict(sorted({**found[PAIR[0]][0], **found[PAIR[1]][0]}.items()))
    return ", ".join(f"{name} {number}" for name, number in every.items())


def frameworks(found: Found) -> str:
    """A table for each kind of topic: settings of both, and what the difference does."""
    keras, pytorch = (found[name][1] for name in PAIR)
    every = between_frameworks(keras, pytorch)
    lines = [f"{versions(found)}. Figures: Keras / PyTorch, with the same weights and inputs."]
    for kind, title in KINDS.items():
        lines += ["", f"### {title}", "", "| | Keras | PyTorch | what the difference does |"]
        lines.append("|---|---|---|---|")
        for one in every:
            if one.kind == kind:
                sides = [
                    f"`{name}({settings})`"
                    for name, settings in zip(one.names, one.settings, strict=True)
                ]
                effects = "; ".join(one.effects) or "nothing: the same"
                lines.append(f"| {' | '.join((one.topic, *sides, effects))} |")
    same = sum(not one.effects for one in every)
    lines += ["", f"{same} of {len(every)} are the same, {len(every) - same} are not."]
    return "\n".join(lines)


def releases(old: Found, new: Found, name: str) -> str:
    """A table of the defaults and results that changed from one environment to another."""
    lines = [f"From {versions(old)} ({name}) to {versions(new)}. Figures: before / after.", ""]
    lines += ["| framework | topic | what changed |", "|---|---|---|"]
    count = 0
    for side, title in zip(PAIR, ("Keras", "PyTorch"), strict=True):
        for topic, _, change in between_releases(old[side][1], new[side][1]):
            lines.append(f"| {title} | {escape(topic)} | {escape(change)} |")
            count += 1
    if not count:
        return f"{lines[0]}\n\nNo number and no default changed."
    about = "This table is about defaults and results. It says nothing about speed."
    return "\n".join([*lines, "", about])


def write(block: str, text: str, page: Path = PAGE) -> None:
    """Replace the text between <!-- block --> and <!-- end of block --> on the page."""
    old = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(?<=<!-- {block} -->\n).*?(?=<!-- end of {block} -->)", re.DOTALL)
    new, count = pattern.subn(lambda _: f"\n{text}\n\n", old)
    if count != 1:
        raise ValueError(f"{page} has no place for {block!r}: <!-- {block} --> … <!-- end of …")
    page.write_text(new, encoding="utf-8")
