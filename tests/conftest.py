"""What all tests share: a small data set, warnings that are errors, and the plugins beside this."""

import pytest

from tools.parity_table import few_digits

pytest_plugins = ("tests.scheduling", "tests.fast_tests", "tests.parity_workers")

# Warnings that are said in words, not by a traceback. (2026-11)
SAID = (
    # The first --benchmark-compare finds nothing saved, --benchmark-autosave nothing run.
    "pytest_benchmark.logger.PytestBenchmarkWarning",
    # A disk that is full costs pytest its cache, and must cost nothing else.
    "pytest.PytestCacheWarning",
)


def pytest_configure(config):
    """Warnings are errors here. In a measurement a warning is the user's own affair."""
    for line in ("error", *(f"default::{warning}" for warning in SAID)):
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A small data set in a folder of IDX files, with a partial last batch."""
    return few_digits(tmp_path_factory.mktemp("data") / "few_digits")
