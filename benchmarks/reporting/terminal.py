"""The panel that ends a session: the faster side, the ratio with its interval, the accuracy."""

from itertools import chain
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from benchmarks import causes
from benchmarks.comparing.learning import judge_accuracy, learned
from benchmarks.comparing.pair import Outcome, Side, judge_pair
from benchmarks.comparing.ratios import CONFIDENCE, MARGIN
from benchmarks.comparing.records import foreign_shares
from benchmarks.comparing.saved import REFERENCE
from benchmarks.comparing.verdicts import CALLED
from benchmarks.measuring.results import Results, Row
from benchmarks.reporting import words
from benchmarks.reporting.page import TAXED
from benchmarks.reporting.words import NOBODY, format_seconds, label, returned_late
from benchmarks.trial import Trial, by_trial, split
from mnist_models.accuracy import rounding
from mnist_models.implementations import PAIR
from mnist_models.operations import EPOCH

STYLES = {Outcome.FASTER: "green", Outcome.CONTAMINATED: "yellow", Outcome.VOID: "red"}


def panel(results: Results) -> Panel | None:
    """The panel of a session; None when no row is complete, or nothing was timed."""
    complete = [row for row in results.here() if row.complete]
    if not complete or not results.plan.rounds:
        return None
    parts: list[Text] = []
    for trial in results.plan.contests:
        if rows := contest(results, trial):
            parts += [heading(trial, rows), *lines(trial, rows, results)]
            parts += taxes(trial, results)
    faults = dict.fromkeys(chain(*(void_lines(row) for row in complete)))
    parts += [Text(line, style="red") for line in faults]
    parts += [Text(line, style="yellow") for line in unequal(results)]
    parts += [Text(note, style="dim") for note in footnotes(results, complete)]
    return Panel(Group(*parts), title="Keras or PyTorch?", expand=False)


def look(results: Results) -> str:
    """The pair's ratios so far in a running session, on a line; empty without any.

    They are no verdicts, which need all blocks.
    """
    ratios: dict[Trial, float] = {}
    for trial in results.plan.contests:
        pair = (results.rows.get((trial, name)) for name in PAIR)
        rows = [row for row in pair if row and not (row.dropped or row.error)]
        entries = [entry for row in rows for entry in row.entries.values()]
        if len(rows) == 2 and entries and all("samples" in entry for entry in entries):
            ratios[trial] = judge_pair(*map(side, rows)).ratio.value
    several = len({(trial.batch_size, trial.device) for trial in ratios}) > 1
    found: dict[str, list[str]] = {}
    for trial, ratio in ratios.items():
        place = f" b{trial.batch_size} {trial.device}" if several else ""
        found.setdefault(trial.kind.title, []).append(f"{trial.architecture}{place} {ratio:.2f}")
    first, second = map(label, PAIR)
    said = "; ".join(f"{title} {', '.join(each)}" for title, each in found.items())
    return f"so far, {first}/{second} (below 1, {first} is faster): {said}" if said else ""


def contest(results: Results, trial: Trial) -> list[Row]:
    """The complete rows that a trial compares: the pair's, or the first two of the others.

    The reference is not compared.
    """
    rows = {name: results.rows[trial, name] for name in results.plan.contests[trial]}
    complete = {name: row for name, row in rows.items() if row.complete}
    if all(name in complete for name in PAIR):
        return [complete[name] for name in PAIR]
    return [row for name, row in complete.items() if not split(name)[1] and name != REFERENCE][:2]


def heading(trial: Trial, rows: list[Row]) -> Text:
    """Return the trial and its verdict."""
    place = f"{trial.operation} {trial.architecture} b{trial.batch_size} {trial.device}"
    return Text(f"{place:<28} ", style="bold").append(verdict(rows))


def lines(trial: Trial, rows: list[Row], results: Results) -> list[Text]:
    """A line for each contestant: median time, images per second, test accuracy."""
    images = trial.kind.images(trial.batch_size, results.plan.images)
    width = max(len(label(row.name)) for row in rows)
    text = []
    for row in rows:
        rate = f"{images / row.seconds():,.0f} images/s" if images else ""
        figures = f"{label(row.name):<{width}}  {format_seconds(row.seconds()):>8}  {rate:>18}"
        line = Text("  ").append(figures, "strike red" if row.void else "")
        measured = "not measured" if row.accuracy is None else f"{row.accuracy:.4f}"
        line.append(f"  accuracy {measured}", "red" if row.accuracy_faults else "")
        text.append(line.append("  void", "red") if row.void else line)
    if len(rows) == 2 and (said := hosts(rows)):
        text.append(Text(f"  {said}"))
    text += [Text(f"  {said}") for row in rows if (said := late(row))]
    every = [(row.name, results.particulars(row)) for row in rows if row.complete]
    text += [Text(f"  {said}") for one in every for said in words.particulars(*one)]
    return text + [Text(f"  {said}") for row in rows if (said := cause(row, results))]


def hosts(rows: list[Row]) -> str:
    """The ratio of a pair on each host, as text; empty if there was only one host."""
    first, second = rows
    return words.of_hosts(first.name, second.name, judge_pair(side(first), side(second)))


