"""What several test files share: a small data set, and one worker process per implementation."""

import os
from itertools import cycle

import pytest
from threadpoolctl import threadpool_limits

from benchmarks.measuring.session import UNAVAILABLE
from benchmarks.measuring.workers import WorkerError
from mnist_models import implementations
from tests.parity_table import Witness, few_digits


def pytest_configure(config):
    """A warning is an error in these tests; in a measurement it is the user's own affair."""
    config.addinivalue_line("filterwarnings", "error")
    # The first --benchmark-compare finds nothing saved, --benchmark-autosave nothing run; both are
    # said in words, not by a traceback. (2026-11)
    words = "default::pytest_benchmark.logger.PytestBenchmarkWarning"
    config.addinivalue_line("filterwarnings", words)


def selected(request, *parameters):
    """The values of `parameters` in each of the selected tests that has all of them."""
    calls = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    return [[call[name] for name in parameters] for call in calls if {*parameters} <= {*call}]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A small data set in a folder of IDX files, with a partial last batch."""
    return few_digits(tmp_path_factory.mktemp("data") / "few_digits")


@pytest.fixture(scope="session")
def hire(dataset):
    """A function that starts a `Witness` on a CPU of its own, in turn: no test is timed."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    turns = cycle(cpus + cpus[::-1])

    def start(name, folder, kind=Witness):
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
        yield start


@pytest.fixture(scope="session")
def worker(request, hire, tmp_path_factory):
    """A function from an implementation's name to its `Witness`; skips where it cannot be had.

    All whom the selected tests name are started at once, and asked all that these will ask, so that
    they import their frameworks and compute side by side.
    """
    folder = tmp_path_factory.mktemp("workers")
    wanted = {name for (name,) in selected(request, "implementation")}
    crew = {
        name: hire(name, folder)
        for name in implementations.names()
        if name in wanted and not implementations.missing(name)
    }
    for name, *case in selected(request, "implementation", "architecture", "question"):
        if name in crew:
            crew[name].ask(*case)

    def get(name):
        if lacks := implementations.missing(name):
            pytest.skip(f"not installed: pip install {' '.join(lacks)}")
        failure = crew[name].started.exception()
        if isinstance(failure, WorkerError) and failure.kind in UNAVAILABLE:
            pytest.skip(str(failure))
        return crew[name]

    yield get
    for witness in crew.values():
        witness.dismiss()
