"""Verdicts from saved files: `python -m benchmarks compare OLD NEW`."""

from pathlib import Path

from rich.console import Console

from benchmarks.comparing.records import Judged
from benchmarks.comparing.saved import (
    Run,
    RunError,
    asked_then,
    by_name,
    compare_runs,
    confirm_command,
    environment_of,
    named,
    read,
)
from benchmarks.reporting import verdict_panel


def compare(
    old: Path, new: Path, margin: float, fail_on: str | None, strict: bool, markdown: bool
) -> int:
    """Print the verdicts on NEW against OLD; returns the exit status. Raises RunError."""
    runs = named([(path, read(path)) for path in (old, new)])
    (before, after), (was, now) = runs.values(), runs
    judged = compare_runs(before, after, was, margin)
    if fail_on and not paired(judged):
        raise RunError(
            f"--fail-on {fail_on}: {old} and {new} are of different sessions, which can give "
            "suspects at most, so that this would never fail; measure both in one with --baseline"
        )
    if fail_on and not asked_then(by_name(after), by_name(before), margin):
        raise RunError(
            f"--fail-on {fail_on}: their session did not compare {old} and {new} at a margin of "
            f"{margin:.1%}, so that this would never fail; use its own --margin, and the run of "
            "the environment that began it"
        )
    title, below = f"against {was}", notes(judged, before, was, now, margin)
    if markdown:
        print(verdict_panel.markdown(judged, title, below))
    else:
        Console().print(verdict_panel.panel(judged, title, below))
    return verdict_panel.exit_status([judged], fail_on, strict)


def paired(judged: list[Judged]) -> bool:
    """Whether both runs are of one session."""
    return any(one.comparison.screened for one in judged)


def notes(judged: list[Judged], run: Run, old: str, new: str, margin: float) -> list[str]:
    """Notes on the verdicts on the run `new` against `run`, whose name is `old`."""
    how = (
        "one session, paired round by round"
        if paired(judged)
        else "two sessions, drift of numpy_reference removed: SUSPECT is the strongest word"
    )
    lines = [f"ratio: {new} over {old}, margin {margin:.1%}; {how}"]
    if command := confirm_command(judged, environment_of(run)):
        lines.append(f"to confirm, with the environment of {old}: {command}")
    return lines
