"""The numbers of a report as tables, which a page can show, sort, filter and save."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isinf, isnan, nan
from typing import Any

import numpy as np

from benchmarks.comparing.pair import Outcome
from benchmarks.comparing.ratios import Ratio
from benchmarks.comparing.records import Judged
from benchmarks.comparing.saved import REFERENCE, Run
from benchmarks.reporting.answers import Contest, SavedRow, contests, versions
from benchmarks.reporting.verdict_panel import cells
from benchmarks.reporting.verdict_panel import name as name_of
from benchmarks.reporting.words import (
    OPERATIONS,
    format_bytes,
    format_seconds,
    label,
    particulars,
    verdict,
)
from mnist_models import operations, parity
from mnist_models.operations import EPOCH, TRAIN_STEP

# Headings of counters, and of those that are shares of the time.
COUNTED = {
    "minor_faults": "page faults",
    "major_faults": "from disk",
    "waits": "waits",
    "preemptions": "lost CPU",
    "compilations": "compilations",
}
SHARES = {"kernel_seconds": "kernel", "gc_seconds": "garbage collection"}
NAMED = {int: "{:,}", float: "{:.4g}"}


# Units of saved columns that the page shows in another form.
UNITS = {
    "time": "time (s)",
    "call returned after": "call returned after (s)",
    "first call": "first call (s)",
    "in later processes": "in later processes, median (s)",
    "median": "median (s)",
    "least": "least (s)",
    "most": "most (s)",
    "training steps alone": "training steps alone (bytes)",
    "whole session": "whole session (bytes)",
}


@dataclass(frozen=True)
class Cell:
    """A text with the value that it is sorted and saved by; a void one is struck out."""

    text: str
    value: float | str | None = None
    void: bool = False

    @property
    def key(self) -> float | str:
        """What it is sorted and saved by; an empty cell comes last."""
        if isinstance(self.value, float) and (isinf(self.value) or isnan(self.value)):
            return self.text
        return self.text if self.value is None else self.value


@dataclass(frozen=True)
class Table:
    """Rows under headings. `key` is its id and the name of the file that it is saved as."""

    key: str
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())

    @property
    def saved_as(self) -> list[str]:
        """The headings in a file, with units."""
        return [UNITS.get(heading, heading) for heading in self.headings]


def cell(value: Any, text: str | None = None, void: bool = False) -> Cell:
    """A cell of a text, or of a number in its usual form."""
    if text is None:
        text = NAMED.get(type(value), "{}").format(value) if value is not None else ""
    return Cell(text, value, void)


def interval(found: Ratio | None) -> list[Cell]:
    """Cells of a ratio and of the ends of its interval; empty ones where there is none."""
    figures = (found.value, found.low, found.high) if found else (None, None, None)
    return [cell(figure, f"{figure:.3f}" if figure else "") for figure in figures]


def answers(every: Iterable[Contest]) -> Table:
    """Keras's seconds over PyTorch's, with intervals."""
    rows = []
    for contest in every:
        pair = [row.seconds() for row in contest.pair()]
        pair += [None] * (2 - len(pair))  # type: ignore[list-item]
        rows.append(
            [
                cell(contest.title),
                *(cell(seconds, format_seconds(seconds) if seconds else "") for seconds in pair),
                *interval(contest.ratio()),
                cell(contest.answer()),
                cell(contest.accuracies()),
            ]
        )
    headings = ("what", "Keras", "PyTorch", "ratio", "low", "high", "verdict", "accuracy")
    caption = "Seconds of Keras over seconds of PyTorch: below 1 Keras is faster"
    return Table("ratios", caption, headings, rows)


def operation(name: str, every: Sequence[Contest], images: int | None) -> Table:
    """All implementations at one operation. `images` are those of an epoch, if known."""
    rows, notes = [], []
    kind = operations.OPERATIONS[name]
    places = [index for index in range(3) if index == 0 or len({c.place[index] for c in every}) > 1]
    for contest in every:
        for row in contest.rows:
            count = kind.images(row.info["batch_size"], images or 0)
            place = (cell(contest.place[index]) for index in places)
            rows.append([*place, *measured(contest, row, count)])
            notes += [f"void: {contest.title}, {label(row.name)}: {why}" for why in row.void]
            more = [row.late(), *particulars(row.name, row.info)]
            notes += [f"{contest.title}, {line}" for line in more if line]
    headings = (
        *(("network", "batch", "device")[index] for index in places),
        *("implementation", "runs as", "time"),
        *(["call returned after"] if kind is EPOCH else []),
        *("images/s", "CPU"),
        *("first call", "in later processes", f"pays after ({kind.counted})", "test accuracy"),
    )
    return Table(
        f"operation-{name}", f"Every {OPERATIONS[name]} that was timed", headings, rows, notes
    )


def measured(contest: Contest, row: SavedRow, images: int | None) -> Iterable[Cell]:
    """The cells of one row of an operation's table."""
    struck = bool(row.void)
    yield cell(label(row.name) + (" (void)" if struck else ""))
    yield cell(row.info["in_force"].get("compilation", ""))
    seconds = row.seconds()
    yield cell(seconds, format_seconds(seconds), struck)
    if contest.operation == EPOCH.name:
        returned = row.returned()
        yield cell(returned, format_seconds(returned) if returned else "", struck)
    rate = images / seconds if images and seconds else None
    yield cell(rate, f"{rate:,.0f}" if rate else "", struck)
    busy = row.busy()
    yield cell(busy, "" if busy is None else f"{busy:.0%}", struck)
    yield cell(row.first_call(), format_seconds(row.first_call()), struck)
    later = row.later_calls()
    span = f"{format_seconds(min(later))} to {format_seconds(max(later))}" if later else ""
    yield cell(float(np.median(later)) if later else None, span, struck)
    yield cell(*pays(contest, row))
    accuracy = row.info["accuracy"]
    yield cell(accuracy, "" if accuracy is None else f"{accuracy:.2%}")


