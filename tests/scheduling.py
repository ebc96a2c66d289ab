"""Which tests run together: two halves of minutes each, and xdist's groups, the longest first."""

import gc
import os
import re
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from mnist_models import cpus, implementations

# The implementations that each change is tried on.
OWN = (*implementations.PAIR, "numpy_reference")
# Files in which each implementation's tests share a process that is kept for it.
KEPT = {
    "test_devices": "worker",
    "test_imports": "worker",
    "test_layers": "layers",
    "test_mutants": "mutants",
    "test_parity": "worker",
}
# Slow tests of what people do with a network besides measuring it on one machine, and of the
# commands that the docs name.
EXTENDED = (
    "test_convert",
    "test_documented_commands",
    "test_ease_of_use",
    "test_explain",
    "test_feeding",
    "test_growth",
    "test_hosts",
    "test_leaks",
    "test_learn",
    "test_moments",
    "test_notebook",
    "test_parallel",
    "test_parts",
    "test_shipping",
)
# The groups that take longest are begun first.
LONGEST = (
    "test_parallel",
    "test_ease_of_use",
    "test_hosts",
    "test_explain",
    "test_notebook",
    "mutants keras_tensorflow",
    "worker keras_jax",
    "test_gate",
    "test_shipping",
    "test_leaks",
    "test_documented_commands",
    "test_convert",
    "test_report",
    "worker pytorch_compiled",
    "layers keras_jax",
    "test_feeding",
    "test_robustness",
    "test_command_lines",
    "test_learn",
    "mutants pytorch_eager",
    "worker keras_tensorflow",
    "test_growth",
    "test_sessions",
    "test_parts",
)


def group(test):
    """What shares processes or a long setup with a test, of which this is the id."""
    stem, name = Path(test.partition("::")[0]).stem, re.search(r"\[(\w+)[]-]", test)
    if stem in KEPT and name and name[1] in implementations.names():
        return f"{KEPT[stem]} {name[1]}"
    return stem


def extended(test):
    """Whether a slow test is one of the extended: see EXTENDED, and other implementations."""
    of, _, implementation = group(test).partition(" ")
    return of in EXTENDED or (bool(implementation) and implementation not in OWN)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With xdist, such as `-n logical`, each group runs in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid):
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


def distributed(config):
    """Whether this is one of xdist's processes, which runs a part of the tests."""
    return hasattr(config, "workerinput")


def pytest_configure(config):
    """Each of xdist's processes keeps to a CPU, with all it starts."""
    # By this pytest-benchmark would take a session that a test starts for one of xdist's processes.
    os.environ.pop("PYTEST_XDIST_WORKER", None)
    # By this all sessions that tests start would share one cache, and so what failed the last time.
    os.environ.pop("TOX_ENV_DIR", None)
    if distributed(config) and hasattr(os, "sched_setaffinity"):
        # Whoever trains on several devices, or beside a neighbour, may use all of them.
        cpus.keep_inherited()
        every = cpus.inherited()
        number = int(config.workerinput["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {every[number % len(every)]})
        # NumPy's threads were counted before, and would wait for each other on that CPU.
        threadpool_limits(1)


def pytest_collection_finish():
    """No collection of garbage looks through the thousands of collected tests any more."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    """Mark the extended tests, and sort the groups."""
    for item in items:
        if item.get_closest_marker("slow") and extended(item.nodeid):
            item.add_marker(pytest.mark.extended)
    if distributed(config):
        items.sort(key=lambda item: [*LONGEST, group(item.nodeid)].index(group(item.nodeid)))
