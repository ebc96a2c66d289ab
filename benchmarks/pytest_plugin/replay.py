"""Measure the tests that pytest selected, and replay their samples into pytest-benchmark."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.comparing import saved
from benchmarks.comparing.records import Judged
from benchmarks.comparing.verdicts import Status
from benchmarks.measuring import journal as journals
from benchmarks.measuring import probes
from benchmarks.measuring.environments import EnvironmentProblem
from benchmarks.measuring.gpu import has_gpu
from benchmarks.measuring.hosts import HostLost
from benchmarks.measuring.plan import Plan, estimate
from benchmarks.measuring.results import Results, Row
from benchmarks.measuring.session import Session
from benchmarks.pytest_plugin.options import SETTINGS, Settings
from benchmarks.pytest_plugin.saving import beside_the_rows, guard_saving, save_environments
from benchmarks.reporting import words
from benchmarks.reporting.progress import progress
from benchmarks.reporting.verdict_panel import exit_status
from benchmarks.trial import Trial, contestant
from mnist_models import data, implementations, recipe
from mnist_models.worker import source_hash

DATASET = pytest.StashKey[data.Dataset]()
# The unchanged runs that --benchmark-compare loaded.
COMPARED = pytest.StashKey[list[dict[str, Any]]]()


class Clock:
    """A timer that shows recorded samples: 0 when a round begins, the sample when it ends."""

    def __init__(self, samples: list[float]) -> None:
        self.samples = iter(samples)
        self.reading = 0.0

    def __call__(self) -> float:
        """Return the reading and set it to 0."""
        reading, self.reading = self.reading, 0.0
        return reading

    def advance(self) -> None:
        """Set the next reading; pytest-benchmark calls this as the benchmarked function."""
        self.reading = next(self.samples, 0.0)


@dataclass
class Timed:
    """The measured results of a pytest session, or the reason why there are none."""

    why_not: str = ""
    results: Results | None = None
    journal: journals.Journal | None = None
    dataset: data.Dataset | None = None
    interrupted: bool = False
    # By the name of each baseline environment and each saved run.
    verdicts: dict[str, list[Judged]] = field(default_factory=dict)
    saved_runs: dict[str, saved.Run] = field(default_factory=dict)
    # Changed defaults and results, as text, by baseline environment.
    numbers: dict[str, list[str]] = field(default_factory=dict)
    written: list[Path] = field(default_factory=list)
    # Why pytest-benchmark could not save the run.
    unsaved: OSError | None = None
    # The last line of a session: where the report is, or what was not saved.
    report: str = ""

    @cached_property
    def beside_the_rows(self) -> dict[str, Any]:
        """Return what the saved run and the report hold beside the rows; computed once."""
        return beside_the_rows(self)

    def finish(self, session: pytest.Session) -> None:
        """Save the baselines' files, set the exit status, and finish and close the journal."""
        config = session.config
        try:
            if self.unsaved:
                raise self.unsaved
            if self.results is not None and self.results.plan.rounds and not self.interrupted:
                self.written = save_environments(config, self.results)
            self.end(session)
        except (OSError, journals.JournalError) as error:
            self.report = (
                f"not saved: {error}; what was measured is safe in {journals.FOLDER}: mend this "
                "(a full disk needs space), then run the same command with --resume to save it"
            )
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        finally:
            if self.journal:
                self.journal.close()
        settings = config.stash[SETTINGS]
        demanded = settings.baselines or settings.strict_verdicts
        named = isinstance(config.getoption("benchmark_compare"), str)
        failing = bool(config.getoption("benchmark_compare_fail"))
        expected = demanded or named or failing or self.verdicts
        if session.exitstatus != 0 or config.option.collectonly or not expected:
            return
        status = exit_status(self.verdicts.values(), settings.fail_on, settings.strict_verdicts)
        session.exitstatus = status

    def end(self, session: pytest.Session) -> None:
        """Mark a session as finished if all of it was judged, and Ctrl-C did not end it."""
        if self.interrupted:
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        elif self.journal and session.exitstatus in (0, 1) and not session.shouldfail:
            self.journal.finish()


