"""The end of a pytest run: pytest-benchmark's tables, the panels, the report."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.comparing.records import Judged
from benchmarks.comparing.saved import confirm_command, environment_of
from benchmarks.comparing.verdicts import CALLED, EQUAL_ERROR, FAMILY
from benchmarks.measuring import probes
from benchmarks.measuring.environments import folder_of, own
from benchmarks.measuring.results import Results
from benchmarks.pytest_plugin.options import SETTINGS
from benchmarks.pytest_plugin.saving import baseline_run, this_run
from benchmarks.reporting import verdict_panel
from benchmarks.reporting.page import Compared, Report
from benchmarks.reporting.terminal import panel
from benchmarks.trial import split

NOTHING_SAVED = (
    "Nothing to compare with: no saved run matches. "
    "Save one with: pytest benchmarks --benchmark-autosave"
)
Groups = list[tuple[str, list[dict[str, Any]]]]


def strike_out(groups: Groups, results: Results | None) -> Groups:
    """The groups of pytest-benchmark, with void rows moved into a group of their own."""
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
    """Print the panels, write the report, and print advice if no saved run matches."""
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
        console.print(verdict_panel.panel(judged, f"against {name}", notes_on(timed, name, judged)))
    folder = reporter.config.stash[SETTINGS].report
    if folder and results is not None and results.plan.rounds and not timed.report:
        try:
            timed.report = written(reporter.config, timed, folder)
        except OSError as error:
            timed.report = f"report: not written: {error}; python -m benchmarks report writes it"
            reporter._session.exitstatus = pytest.ExitCode.USAGE_ERROR


def written(config: Any, timed: Any, folder: Path) -> str:
    """Write the report of a session; returns a line with its path."""
    results = timed.results
    run = this_run(config, timed)
    others = {}
    for name, judged in timed.verdicts.items():
        other = timed.saved_runs.get(name) or baseline_run(results, name, run)
        others[name] = Compared(other, judged, notes_on(timed, name, judged))
    page = Report(results.plan.environment("").name, run, others).write(folder)
    return f"report: {page}"


def notes_on(timed: Any, name: str, judged: list[Judged]) -> list[str]:
    """Notes on the verdicts against an environment or a saved run."""
    results = timed.results
    margin = f"{results.plan.margin:.1%}"
    if run := timed.saved_runs.get(name):
        notes = [
            f"the runs were measured at different times; numpy_reference removes the drift; margin "
            f"{margin}; the strongest verdict is SUSPECT"
        ]
        if command := confirm_command(judged, environment_of(run)):
            notes.append(f"to confirm, with the environment of that run: {command}")
        return notes
    count = results.suspects()
    confirmed = f"{count} suspect(s) measured again in new blocks" if count else "no suspects"
    return [
        f"ratio: here over {name}; {results.plan.threads} thread(s), margin {margin}, "
        f"{results.plan.blocks} blocks, {confirmed}; family-wise error {FAMILY:.0%}",
        f"EQUIVALENT: within the margin, with an error of {EQUAL_ERROR:.0%} over all looks; "
        "sees: the smallest change that a confirmation finds in 9 of 10 sessions",
        versions_apart(results, name),
        *timed.numbers.get(name, ()),
        *next_steps(results, name, judged),
    ]


def versions_apart(results: Results, name: str) -> str:
    """The packages whose versions differ between a baseline and here, as text."""
    found: dict[str, dict[str, str]] = {name: {}, "": {}}
    for contestant in {row.name for row in results.rows.values()}:
        _, environment = split(contestant)
        if environment in found:
            found[environment] |= probes.versions(results, contestant)
    there, here = found.values()
    both = ((each, there.get(each), here.get(each)) for each in sorted({*there, *here}))
    changed = [f"{each} {old or 'none'} → {new or 'none'}" for each, old, new in both if old != new]
    return f"versions: {', '.join(changed) or 'the same in both'}"


def next_steps(results: Results, name: str, judged: list[Judged]) -> list[str]:
    """Commands after a change: which release made it, and which numbers changed, too."""
    changed = [one.comparison for one in judged if one.verdict.status in CALLED]
    folders = [folder_of(results.plan.environment(f"x@{name}")), folder_of(own())]
    if not changed or None in folders:
        return []
    old, new = (shlex.quote(str(folder)) for folder in folders)
    trials = dict.fromkeys(one.trial for one in changed if one.metric.name == "time")
    which = " ".join(map(shlex.quote, sorted(trials)))
    return [
        f"which release did it: python -m benchmarks bisect {old} {new} {which}".rstrip(),
        f"which numbers changed, too: python -m benchmarks defaults --against {old}",
    ]