def cause(row: Row, results: Results) -> str:
    """The largest cause of a row's time beside its arithmetic, and the remedy; usually empty."""
    entries = row.entries.values()
    if row.void or not all(entry.get("counted") for entry in entries):
        return ""
    info = row.counters() | {
        "in_force": of_row(row) | {"threads": results.plan.threads_on(row.trial.device)},
        "operation": row.trial.operation,
        "device": row.trial.device,
    }
    counts = causes.Counts.of({"extra_info": info, "stats": {"data": row.samples()}})
    found = causes.findings(counts) if counts else []
    return words.cause(row.name, found[0]) if found else ""


def late(row: Row) -> str:
    """A note if an epoch's call returned long after its last step, and why; else empty."""
    if row.trial.kind is not EPOCH:
        return ""
    entries = row.entries.values()
    returned = [entry.get("returned_seconds") for entry in entries]
    cause = next(iter(entries)).get("returns_late", "")
    said = returned_late(row.seconds(), returned, cause)
    return said and f"{label(row.name)}: {said}"


def taxes(trial: Trial, results: Results) -> list[Text]:
    """A line for each backend: time of Keras over that of the backend alone."""
    text = []
    for pair in TAXED:
        rows = [row for name in pair if (row := results.rows.get((trial, name))) and row.valid]
        if len(rows) == 2:
            said = words.tax(*pair, judge_pair(*map(side, rows)))
            text.append(Text(f"  Keras tax  {said}"))
    return text


def verdict(rows: list[Row]) -> Text:
    """Which of two rows is faster, by which factor and interval; or why there is no verdict."""
    if len(rows) < 2:
        return Text(NOBODY)
    first, second = rows
    found = judge_pair(side(first), side(second))
    said = words.verdict(first.name, second.name, found)
    return Text(said, STYLES.get(found.outcome, ""))


def side(row: Row) -> Side:
    """Return what the verdict on a pair needs of a row."""
    cpu, gpu = (
        {block: entry.get(key) for block, entry in row.entries.items()}
        for key in ("foreign_cpu", "foreign_gpu")
    )
    foreign = foreign_shares(cpu, gpu)
    hosts = {block: entry["host"] for block, entry in row.entries.items() if "host" in entry}
    return Side(row.by_block(), foreign, bool(row.void), hosts)


def void_lines(row: Row) -> list[str]:
    """Why a row does not count."""
    return [f"void: {row.trial} {row.name}: {reason}" for reason in row.void]


def footnotes(results: Results, complete: list[Row]) -> list[str]:
    """Return versions, settings, and how to read the verdicts."""
    plan = results.plan
    versions: dict[str, str] = {}
    used: set[int] = set()
    for row in complete:
        facts = next(iter(row.entries.values()))["facts"]
        versions |= facts["versions"]
        used |= set(facts.get("cpu_ids", ()))
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        f"{listed}; {plan.threads} thread(s) on CPU {', '.join(map(str, sorted(used)))}; "
        f"{plan.precision}; data set '{plan.dataset}'",
        f"times are medians over {plan.blocks} block(s) of fresh processes; intervals are exact, "
        f"{CONFIDENCE:.0%}; no side is named for a difference under {MARGIN:.0%}",
    ]
    if note := words.without_onednn(
        row.name for row in complete if not of_row(row).get("onednn", True)
    ):
        lines.append(note)
    lines += bounds(complete)
    dropped: dict[str, list[tuple[Trial, str]]] = {}
    for row in results.here():
        if row.dropped:
            dropped.setdefault(row.dropped, []).append((row.trial, row.name))
    return lines + [f"dropped {why}: {by_trial(rows)}" for why, rows in dropped.items()]


def of_row(row: Row) -> dict[str, Any]:
    """The settings in force of a row's first worker."""
    return dict(next(iter(row.entries.values()))["facts"].get("in_force", {}))


def bounds(complete: list[Row]) -> list[str]:
    """Return the accepted accuracies that were not calibrated, with their rule."""
    rules = {
        "referee": "around what the NumPy reference reached in the same epoch",
        "guessing": "better than guessing, because the reference took too long to train",
        "unknown": "at least half right, because the session ended before the reference trained",
    }
    found = {
        (row.trial.architecture, row.trial.batch_size): row.accuracy_bounds
        for row in complete
        if row.accuracy_bounds and row.accuracy_bounds.rule in rules
    }
    return [
        f"accuracy of {architecture} at batch {size}: not calibrated; the accepted range is "
        f"[{low:.4f}, {high:.4f}): {rules[rule]}"
        for (architecture, size), (low, high, rule) in found.items()
    ]


def unequal(results: Results) -> list[str]:
    """Warnings on epochs after which the pair's accuracies differ more than rounding explains."""
    pairs = [
        (trial, rows)
        for trial in results.plan.contests
        if trial.kind is EPOCH
        and len(rows := [row for row in contest(results, trial) if row.valid]) == 2
    ]
    lines = []
    for trial, rows in pairs:
        one, other = (next(iter(row.entries.values())) for row in rows)
        sides = [learned(entry.get("accuracy"), entry.get("misread")) for entry in (one, other)]
        limits = rounding(results.plan.dataset, trial.architecture, one.get("recipe", {}))
        first, second = (label(row.name) for row in rows)
        found = judge_accuracy(sides[0], sides[1], limits, len(pairs), second)
        if found.status in CALLED:
            accuracies = f"{first} {sides[0].accuracy:.4f}, {second} {sides[1].accuracy:.4f}"
            lines.append(
                f"{trial}: accuracy {accuracies}; the difference is larger than rounding explains "
                f"({limits}), so the two may not train the same way"
            )
    return lines
