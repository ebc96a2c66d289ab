"""Fixtures and hooks. Each calls the module that does the work."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring.results import Row
from benchmarks.pytest_plugin.options import SETTINGS
from benchmarks.pytest_plugin.replay import COMPARED, Timed, judge, measure_session
from benchmarks.pytest_plugin.summary import conclude, strike_out
from benchmarks.trial import RowId, Trial
from mnist_models.operations import OPERATIONS

TIMED = pytest.StashKey[Timed]()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not collect operations that --operation does not name."""
    operation = collection_path.stem.removeprefix("test_")
    return True if operation in OPERATIONS.keys() - config.stash[SETTINGS].operations else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise a timed test: one id for each architecture, batch, device and implementation."""
    if "measured" not in metafunc.fixturenames:
        return
    names = ("architecture", "batch_size", "device", "implementation")
    operation = metafunc.function.__name__.removeprefix("test_")
    rows = metafunc.config.stash[SETTINGS].rows(OPERATIONS[operation])
    ids = [
        RowId(Trial(operation, architecture, int(batch_size), device), implementation).parameters
        for architecture, batch_size, device, implementation in rows
    ]
    metafunc.parametrize(names, rows, ids=ids)


@pytest.fixture
def measured(
    request: pytest.FixtureRequest,
    benchmark: Any,
    architecture: str,
    batch_size: str,
    device: str,
    implementation: str,
) -> Row:
    """The samples of this test, taken before the first test ran and replayed here."""
    return judge(request.node, request.config.stash[TIMED], benchmark)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Measure all selected tests, interleaved; then let pytest judge them one by one."""
    session.config.stash[TIMED] = measure_session(session)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Leave the numbers of a failed test out of the saved run."""
    report = yield
    benchmark = getattr(item, "funcargs", {}).get("benchmark")
    if report.failed and benchmark is not None:
        benchmark.has_error = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_benchmark_group_stats(config: pytest.Config) -> Generator[None, Any, Any]:
    """Show void rows in a group of their own, so that they win no comparison."""
    return strike_out((yield), config.stash.get(TIMED, Timed()).results)


def pytest_benchmark_compare_machine_info(
    config: pytest.Config, compared_benchmark: dict[str, Any]
) -> None:
    """Keep the whole saved run; its comparable rows are known only after the measuring."""
    config.stash.setdefault(COMPARED, []).append(compared_benchmark)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Save what pytest-benchmark has no field for: void rows with their reasons, the data."""
    output_json |= config.stash.get(TIMED, Timed()).beside_the_rows


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Remove live readings, which differ in every run and would make every comparison warn."""
    for reading in ("hz_actual", "hz_actual_friendly"):
        machine_info.get("cpu", {}).pop(reading, None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Save what the baselines measured, set the exit status, close the journal."""
    session.config.stash.get(TIMED, Timed()).finish(session)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the panels after pytest-benchmark's tables."""
    conclude(terminalreporter.config.stash.get(TIMED, Timed()), terminalreporter)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print where the report is, as the last line."""
    if line := config.stash.get(TIMED, Timed()).report:
        config.get_terminal_writer().line(line)
