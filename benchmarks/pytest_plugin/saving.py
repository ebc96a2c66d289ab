"""Saving: fields that are added to the session's run, and a run of each baseline environment."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_benchmark.stats import Stats
from pytest_benchmark.storage.file import FileStorage

from benchmarks.comparing.baseline import UNFIT
from benchmarks.comparing.verdicts import Status
from benchmarks.measuring.results import Results, Row
from benchmarks.reporting.pictures import exploration
from benchmarks.trial import contestant

# Below this, each baseline environment has a separate storage, so that its files are never taken
# for the newest run of this environment.
FOLDER = Path("environments")


def save_environments(config: Any, results: Results) -> list[Path]:
    """Write a file for each baseline that has valid rows; returns them."""
    session = config._benchmarksession
    benchmarks = {bench.name: bench for bench in session.benchmarks if not bench.has_error}
    written = []
    for environment in results.plan.baselines:
        rows = {
            name: row
            for row in results.here()
            if (name := results.test_id(row)) in benchmarks
            and results.rows[row.trial, contestant(row.name, environment)].valid
        }
        if not rows:
            continue
        run = config.hook.pytest_benchmark_generate_json(
            config=config,
            benchmarks=[benchmarks[name] for name in rows],
            include_data=True,
            machine_info=session.get_machine_info(),
            commit_info=config.hook.pytest_benchmark_generate_commit_info(config=config),
        )
        others = [
            results.rows[row.trial, contestant(row.name, environment)] for row in rows.values()
        ]
        run["benchmarks"] = [
            replaced(bench, row, results)
            for bench, row in zip(run["benchmarks"], others, strict=True)
        ]
        run["machine_info"] |= next(iter(others[0].entries.values()))["facts"]["machine"]
        storage = FileStorage(
            Path(session.storage.path) / FOLDER / environment, session.logger, session.machine_id
        )
        before = set(storage.query())
        with no_halves(storage):
            storage.save(run, session.save or session.autosave or environment)
        written += sorted(set(storage.query()) - before)
    return written


@contextmanager
def no_halves(storage: FileStorage, also: Path | None = None) -> Generator[None, None, None]:
    """After an OSError, remove incomplete files in a storage, and the file `also` if incomplete.

    Unchanged files and complete ones stay.
    """

    def there() -> dict[Path, tuple[int, int]]:
        paths = (*storage.query(), *filter(None, [also]))
        found = ((path, path.stat()) for path in paths if path.exists())
        return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found}

    before = there()
    try:
        yield
    except OSError:
        for path, now in there().items():
            if before.get(path) != now and not whole(path):
                path.unlink(missing_ok=True)
        raise


def whole(path: Path) -> bool:
    """Whether a file was written to its end."""
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def guard_saving(session: Any, timed: Any) -> None:
    """Let pytest-benchmark's `session` leave no incomplete file, and note an OSError in `timed`.

    The exception would end pytest with a traceback, without the panels.
    """
    save = session.handle_saving

    def handle_saving() -> None:
        try:
            with no_halves(session.storage, session.json):
                save()
        except OSError as error:
            timed.unsaved = error

    session.handle_saving = handle_saving


def replaced(bench: dict[str, Any], row: Row, results: Results) -> dict[str, Any]:
    """A saved benchmark with the samples of the same row in another environment."""
    stats = Stats()
    for sample in row.samples():
        stats.update(sample)
    figures = stats.as_dict() | {"data": stats.data, "iterations": 1}
    info = results.extra_info(row)
    return deepcopy(bench) | {"stats": figures, "extra_info": info}


def beside_the_rows(timed: Any) -> dict[str, Any]:
    """Return the fields that this suite adds to a saved run; docs/reference.md lists them."""
    if timed.results is None or timed.dataset is None:
        return {UNFIT: []}
    results = timed.results
    return {
        UNFIT: unfit_as_baseline(timed),
        "void": results.void_records(),
        "not_measured": results.not_measured(),
        "dataset": exploration(timed.dataset, results.here()),
    }


def this_run(config: Any, timed: Any) -> dict[str, Any]:
    """The run that was just measured, in the form in which it is saved."""
    run = timed.results.run(config._benchmarksession.get_machine_info())
    return run | {"datetime": datetime.now(UTC).isoformat()} | timed.beside_the_rows


def baseline_run(results: Results, environment: str, run: dict[str, Any]) -> dict[str, Any]:
    """A baseline's rows of the session that gave `run`, in the same form."""
    return results.run(run["machine_info"], environment) | {"datetime": run["datetime"]}


def unfit_as_baseline(timed: Any) -> list[str]:
    """Why a run must not become a baseline by default: void rows, regressions, interruption."""
    ended = ["its session was interrupted"] if timed.interrupted else []
    void = [f"{row.trial} {row.name}: void" for row in timed.results.here() if row.void]
    regressed = [
        f"{one.comparison.trial} {one.comparison.implementation}: {one.comparison.metric.name} "
        f"REGRESSED against {environment}"
        for environment, judged in timed.verdicts.items()
        for one in judged
        if one.verdict.status is Status.REGRESSED
    ]
    return ended + void + regressed
