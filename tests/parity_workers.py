"""One worker process for each implementation, which the tests of several files share."""

import os
from itertools import cycle

import pytest
from threadpoolctl import threadpool_limits

from benchmarks.measuring.pool import UNAVAILABLE
from benchmarks.measuring.workers import WorkerError
from mnist_models import implementations
from tests.scheduling import distributed
from tools.parity_table import ParityWorker


def selected(request, *parameters):
    """The values of `parameters` in each of the selected tests that has all of them."""
    calls = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    return [[call[name] for name in parameters] for call in calls if {*parameters} <= {*call}]


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
    """A function from an implementation's name to its `ParityWorker`; skips what is not installed.

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
