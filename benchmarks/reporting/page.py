"""A report from saved runs: one HTML page that needs nothing else, and summary.md beside it."""

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from benchmarks.comparing.ratios import CONFIDENCE, MARGIN
from benchmarks.comparing.records import Judged
from benchmarks.comparing.saved import Run, distinct
from benchmarks.reporting import charts, side_by_side, tables, verdict_panel
from benchmarks.reporting.answers import (
    RETURNED,
    Contest,
    SavedRow,
    circumstances,
    contests,
    result_table,
    versions,
)
from benchmarks.reporting.charts import Chart
from benchmarks.reporting.pictures import chosen
from benchmarks.reporting.tables import Table
from benchmarks.reporting.words import OPERATIONS, cause, format_seconds, label, particulars
from mnist_models.implementations import FOLDER as IMPLEMENTATIONS
from mnist_models.implementations import PAIR
from mnist_models.operations import EPOCH

FOLDER = Path(__file__).parent
# Keras on a backend, and the same backend without Keras's loop.
TAXED = (("keras_torch", "pytorch_eager"), ("keras_tensorflow", "tensorflow_function"))
# Recorded by `python -m examples write`.
EASE_OF_USE = FOLDER / "ease_of_use.json"
# Contests whose single samples are shown; more than any session has.
MOST_SAMPLED = 100


@dataclass(frozen=True)
class Compared:
    """Another run, and the verdicts on the report's own run against it."""

    run: Run
    judged: Sequence[Judged]
    notes: Sequence[str] = ()


class Report:
    """The page and the summary of one run, compared with others."""

    def __init__(self, name: str, run: Run, others: dict[str, Compared]) -> None:
        name = f"{name} (here)" if name in others else name
        *_, self.name = distinct((*others, name))
        self.run, self.others = run, others
        self.contests = contests(run)
        self.sampled = self.contests[:MOST_SAMPLED]
        self.dataset: dict[str, Any] = run.get("dataset") or {}

    @property
    def not_measured(self) -> dict[str, str]:
        """Why tests that were selected have no samples, by name."""
        return dict(self.run.get("not_measured") or {})

    @property
    def circumstances(self) -> str:
        """Where, with what and how it was measured."""
        return circumstances(self.run)

    def places(self) -> list[list[Contest]]:
        """The contests of each network, batch size and device."""
        found: dict[Any, list[Contest]] = {}
        for contest in self.contests:
            found.setdefault(contest.place, []).append(contest)
        return list(found.values())

    def operations(self) -> list[Table]:
        """A table for each operation, with all implementations."""
        images = sum(self.dataset.get("train_counts", ())) or None
        of = {name: [c for c in self.contests if c.operation == name] for name in OPERATIONS}
        return [tables.operation(name, some, images) for name, some in of.items() if some]

    def tax(self) -> Table:
        """Time of Keras over that of its backend alone."""
        return tables.tax(self.contests, TAXED)

    def learned(self) -> list["Mistakes"]:
        """Return the test images that the pair misreads, by network."""
        epochs = (contest for contest in self.contests if contest.operation == EPOCH.name)
        found = (Mistakes(contest, self.dataset.get("pictures", {})) for contest in epochs)
        return [one for one in found if one.rows]

    def causes(self) -> Table:
        """The counters of the samples, and which causes matter."""
        return tables.causes(self.contests)

    def memory(self) -> Table:
        """Peak memory by implementation."""
        return tables.peaks(self.run)

    def glossary(self) -> dict[str, str]:
        """A description of each implementation: the first line of its file."""
        names = dict.fromkeys(row.name for contest in self.contests for row in contest.rows)
        files = {name: IMPLEMENTATIONS / f"{name}.py" for name in names}
        docs = {
            name: ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
            for name, file in files.items()
            if file.exists()
        }
        return {label(name): doc.partition("\n")[0] for name, doc in docs.items()}

    def certificate(self) -> Table:
        """Parity with the reference."""
        return tables.certificate(self.run)

    def in_force(self) -> Table:
        """Versions and settings."""
        return tables.in_force(self.run)

    def changes(self) -> list[Chart]:
        """Charts of this run against each other run."""
        return [
            charts.changes(other.judged, f"Against {name}", f"against-{number}")
            for number, (name, other) in enumerate(self.others.items())
        ]

    def versions(self) -> Chart | None:
        """Keras over PyTorch in all runs, older versions first."""
        if not self.others:
            return None
        runs = {self.name: self.run} | {name: other.run for name, other in self.others.items()}
        return charts.versions(dict(sorted(runs.items(), key=lambda item: age(item[1]))))

    def all_charts(self) -> list[Chart]:
        """Every chart of the page."""
        found = [charts.ratios(self.contests), *map(charts.samples, self.sampled)]
        if self.dataset:
            found.append(charts.classes(self.dataset))
        shown = self.versions()
        return [*found, *self.changes(), *([shown] if shown else [])]

    def markdown(self) -> str:
        """summary.md: for pull requests and READMEs."""
        lines = ["# Keras or PyTorch?", "", *result_table(self.run), ""]
        for name, other in self.others.items():
            lines.append(verdict_panel.markdown(other.judged, f"against {name}", other.notes))
        return "\n".join(lines)

    def html(self) -> str:
        """The page."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from plotly.offline import get_plotlyjs

        environment = Environment(
            loader=FileSystemLoader(FOLDER / "page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["literal"] = literal
        found = {chart.key: chart for chart in self.all_charts()}
        ease = json.loads(EASE_OF_USE.read_text("utf-8")) if EASE_OF_USE.exists() else None
        return environment.get_template("page.html").render(
            report=self,
            charts=found,
            figures={key: {"data": c.data, "layout": c.layout} for key, c in found.items()},
            answer=card,
            label=label,
            glossary=self.glossary(),
            pair=PAIR,
            confidence=CONFIDENCE,
            margin=MARGIN,
            ease=ease,
            ease_tables=ease and {"tasks": tables.tasks(ease), "mistakes": tables.told(ease)},
            side_by_side=side_by_side.sections(),
            plotly=get_plotlyjs(),
            css=(FOLDER / "page" / "page.css").read_text("utf-8"),
            js=(FOLDER / "page" / "page.js").read_text("utf-8"),
        )

    def write(self, folder: Path) -> Path:
        """Write index.html and summary.md, each wholly or not at all; returns the page's path."""
        texts = {"summary.md": self.markdown(), "index.html": self.html()}
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            scratch = folder / f".{name}"
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(folder / name)
        return folder / "index.html"


