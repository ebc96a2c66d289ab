"""The panel that ends a session: who is faster, by how much, how sure, at which accuracy."""

from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from benchmarks.comparing.ratios import CONFIDENCE, MARGIN, ratio
from benchmarks.comparing.records import Judged
from benchmarks.comparing.saved import confirm_command, environment_of
from benchmarks.comparing.verdicts import FAMILY
from benchmarks.measuring.environments import split
from benchmarks.measuring.plan import Trial
from benchmarks.measuring.results import Results, Row
from benchmarks.options import SETTINGS
from benchmarks.reporting import verdicts
from benchmarks.reporting.page import TAXED, Compared, Report
from benchmarks.reporting.words import factors, label, time
from mnist_models.implementations import PAIR

NOTHING_SAVED = (
    "Nothing to compare with: no saved run matches. "
    "Save one with: pytest benchmarks --benchmark-autosave"
)


def panel(results: Results) -> Panel | None:
    """The panel of a session; None when no row is complete, or nothing was timed."""
    complete = [row for row in results.here() if row.complete]
    if not complete or not results.plan.rounds:
        return None
    parts: list[Text] = []
    for trial in results.plan.contests:
        if rows := contest(results, trial):
            parts += [heading(trial, rows, results.plan.blocks), *lines(trial, rows, results)]
            parts += taxes(trial, results)
    faults = dict.fromkeys(chain(*(void_lines(row) for row in complete)))
    parts += [Text(line, style="red") for line in faults]
    parts += [Text(note, style="dim") for note in footnotes(results, complete)]
    return Panel(Group(*parts), title="Keras or PyTorch?", expand=False)


def contest(results: Results, trial: Trial) -> list[Row]:
    """The complete rows that a trial is about: the pair's, or the first two where others ran."""
    rows = {name: results.rows[trial, name] for name in results.plan.contests[trial]}
    complete = {name: row for name, row in rows.items() if row.complete}
    if all(name in complete for name in PAIR):
        return [complete[name] for name in PAIR]
    return [row for name, row in complete.items() if not split(name)[1]][:2]


def heading(trial: Trial, rows: list[Row], blocks: int) -> Text:
    """What was measured, and the verdict."""
    place = f"{trial.operation} {trial.architecture} b{trial.batch_size} {trial.device}"
    return Text(f"{place:<29}", style="bold").append(verdict(rows, blocks))


def lines(trial: Trial, rows: list[Row], results: Results) -> list[Text]:
    """A line for each contestant: median time, images per second, test accuracy."""
    images = results.plan.images if trial.operation == "epoch" else trial.batch_size
    width = max(len(label(row.name)) for row in rows)
    text = []
    for row in rows:
        rate = f"{images / row.seconds():,.0f} images/s"
        figures = f"{label(row.name):<{width}}  {time(row.seconds()):>8}  {rate:>18}"
        line = Text("  ").append(figures, "strike red" if row.void else "")
        measured = "not measured" if row.accuracy is None else f"{row.accuracy:.4f}"
        line.append(f"  accuracy {measured}", "red" if row.accuracy_faults else "")
        text.append(line.append("  void", "red") if row.void else line)
    return text


def taxes(trial: Trial, results: Results) -> list[Text]:
    """A line for each backend: what Keras takes over what its backend takes without it."""
    text = []
    for pair in TAXED:
        rows = [row for name in pair if (row := results.rows.get((trial, name))) and row.valid]
        if len(rows) == 2:
            found = ratio(rows[0].by_block(), rows[1].by_block())
            line = f"  Keras tax  {'/'.join(label(row.name) for row in rows)} {found.value:.2f}"
            if found.low is None or found.high is None:
                text.append(Text(f"{line}, no interval: {results.plan.blocks} of 6 blocks"))
            else:
                text.append(Text(f"{line} [{found.low:.2f}, {found.high:.2f}]"))
    return text


def verdict(rows: list[Row], blocks: int) -> Text:
    """Who is faster, by which ratio, within which interval; or that this run cannot tell."""
    if len(rows) < 2:
        return Text("nobody to compare with")
    if any(row.void for row in rows):
        return Text("void", style="red")
    found = ratio(rows[0].by_block(), rows[1].by_block())
    quotient = "/".join(label(row.name) for row in rows)
    if found.low is None or found.high is None:
        return Text(f"no verdict: {blocks} of 6 blocks, {quotient} {found.value:.2f}")
    if found.winner is None:
        interval = f"[{found.low:.3f}, {found.high:.3f}]"
        return Text(f"cannot tell: {quotient} {found.value:.3f} {interval}")
    times = factors(found)
    faster = f"{label(rows[found.winner].name)} is {times[0]:.2f}× faster"
    return Text(f"{faster} [{times[1]:.2f}, {times[2]:.2f}]", style="green")