def place(item: Any) -> tuple[Trial, str]:
    """The trial and the contestant that a test stands for."""
    parameters = item.callspec.params
    trial = Trial(
        item.function.__name__.removeprefix("test_"),
        parameters["architecture"],
        int(parameters["batch_size"]),
        parameters["device"],
    )
    return trial, parameters["implementation"]


def impossible(trial: Trial, name: str) -> str:
    """Why this machine cannot measure a row, without asking a framework; empty if unknown."""
    if lacks := implementations.missing(name):
        return f"not installed: pip install {' '.join(lacks)}"
    if trial.device == "gpu" and not has_gpu():
        return "no GPU: nvidia-smi finds none on this machine"
    return ""


def measure_session(session: pytest.Session) -> Timed:
    """Measure all timed tests that were selected, unless this pytest run is not for measuring."""
    config = session.config
    items = [item for item in session.items if "measured" in getattr(item, "fixturenames", ())]
    skipped = config.getoption("benchmark_skip") and not config.getoption("benchmark_only")
    broken = session.testsfailed and not config.option.continue_on_collection_errors
    if not items or config.option.collectonly or skipped or broken:
        return Timed("nothing was selected to be measured")
    if hasattr(config, "workerinput") or config.getoption("dist", "no") != "no":
        return Timed("timing needs the machine for itself: run without xdist (-n0)")
    settings = config.stash[SETTINGS]
    contests: dict[Trial, tuple[str, ...]] = {}
    for trial, name in map(place, items):
        if not impossible(trial, name):
            places = (contestant(name, other) for other in ("", *settings.baselines))
            contests[trial] = (*contests.get(trial, ()), *places)
    if not contests:
        return Timed("nothing that was selected can be measured on this machine")
    disabled = config.getoption("benchmark_disable") and not config.getoption("benchmark_enable")
    dataset = load_dataset(config)
    smallest = min(len(dataset.train_labels), len(dataset.test_labels))
    for size in {trial.batch_size for trial in contests}:
        if size > smallest:
            raise pytest.UsageError(
                f"--batch-size {size}: more than the {smallest} images of '{dataset.name}'"
            )
    plan = make_plan(contests, settings, dataset, disabled)
    start = journals.resume if settings.resume else journals.create
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) if disabled else config.invocation_params.dir
        try:
            record = start(root, plan.fingerprint())
            writer: Any = config.get_terminal_writer()
            console = Console(file=writer._file, force_terminal=writer.hasmarkup, highlight=False)
            with progress(console, plan, dataset, estimate(plan)) as follower:
                complete = Session(plan, dataset, record, follower).run()
                results = Results(plan, record)
                try:
                    numbers = changed_numbers(results, follower.say) if complete else {}
                except KeyboardInterrupt:  # what was measured is judged and saved
                    complete, numbers = False, {}
        except (EnvironmentProblem, HostLost, journals.JournalError) as error:
            option = "--resume: " if settings.resume else ""
            if isinstance(error, HostLost):
                option = "--host: no host is left; --resume goes on where this ended: "
            raise pytest.UsageError(f"{option}{error}") from error
    for item in items:
        if (row := results.rows.get(place(item))) and row.complete:
            item.add_marker(pytest.mark.benchmark(timer=Clock(row.samples())))
    journal = None if disabled else record
    timed = Timed("", results, journal, dataset, interrupted=not complete, numbers=numbers)
    if not disabled:
        guard_saving(config._benchmarksession, timed)  # type: ignore[attr-defined]
        timed.verdicts = results.verdicts()
        judge_saved_runs(config, timed, results)
    return timed


