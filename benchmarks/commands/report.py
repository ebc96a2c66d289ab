"""A page from saved files: `python -m benchmarks report RUN… -o DIR`."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.commands.compare import notes
from benchmarks.comparing.saved import Run, compare_runs
from benchmarks.reporting.page import Compared, Report


def report(runs: Mapping[str, Run], margin: float, folder: Path) -> Path:
    """Write the page of the first run, compared with the others; returns its path."""
    (name, run), *older = runs.items()
    others = {}
    for other, saved in older:
        judged = compare_runs(saved, run, other, margin)
        others[other] = Compared(saved, judged, notes(judged, saved, other, name, margin))
    return Report(name, run, others).write(folder)
