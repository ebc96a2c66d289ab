"""What several test files share: a small data set, and one worker process per implementation."""

import os
import re
import sys
from itertools import cycle
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from benchmarks.measuring.session import UNAVAILABLE
from benchmarks.measuring.workers import WorkerError
from mnist_models import implementations
from tools.parity_table import ParityWorker, few_digits

# Files in which each implementation's tests share a process that is kept for it.
KEPT = {
    "test_devices": "worker",
    "test_imports": "worker",
    "test_layers": "layers",
    "test_mutants": "mutants",
    "test_parity": "worker",
}
# The groups that take longest are begun first.
LONGEST = (
    "test_hosts",
    "test_report",
    "test_notebook",
    "test_parallel",
    "test_robustness",
    "test_gate",
    "test_ease_of_use",
    "test_shipping",
    "test_command_lines",
    "test_explain",
    "worker keras_jax",
    "test_convert",
    "mutants keras_tensorflow",
    "mutants keras_jax",
    "test_leaks",
    "test_feeding",
    "test_documented_commands",
    "test_learn",
    "worker pytorch_compiled",
)


def group(test):
    """What shares processes or a long setup with a test, of which this is the id."""
    stem, name = Path(test.partition("::")[0]).stem, re.search(r"\[(\w+)[]-]", test)
    if stem in KEPT and name and name[1] in implementations.names():
        return f"{KEPT[stem]} {name[1]}"
    return stem


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With xdist, such as `-n logical`, each group runs in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid):
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


# Fixtures that start processes: of frameworks, or a browser.
SLOW = {"browser", "found", "worker"}
FRAMEWORKS = ("jax", "keras", "tensorflow", "torch")
STARTED = []  # by the test under way


def watch(event, arguments):
    """An audit hook: remember which process is started, which framework is imported."""
    if event == "subprocess.Popen":
        STARTED.append(str(arguments[1]))
    elif event == "import" and arguments[0] in FRAMEWORKS:
        STARTED.append(arguments[0])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    STARTED.clear()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    """What is not marked `slow` starts no process and imports no framework: it remains fast."""
    if STARTED and not item.get_closest_marker("slow"):
        pytest.fail(f"mark it `slow`, or do without: {', '.join(STARTED)}"[:500], pytrace=False)


def distributed(config):
    """Whether this is one of xdist's processes, which runs a part of the tests."""
    return hasattr(config, "workerinput")


# Warnings that are said in words, not by a traceback. (2026-11)
SAID = (
    # The first --benchmark-compare finds nothing saved, --benchmark-autosave nothing run.
    "pytest_benchmark.logger.PytestBenchmarkWarning",
    # A disk that is full costs pytest its cache, and must cost nothing else.
    "pytest.PytestCacheWarning",
)


def pytest_configure(config):
    """Warnings are errors here; each of xdist's processes keeps to a CPU, with all it starts.

    In a measurement a warning is the user's own affair.
    """
    for line in ("error", *(f"default::{warning}" for warning in SAID)):
        config.addinivalue_line("filterwarnings", line)
    sys.addaudithook(watch)
    # By this pytest-benchmark would take a session that a test starts for one of xdist's processes.
    os.environ.pop("PYTEST_XDIST_WORKER", None)
    if distributed(config) and hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        number = int(config.workerinput["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {cpus[number % len(cpus)]})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Mark what starts processes through a fixture; sort the groups."""
    for item in items:
        if not SLOW.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    if distributed(config):
        items.sort(key=lambda item: [*LONGEST, group(item.nodeid)].index(group(item.nodeid)))


def selected(request, *parameters):
    """The values of `parameters` in each of the selected tests that has all of them."""
    calls = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    return [[call[name] for name in parameters] for call in calls if {*parameters} <= {*call}]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A small data set in a folder of IDX files, with a partial last batch."""
    return few_digits(tmp_path_factory.mktemp("data") / "few_digits")


@pytest.fixture(scope="session")
def start_worker(dataset, tmp_path_factory):
    """A function that starts a `ParityWorker` on a CPU of its own, in turn: no test is timed.

    What JAX has compiled it compiles no second time: most mutants leave most programs as they were.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    turns = cycle(cpus + cpus[::-1])

    def start(name, folder, kind=ParityWorker):
        if cpus:
            os.sched_setaffinity(0, {next(turns)})  # which the new process inherits
        try:
            return kind(name, dataset, folder)
        finally:
            if cpus:
                os.sched_setaffinity(0, cpus)

    with threadpool_limits(1), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
        patch.setenv("TORCHINDUCTOR_VEC_ISA_OK", "1")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        yield start


@pytest.fixture(scope="session")
def worker(request, start_worker, tmp_path_factory):
    """A function from an implementation's name to its `ParityWorker`; skips where it cannot be had.

    Where all tests run in this process, all whom they name are started at once, and asked all that
    they will ask, so that they import their frameworks and compute side by side.
    """
    folder, started = tmp_path_factory.mktemp("workers"), {}
    if not distributed(request.config):
        wanted = {name for (name,) in selected(request, "implementation")}
        for name in implementations.names():
            if name in wanted and not implementations.missing(name):
                started[name] = start_worker(name, folder)
        for name, *case in selected(request, "implementation", "architecture", "question"):
            if name in started:
                started[name].ask(*case)

    def get(name):
        if lacks := implementations.missing(name):
            pytest.skip(f"not installed: pip install {' '.join(lacks)}")
        if name not in started:
            started[name] = start_worker(name, folder)
        failure = started[name].started.exception()
        if isinstance(failure, WorkerError) and failure.kind in UNAVAILABLE:
            pytest.skip(str(failure))
        return started[name]

    yield get
    for witness in started.values():
        witness.dismiss()
