"""Gate sessions between environments, for experiments that need many of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks import causes
from benchmarks.comparing.changes import Change, change
from benchmarks.measuring import journal
from benchmarks.measuring.environments import Environment
from benchmarks.measuring.hosts import Host
from benchmarks.measuring.plan import Plan
from benchmarks.measuring.results import Results
from benchmarks.measuring.session import Session
from benchmarks.reporting.progress import LineProgress
from benchmarks.trial import RowId, Trial, contestant
from mnist_models import data, recipe
from mnist_models.worker import source_hash

CALL_LIMIT = 600.0
BLOCKS, ROUNDS, MARGIN = 6, 40, 0.02
# Seconds for the blocks of the screen, and for further blocks of what is undecided.
TIME_BUDGET, UNTIL_DECIDED = 1200.0, 120.0


def gate(
    dataset: data.Dataset,
    here: Environment,
    others: Sequence[Environment],
    rows: Iterable[tuple[Trial, str]],
    root: Path,
    console: Console,
    confirms: bool = True,
    threads: int = 1,
    hosts: Sequence[Host] = (),
) -> Results:
    """One session: the rows (trial, implementation) in `here` and in all others.

    If there are others, the allocator is steady, as with --baseline. Suspects are confirmed and
    undecided rows are measured further, unless `confirms` is off. Blocks are dealt out over
    `hosts`. Journals and workers' bytecode caches are under `root`. Raises JournalError, and
    HostLost if no host is left.
    """
    contests: dict[Trial, tuple[str, ...]] = {}
    for trial, name in rows:
        places = (contestant(name, place) for place in ("", *(other.name for other in others)))
        contests[trial] = (*contests.get(trial, ()), *places)
    return session(
        dataset,
        contests,
        root,
        console,
        blocks=BLOCKS,
        rounds=ROUNDS,
        call_limit=CALL_LIMIT,
        time_budget=TIME_BUDGET,
        baselines={other.name: other for other in others},
        here=here,
        margin=MARGIN,
        until_decided=UNTIL_DECIDED,
        confirms=confirms,
        threads=threads,
        allocator="steady" if others else "installed",
        hosts=tuple(hosts),
    )


def session(
    dataset: data.Dataset,
    contests: dict[Trial, tuple[str, ...]],
    root: Path,
    console: Console,
    threads: int = 1,
    **settings: Any,
) -> Results:
    """One session in float32, whose journal is under `root`.

    `settings` are further fields of its `Plan`. Raises JournalError, and KeyboardInterrupt if
    Ctrl-C ended it.
    """
    plan = Plan(
        contests=contests,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        dataset_folder=str(dataset.folder),
        images=len(dataset.train_labels),
        source=source_hash(),
        threads=threads,
        precision="float32",
        seed=recipe.DEFAULT.seed,
        **settings,
    )
    record = journal.create(root, plan.fingerprint())
    try:
        if not Session(plan, dataset, record, LineProgress(console, plan)).run():
            raise KeyboardInterrupt
        record.finish()
        return Results(plan, record)
    finally:
        record.close()


def changes(results: Results) -> list[Change]:
    """Every verdict of a session, with the causes that the counters of both sides show."""
    assert results.plan.here is not None
    new, found = results.plan.here.name, []
    rows = {"": results.records()}
    for environment, judged in results.verdicts().items():
        rows[environment] = results.records(environment)
        for one in judged:
            made = change(one, new)
            name = RowId(Trial.parse(made.trial), made.implementation).test
            sides = [side[name] for side in (rows[environment], rows[""]) if name in side]
            if made.metric == "time" and len(sides) > 1:
                made.seconds = [float(f"{median(side['stats']['data']):.5g}") for side in sides]
                made.causes = [said(side) for side in sides]
            found.append(made)
    return found


def said(row: dict[str, object]) -> list[str]:
    """The causes that matter in a row, as text."""
    counts = causes.Counts.of(row)
    return [one.words for one in causes.findings(counts)] if counts else []