def age(run: Run) -> tuple[list[list[int]], str]:
    """Sort key: older versions come first, and of the same versions the older run."""
    numbers = [[*map(int, re.findall(r"\d+", number))] for number in versions(run).values()]
    return numbers, str(run["datetime"])


class Mistakes:
    """The test images that were misread after one epoch of a network, by implementation."""

    def __init__(self, contest: Contest, pictures: dict[str, str]) -> None:
        self.contest = contest
        self.rows = [row for row in contest.rows if row.info.get("misread") and not row.void]
        self.answers = {
            row.name: {image: (digit, answer) for image, digit, answer in row.info["misread"]}
            for row in self.rows
        }
        self.groups: dict[str, dict[int, str]] = {}
        for image in chosen(self.answers):
            if str(image) in pictures:
                group = self.groups.setdefault(self.misread_by(image), {})
                group[image] = pictures[str(image)]

    def misread_by(self, image: int) -> str:
        """The implementations that misread an image, as text."""
        names = [label(row.name) for row in self.rows if image in self.answers[row.name]]
        if len(names) == len(self.rows) > 1:
            return "by both" if len(names) == 2 else "by all"
        return f"by {' and '.join(names)} alone"

    def confusions(self) -> list[Table]:
        """Each implementation's errors, digit by digit."""
        return [tables.confusion(self.contest, row) for row in self.rows]

    def digit(self, image: int) -> int:
        """The digit in an image."""
        return next(a[image][0] for a in self.answers.values() if image in a)

    def read(self, row: SavedRow, image: int) -> int:
        """Return the digit that a row read in an image."""
        _, answer = self.answers[row.name].get(image, (0, self.digit(image)))
        return answer

    def counts(self) -> str:
        """How many images each implementation misread, as text."""
        groups = Counter(map(self.misread_by, set().union(*self.answers.values())))
        listed = ", ".join(f"{count} {group}" for group, count in sorted(groups.items()))
        each = ", ".join(f"{label(row.name)} {len(self.answers[row.name])}" for row in self.rows)
        return f"{each}: {listed}"


def literal(text: str) -> Markup:
    """Return text in which words in backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def card(contest: Contest) -> dict[str, Any]:
    """Return the card of a contest on the first screen."""
    rows = contest.pair()
    return {
        "operation": OPERATIONS[contest.operation],
        "answer": contest.answer(),
        "times": [
            (label(row.name), format_seconds(row.seconds()), format_seconds(row.first_call()))
            for row in rows
        ],
        "fastest": (best := contest.fastest())
        and f"{label(best.name)} {format_seconds(best.seconds())}",
        "late": [line for row in rows if (line := row.late())]
        + ([RETURNED] if contest.until_returned else [])
        # All ways to ship or to feed would fill the card: they are below the table.
        + [
            line
            for row in rows
            if not (row.info.get("routes") or row.info.get("feeds"))
            for line in particulars(row.name, row.info)
        ],
        "causes": [cause(row.name, found[0]) for row in rows if (found := row.findings())],
        "accuracies": contest.accuracies(),
        "accepted": contest.accepted(),
        "void": any(row.void for row in rows),
    }
