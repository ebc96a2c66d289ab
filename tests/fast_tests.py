"""What is not marked `slow` starts no process and imports no framework: it remains fast."""

import sys

import pytest

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
    """Fail what did, unless it is marked."""
    if STARTED and not item.get_closest_marker("slow"):
        pytest.fail(f"mark it `slow`, or do without: {', '.join(STARTED)}"[:500], pytrace=False)


def pytest_configure(config):
    """Watch this process."""
    sys.addaudithook(watch)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what starts processes through a fixture."""
    for item in items:
        if not SLOW.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.slow)
