"""Verdicts from saved files: `python -m benchmarks compare OLD NEW`."""

from pathlib import Path

from rich.console import Console

from benchmarks.comparing.saved import (
    RunError,
    compare_runs,
    confirm_command,
    environment_of,
    read,
)
from benchmarks.reporting import verdicts


def compare(
    old: Path, new: Path, margin: float, fail_on: str | None, strict: bool, markdown: bool
) -> int:
    """Print the verdicts on NEW against OLD; returns the exit status. Raises RunError."""
    runs = read(old), read(new)
    names = [
        f"{environment_of(run)} ({path.stem})" for run, path in zip(runs, (old, new), strict=True)
    ]
    judged = compare_runs(*runs, names[0], margin)
    paired = any(one.comparison.screened for one in judged)
    if fail_on and not paired:
        raise RunError(
            f"--fail-on {fail_on}: {old} and {new} are of different sessions, which can give "
            "suspects at most, so that this would never fail; measure both in one with --baseline"
        )
    title = f"against {names[0]}"
    notes = [
        f"ratio: {names[1]} over {names[0]}, margin {margin:.1%}; "
        + (
            "one session, paired round by round"
            if paired
            else "two sessions, drift of numpy_reference removed: SUSPECT is the strongest word"
        )
    ]
    if command := confirm_command(judged, environment_of(runs[0])):
        notes.append(f"to confirm, with the environment of {old.name}: {command}")
    if markdown:
        print(verdicts.markdown(judged, title, notes))
    else:
        Console().print(verdicts.panel(judged, title, notes))
    return verdicts.exit_status([judged], fail_on, strict)