def changed_numbers(results: Results, say: Callable[[str], None]) -> dict[str, list[str]]:
    """For each baseline, the changed defaults and results of an upgraded framework, as text."""
    found: dict[str, list[str]] = {}
    for environment in results.plan.baselines:
        for name in probes.upgraded(results, environment):
            say(f"asking {words.label(name)} here and in {environment} which numbers changed")
            places = (contestant(name, environment), name)
            old, new = map(results.plan.environment, places)
            line = words.numbers(name, probes.told(old, new, name))
            found.setdefault(environment, []).append(line)
    return found


def judge_saved_runs(config: pytest.Config, timed: Timed, results: Results) -> None:
    """Judge against the runs of --benchmark-compare; remove rows that cannot be compared."""
    session = config._benchmarksession  # type: ignore[attr-defined]
    new = results.run(session.get_machine_info())
    rows_here = saved.by_name(new)
    compared = session.compared_mapping or {}
    loaded = config.stash.get(COMPARED, [])
    runs = saved.named([*zip(map(Path, compared), loaded, strict=True)])
    for (name, run), rows in zip(runs.items(), compared.values(), strict=True):
        # A row that was not selected this time is not missing.
        same = [row for row in run["benchmarks"] if row["name"] in rows_here]
        timed.saved_runs[name] = old = dict(run) | {"benchmarks": same}
        timed.verdicts[name] = judged = saved.compare_runs(old, new, name, results.plan.margin)
        lost = {
            one.comparison.test for one in judged if one.verdict.status is Status.NOT_COMPARABLE
        }
        lost |= saved.incomparable(old, new)
        # pytest-benchmark joins by name alone, in its table and in --benchmark-compare-fail.
        for fullname in [f for f in rows if rows[f]["name"] in lost]:
            del rows[fullname]


def load_dataset(config: pytest.Config) -> data.Dataset:
    """The data set of this pytest run, read once; raises pytest.UsageError if it cannot be read."""
    if DATASET not in config.stash:
        try:
            config.stash[DATASET] = data.load(config.stash[SETTINGS].dataset)
        except data.DataError as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[DATASET]


def make_plan(
    contests: dict[Trial, tuple[str, ...]],
    settings: Settings,
    dataset: data.Dataset,
    disabled: bool,
) -> Plan:
    """The plan for a selection; with --benchmark-disable every operation is run once, untimed."""
    return Plan(
        contests=contests,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        dataset_folder=str(dataset.folder),
        images=len(dataset.train_labels),
        source=source_hash(),
        blocks=1 if disabled else settings.blocks,
        rounds=0 if disabled else settings.rounds,
        threads=settings.threads,
        gpu_threads=settings.gpu_threads,
        precision=settings.precision,
        seed=recipe.DEFAULT.seed,
        call_limit=settings.call_limit,
        time_budget=settings.time_budget,
        baselines=settings.baselines,
        hosts=settings.hosts,
        until_decided=settings.until_decided,
        allocator=settings.allocator,
        margin=settings.margin,
    )


def judge(item: Any, timed: Timed, benchmark: Any) -> Row:
    """Replay a test's samples through pytest-benchmark; skip or fail if there are none."""
    trial, name = place(item)
    reason = impossible(trial, name) or timed.why_not
    if reason or timed.results is None:
        benchmark.skipped = True
        pytest.skip(reason)
    row = timed.results.rows[trial, name]
    benchmark.skipped = not row.complete
    if row.error:
        pytest.fail(row.error, pytrace=False)
    if row.skip:
        if row.unavailable and item.config.stash[SETTINGS].asked_for(trial.device, name):
            pytest.fail(f"asked for, but impossible here: {row.skip}", pytrace=False)
        pytest.skip(row.skip)
    clock = item.get_closest_marker("benchmark").kwargs["timer"]
    benchmark.extra_info |= timed.results.extra_info(row)
    benchmark.extra_info["verdicts"] = [
        one.record()
        for judged in timed.verdicts.values()
        for one in judged
        if (one.comparison.trial, one.comparison.implementation) == (str(trial), name)
    ]
    benchmark.pedantic(clock.advance, rounds=max(1, len(row.samples())), iterations=1)
    return row