def pays(contest: Contest, row: SavedRow) -> tuple[float | None, str]:
    """After how many operations a first call is made up for, as value and text."""
    if row.void or row.name == REFERENCE:
        return None, ""
    starter, after = contest.starter(), contest.pays_after(row)
    if row is starter:
        return 0.0, "starts first"
    if after is None or isinstance(after, Outcome):
        return nan, after or ""
    return after, "never" if isinf(after) else f"{after:,.0f}"


def peaks(run: Run) -> Table:
    """The most memory that each implementation's processes held.

    All trials of a block share a process. The first block runs training steps first, so that their
    own memory is known.
    """
    steps: dict[str, int] = {}
    whole: dict[str, int] = {}
    epochs = set()
    for contest in contests(run):
        for row in contest.rows:
            whole[row.name] = max(row.info["peak_memory_bytes"], whole.get(row.name, 0))
            if contest.operation == TRAIN_STEP.name:
                first = row.info["peak_memory_bytes_by_block"][0]
                steps[row.name] = max(first, steps.get(row.name, 0))
            elif contest.operation == EPOCH.name:
                epochs.add(row.name)
    rows = [
        [
            cell(label(name)),
            cell(steps.get(name), format_bytes(steps[name]) if name in steps else ""),
            cell(size, format_bytes(size)),
            cell("yes" if name in epochs else "no"),
        ]
        for name, size in whole.items()
    ]
    headings = ("implementation", "training steps alone", "whole session", "epochs in it")
    return Table("memory", "Peak memory of a process, its framework included", headings, rows)


def causes(every: Iterable[Contest]) -> Table:
    """The counters of kernel and Python during the samples of each row, per operation."""
    rows = []
    for contest in every:
        for row in contest.rows:
            if (counts := row.counts) is None:
                continue
            said = "; ".join(f"{one.cause}: {one.words}" for one in row.findings())
            figures = [
                *(cell(counts[name], f"{counts[name]:,.1f}") for name in COUNTED),
                *(cell(counts.share(name), f"{counts.share(name):.1%}") for name in SHARES),
            ]
            threads = cell(counts.threads, f"{counts.threads}" if counts.threads else "")
            rows.append([cell(contest.title), cell(label(row.name)), *figures, threads, cell(said)])
    headings = ("what", "implementation", *COUNTED.values(), *SHARES.values())
    headings = (*headings, "threads that ran", "causes that matter")
    caption = "Counted while it was timed, per operation"
    return Table("causes", caption, headings, rows)


