"""docs/ease_of_use.md and the data beside it, from what was measured and recorded."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.reporting.markdown import table
from examples import measure
from examples.mistakes import CULPRITS
from examples.record import COSTLY, LATER, SEEDS, TEST_IMAGES, TRAIN_IMAGES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ease_of_use.md"
DATA = ROOT / "benchmarks" / "reporting" / "ease_of_use.json"
NAMES = {"keras": "Keras", "pytorch": "PyTorch"}
MEASURES = {
    "logical_lines": "logical lines",
    "api_names": "API names",
    "api_words": "API words",
    "tokens": "tokens",
    "nesting": "nesting",
}
OUTCOMES = ("error", "warning", "silent", "accepted", "cannot happen")

Document = dict[str, Any]


def document(recorded: Document) -> Document:
    """What the JSON file has: what `record.collect` found, and the tasks measured now."""
    return {
        "versions": recorded["versions"],
        "tasks": measure.tasks(),
        "control": recorded["control"],
        "mistakes": recorded["mistakes"],
    }


def write(made: Document) -> None:
    """Write both files."""
    DATA.write_text(as_json(made), encoding="utf-8")
    PAGE.write_text(page(made), encoding="utf-8")


def as_json(made: Document) -> str:
    """The text of the JSON file."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def escaped(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return re.sub(r"([\\|<>*_`\[\]~])", r"\\\1", text)


def code_cell(text: str) -> str:
    """Text for a cell, literally: in a code span nothing but the cell's own bar is special."""
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    bar = text.replace("|", r"\|")
    return f"{fence}{space}{bar}{space}{fence}"


# The tables


def task_rows(made: Document) -> Iterator[list[str]]:
    """Each task's measures, Keras's beside PyTorch's, and all tasks together."""
    for task in made["tasks"]:
        cells = [str(task[side][one]) for one in MEASURES for side in NAMES]
        yield [linked(task), *cells]
    totals = {side: together(task[side] for task in made["tasks"]) for side in NAMES}
    yield ["**Together**", *(f"**{totals[side][one]}**" for one in MEASURES for side in NAMES)]


def together(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Lines and tokens summed; names and words of several tasks counted once; deepest nesting."""
    rows = list(rows)
    names, words = (
        set[str]().union(*(count(row["code"]) for row in rows))
        for count in (measure.api_names, measure.api_words)
    )
    return {
        "logical_lines": sum(row["logical_lines"] for row in rows),
        "api_names": len(names),
        "api_words": len(words),
        "tokens": sum(row["tokens"] for row in rows),
        "nesting": max(row["nesting"] for row in rows),
    }


def summary_rows(made: Document) -> Iterator[list[str]]:
    """How often each outcome, how often a message names the culprit, what silence costs."""
    for side, name in NAMES.items():
        rows = [mistake[side] for mistake in made["mistakes"]]
        outcomes = [row["outcome"] for row in rows]
        costs = sorted(row["accuracy_cost"] for row in rows if row["outcome"] == "silent")
        told = [row["names_culprit"] for row in rows if row["exception"]]
        yield [
            name,
            *(str(outcomes.count(outcome)) for outcome in OUTCOMES),
            f"{sum(told)} of {len(told)}",
            f"{sum(cost >= COSTLY for cost in costs)} of {len(costs)}",
        ]


def mistake_rows(made: Document) -> Iterator[list[str]]:
    """Two rows for each mistake, Keras's before PyTorch's."""
    for mistake in made["mistakes"]:
        title = escaped(mistake["title"])
        for side, name in NAMES.items():
            row = mistake[side]
            cells = (row["outcome"], named(mistake["mistake"], row), cost(row), said(row))
            yield [title, name, *cells]
            title = ""


def named(mistake: str, row: dict[str, Any]) -> str:
    """Whether a message names the culprit, and whether one must read on to find it."""
    if row["names_culprit"] is None:
        return ""
    if not row["names_culprit"]:
        return "no"
    first, *_ = row["message"].split(LATER)
    return "yes" if re.search(CULPRITS[mistake], first) else "further down"


def cost(row: dict[str, Any]) -> str:
    """The cost, and between which accuracies it lies."""
    return "" if row["accuracy_cost"] is None else f"{row['accuracy_cost']} {ends(row)}"


def ends(row: dict[str, Any]) -> str:
    """The least and the most accuracy."""
    return f"[{row['accuracy_least']}–{row['accuracy_most']}]"


def said(row: dict[str, Any]) -> str:
    """The message, or why there is none."""
    if row["outcome"] == "silent":
        return ""
    if row["exception"] is None:
        return escaped(row["message"]).replace(r"\`", "`")
    return f"{row['exception']}: {code_cell(row['message'])}"


# The page


def page(made: Document) -> str:
    """docs/ease_of_use.md."""
    versions = ", ".join(f"{name} {one}" for name, one in made["versions"].items())
    control = ", ".join(
        f"{made['control'][side]['accuracy']} % {ends(made['control'][side])} in {name}"
        for side, name in NAMES.items()
    )
    measures = [f"{title}, {name}" for title in MEASURES.values() for name in NAMES.values()]
    lines = [
        "# Ease of use, measured",
        "",
        "<!-- Written by `python -m examples write`. -->",
        "",
        "This page compares the same tasks, written idiomatically in both frameworks, and how",
        f"each reacts to the same mistakes. With {versions}.",
        "",
        "```bash",
        "python -m examples write    # writes this page and its data, in two to five minutes",
        "```",
        "",
        "## How much there is to write",
        "",
        *table(["task", *measures], task_rows(made)),
        "",
        *COUNTED,
        "",
        "## What you are told when you are wrong",
        "",
        f"Each of {len(made['mistakes'])} mistakes is made in a small convolutional network",
        f"that is otherwise correct, trained on {TRAIN_IMAGES:,} of the images of `digits` and",
        f"tested on {TEST_IMAGES:,} others, from each of {SEEDS} seeds.",
        f"Without a mistake the median accuracy is {control}.",
        "",
        *table(
            [
                "",
                *OUTCOMES,
                "messages that name the culprit",
                f"silent, and costs {COSTLY} percentage points or more",
            ],
            summary_rows(made),
        ),
        "",
        "All mistakes:",
        "",
        *table(
            [
                "mistake",
                "",
                "outcome",
                "names the culprit",
                "cost, percentage points [accuracy, %]",
                "the message",
            ],
            mistake_rows(made),
        ),
        "",
        *RECORDED,
        "",
        "## What this cannot say",
        "",
        *LIMITS,
    ]
    return "\n".join(lines) + "\n"


def linked(task: dict[str, Any]) -> str:
    """A task's title, with links to both files."""
    files = (
        f"[{name}](../examples/{side}_tasks/{task['task']}.py)" for side, name in NAMES.items()
    )
    return f"{task['title']}: {', '.join(files)}"


COUNTED = """\
The table counts each file without its docstring, comments, imports, and the block that runs the
file as a script.

| measure | meaning |
|---|---|
| logical lines | Python's: a statement broken over five lines is one |
| API names | different names of the framework, such as `keras.layers.Dense`, `.fit`, `.forward` |
| API words | different keywords (`from_logits=`) and words given as strings (`"adam"`) |
| tokens | names, numbers, strings, operators, brackets |
| nesting | blocks around the innermost statement |

The last row counts a name or word of several tasks once. Images are float32 NumPy arrays, channels
last for Keras, first for PyTorch; converting them to tensors is counted in PyTorch. Keras runs on
TensorFlow; another backend needs different code for the custom training step and the gradient. The
tests run every file, and compare the results of both frameworks.""".splitlines()

RECORDED = """\
`python -m examples write` makes every mistake of `examples/mistakes/keras_mistakes.py` and
`examples/mistakes/pytorch_mistakes.py`, each framework in its own process on one thread.

| outcome | meaning |
|---|---|
| error, warning | an exception ended it; Python's `warnings` said something new |
| silent | no error and no warning; the code ran and returned predictions |
| accepted | the same, without loss of accuracy, for the reason in the last column |
| cannot happen | the framework makes the mistake impossible, for the reason in the last column |

A message *names the culprit* if it contains the size, type or word that was wrong. Each mistake has
one regular expression for both frameworks (`examples/mistakes/__init__.py`). *Further down* means
not in the first line. The *cost* is the loss of median accuracy over the seeds; brackets contain
the lowest and the highest accuracy. A few points are noise.
""".splitlines()

LIMITS = """\
- Fewer lines are not always easier, because users must know what the framework does by itself.
- One idiom was chosen for each side of each task. Others exist.
- The list of mistakes and the regular expressions were made by hand.
- Progress output is switched off. Keras's bar shows the loss by default.
- Messages differ between versions.""".splitlines()
