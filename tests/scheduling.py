"""How xdist deals the tests out: what shares a process stays together, the longest goes first."""

import os
import re
from pathlib import Path

import pytest

from mnist_models import implementations

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


def distributed(config):
    """Whether this is one of xdist's processes, which runs a part of the tests."""
    return hasattr(config, "workerinput")


def pytest_configure(config):
    """Each of xdist's processes keeps to a CPU, with all it starts."""
    # By this pytest-benchmark would take a session that a test starts for one of xdist's processes.
    os.environ.pop("PYTEST_XDIST_WORKER", None)
    if distributed(config) and hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        number = int(config.workerinput["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {cpus[number % len(cpus)]})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Sort the groups."""
    if distributed(config):
        items.sort(key=lambda item: [*LONGEST, group(item.nodeid)].index(group(item.nodeid)))