def samples(contest: Contest) -> Table:
    """Each block's median, number of samples and spread."""
    rows = []
    for row in contest.rows:
        for block, seconds in row.blocks().items():
            middle = float(np.median(seconds))
            lowest, highest = min(seconds), max(seconds)
            figures = (cell(value, format_seconds(value)) for value in (middle, lowest, highest))
            rows.append([cell(label(row.name)), cell(block + 1), cell(len(seconds)), *figures])
    headings = ("implementation", "block", "samples", "median", "least", "most")
    return Table(f"samples-{slug(contest)}", f"Blocks of: {contest.title}", headings, rows)


def slug(contest: Contest) -> str:
    """A contest's name in ids."""
    return "-".join(map(str, (contest.operation, *contest.place)))


def classes(dataset: dict[str, Any]) -> Table:
    """How many images there are of each digit."""
    counts = zip(dataset["train_counts"], dataset["test_counts"], strict=True)
    rows = [[cell(digit), *map(cell, pair)] for digit, pair in enumerate(counts)]
    return Table("classes", "Images of each digit", ("digit", "training", "test"), rows)


def confusion(contest: Contest, row: SavedRow) -> Table:
    """How often each digit was misread as each other one."""
    counts = np.zeros((10, 10), int)
    for _, label_, answer in row.info["misread"]:
        counts[label_, answer] += 1
    rows = []
    for digit, line in enumerate(counts.tolist()):
        taken = (cell(count, str(count or "·")) for count in line)
        rows.append([cell(digit), *taken, cell(sum(line))])
    key = f"confusion-{slug(contest)}-{row.name}"
    caption = f"{label(row.name)}, {contest.place[0]}: the digit, and what it was taken for"
    return Table(key, caption, ("digit", *map(str, range(10)), "misread"), rows)


def in_force(run: Run) -> Table:
    """Versions and settings of each implementation, as its workers found them."""
    found: dict[str, dict[str, Any]] = {}
    for contest in contests(run):
        for row in contest.rows:
            settings = dict(row.info["in_force"])
            settings.pop("compilation", None)
            knobs = settings.pop("environment", {})
            known = row.info["versions"] | settings | knobs | {"python": row.info["python"]}
            found.setdefault(row.name, {}).update(known)
    keys = sorted({key for settings in found.values() for key in settings})
    rows = [[cell(key), *(cell(str(of.get(key, ""))) for of in found.values())] for key in keys]
    headings = ("setting", *map(label, found))
    return Table("in-force", "Versions and settings in force", headings, rows)


def certificate(run: Run) -> Table:
    """The difference of each implementation's answers from the reference's, and its limit."""
    worst: dict[tuple[str, str, str], dict[str, float]] = {}
    allowed: dict[tuple[str, str, str], dict[str, float]] = {}
    usual: dict[str, float] = parity.TOLERANCES
    for contest in contests(run):
        for row in contest.rows:
            place = contest.place[0], contest.place[2], row.name
            kinds = worst.setdefault(place, {})
            for kind, difference in row.info["parity"].items():
                kinds[kind] = max(kinds.get(kind, 0.0), difference)
            allowed.setdefault(place, {}).update(row.info.get("parity_limits", {}))
            # Older runs of TF32, in which float32 was not checked.
            old = "parity_tf32" not in row.info
            if old and row.info["in_force"]["precision"] == "tf32" and contest.place[2] == "gpu":
                usual = parity.TF32_TOLERANCES
    shown = [kind for kind in usual if any(kind in kinds for kinds in worst.values())]
    rows = []
    for (architecture, device, name), kinds in worst.items():
        limits = usual | allowed[architecture, device, name]
        holds = all(kinds[kind] <= limits[kind] for kind in kinds)
        figures = [cell(None, "")] * len(shown)
        for i, kind in enumerate(shown):
            if kind in kinds:
                more = f" of {limits[kind]:g}" if limits[kind] != usual[kind] else ""
                figures[i] = cell(kinds[kind], f"{kinds[kind]:.1e}{more}", not holds)
        where = cell(architecture), cell(device), cell(label(name))
        rows.append([*where, *figures, cell("holds" if holds else "broken")])
    headings = ("network", "device", "implementation", *shown, "parity")
    bounds = ", ".join(f"{kind} {usual[kind]:g}" for kind in shown)
    caption = "Largest relative difference from the NumPy reference"
    note = f"Allowed: {bounds}, unless a cell names another limit."
    return Table("parity", caption, headings, rows, (note,))