def void_lines(row: Row) -> list[str]:
    """Why a row does not count."""
    return [f"void: {row.trial} {row.name}: {reason}" for reason in row.void]


def footnotes(results: Results, complete: list[Row]) -> list[str]:
    """What was in force, and how to read the verdicts."""
    plan = results.plan
    versions: dict[str, str] = {}
    for row in complete:
        versions |= next(iter(row.entries.values()))["facts"]["versions"]
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        f"{listed}; {plan.threads} thread(s); {plan.precision}; data set '{plan.dataset}'",
        f"median over {plan.blocks} block(s) of fresh processes, each verdict with an exact "
        f"{CONFIDENCE:.0%} interval; differences under {MARGIN:.0%} are not called",
    ]
    dropped: dict[Trial, list[str]] = {}
    for row in results.here():
        if row.dropped:
            dropped.setdefault(row.trial, []).append(row.name)
    if dropped:
        rows = "; ".join(f"{trial} {', '.join(names)}" for trial, names in dropped.items())
        lines.append(f"dropped to keep the time budget: {rows}")
    return lines


Groups = list[tuple[str, list[dict[str, Any]]]]


def strike_out(groups: Groups, results: Results | None) -> Groups:
    """pytest-benchmark's groups, with the rows that do not count moved into one of their own."""
    if results is None:
        return groups
    void = {results.test_id(row) for row in results.here() if row.void}

    def is_void(benchmark: dict[str, Any]) -> bool:
        return benchmark["name"] in void and benchmark["source"] in (None, False, "NOW")

    kept = [(name, [b for b in group if not is_void(b)]) for name, group in groups]
    struck = [b for _, group in groups for b in group if is_void(b)]
    title = "VOID, not to be compared: see the panel below"
    return [group for group in kept if group[1]] + ([(title, struck)] if struck else [])


def conclude(timed: Any, reporter: Any) -> None:
    """End a pytest run: the panels, the report, and what to do where nothing was compared."""
    option, results = reporter.config.getoption, timed.results
    if option("benchmark_compare", None) and not reporter.config._benchmarksession.compared_mapping:
        reporter.write_line(NOTHING_SAVED)
    terminal = reporter._tw
    console = Console(
        file=terminal._file, force_terminal=terminal.hasmarkup, width=terminal.fullwidth
    )
    if results is not None and (shown := panel(results)):
        console.print(shown)
    for name, judged in timed.verdicts.items():
        console.print(verdicts.panel(judged, f"against {name}", notes_on(timed, name, judged)))
    folder = reporter.config.stash[SETTINGS].report
    if folder and results is not None and results.plan.rounds:
        timed.report = written(reporter.config, timed, folder)


def written(config: Any, timed: Any, folder: Path) -> str:
    """Write the report of a session; returns where it is, in words."""
    from benchmarks.measuring.files import baseline_run, this_run

    results = timed.results
    run = this_run(config, timed)
    others = {}
    for name, judged in timed.verdicts.items():
        other = timed.saved_runs.get(name) or baseline_run(results, name, run)
        others[name] = Compared(other, judged, notes_on(timed, name, judged))
    page = Report(results.plan.environment("").name, run, others).write(folder)
    return f"report: {page}"


def notes_on(timed: Any, name: str, judged: list[Judged]) -> list[str]:
    """How to read the verdicts against an environment or a saved run."""
    results = timed.results
    margin = f"{results.plan.margin:.1%}"
    if run := timed.saved_runs.get(name):
        notes = [
            f"two times, drift of numpy_reference removed, margin {margin}: nothing stronger than "
            "SUSPECT can be said"
        ]
        if command := confirm_command(judged, environment_of(run)):
            notes.append(f"to confirm, with the environment of that run: {command}")
        return notes
    count = results.suspects()
    confirmed = f"{count} suspect(s) measured again in new blocks" if count else "no suspects"
    return [
        f"ratio: here over {name}; {results.plan.threads} thread(s), margin {margin}, "
        f"{results.plan.blocks} blocks, {confirmed}; family-wise error {FAMILY:.0%}",
        "sees: the smallest change that a confirmation finds in 9 of 10 sessions",
    ]