def verdicts(judged: Sequence[Judged], title: str, key: str) -> Table:
    """Return the verdicts against one other run."""
    rows = []
    for one in judged:
        found = one.verdict.ratio
        word, *figures = cells(one)
        value = cell(found.value if found else None, figures[0])
        rows.append(
            [
                cell(name_of(one)),
                cell(word),
                value,
                *map(cell, figures[1:]),
                cell(one.verdict.reason),
            ]
        )
    headings = ("what", "verdict", "ratio", "interval", "blocks", "sees", "reason")
    return Table(key, title, headings, rows)


def over_versions(runs: dict[str, Run]) -> Table:
    """Keras over PyTorch within each run."""
    rows = []
    for name, run in runs.items():
        listed = ", ".join(f"{package} {version}" for package, version in versions(run).items())
        for contest in contests(run):
            found = contest.ratio()
            if found is None:
                continue
            place = cell(contest.title), cell(name), cell(listed)
            rows.append([*place, *interval(found), cell(contest.answer())])
    caption = "Keras over PyTorch, within each run"
    headings = ("what", "run", "versions", "ratio", "low", "high", "verdict")
    return Table("versions", caption, headings, rows)


def tax(every: Iterable[Contest], pairs: Iterable[tuple[str, str]]) -> Table:
    """Time of Keras over that of its backend alone."""
    rows = []
    for contest in every:
        valid = {row.name: row for row in contest.rows if not row.void}
        for first, second in pairs:
            if first in valid and second in valid:
                found = valid[first].against(valid[second])
                quotient = cell(f"{label(first)} / {label(second)}")
                said = cell(verdict(first, second, found))
                rows.append([cell(contest.title), quotient, *interval(found.ratio), said])
    caption = "The Keras tax: a backend under Keras over the same backend without Keras's loop"
    headings = ("what", "quotient", "ratio", "low", "high", "verdict")
    return Table("tax", caption, headings, rows)


def tasks(ease: dict[str, Any]) -> Table:
    """How much code each task takes in both frameworks."""
    measures = {"logical_lines": "lines", "api_names": "names", "api_words": "words"}
    measures |= {name: name for name in ("tokens", "nesting")}
    rows = [
        [
            cell(task["title"]),
            *(cell(task[side][measure]) for measure in measures for side in ("keras", "pytorch")),
        ]
        for task in ease["tasks"]
    ]
    headings = (f"{side} {words}" for words in measures.values() for side in ("Keras", "PyTorch"))
    return Table("tasks", "What each task takes", ("task", *headings), rows)


def told(ease: dict[str, Any]) -> Table:
    """The message of each framework on a mistake, and the cost of a silent one."""
    rows = []
    for mistake in ease["mistakes"]:
        row = [cell(mistake["title"])]
        for side in ("keras", "pytorch"):
            said = mistake[side]
            words = [word for word in (said["exception"], said["message"]) if word]
            row += [cell(outcome(said)), cell(": ".join(words))]
        rows.append(row)
    headings = ("mistake", "Keras", "Keras says", "PyTorch", "PyTorch says")
    right = (ease["control"][side] for side in ("keras", "pytorch"))
    reached = ("{accuracy} % ({accuracy_least} to {accuracy_most})".format(**one) for one in right)
    note = "Of a message, the first line and that which names the culprit. Accuracies over seeds; "
    note += "costs of a few points are noise. Without a mistake, Keras and PyTorch reach {} and {}."
    note = note.format(*reached)
    return Table(
        "told", "What each framework tells you when you are wrong", headings, rows, (note,)
    )


def outcome(said: dict[str, Any]) -> str:
    """The outcome of a mistake, as text."""
    words = str(said["outcome"])
    if said["names_culprit"] is not None:
        words += ", names the culprit" if said["names_culprit"] else ", does not name the culprit"
    if said["accuracy_cost"] is not None:
        cost = said["accuracy_cost"]
        words += f", costs {cost} points of accuracy" if cost > 0 else ", costs nothing"
        words += f" (reaches {said['accuracy_least']} to {said['accuracy_most']} %)"
    return words
