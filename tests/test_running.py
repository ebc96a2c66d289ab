"""How the tests themselves run: what shares a process stays together, what is fast remains so."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnist_models.implementations import names
from tests.scheduling import EXTENDED, LONGEST, extended, group

ROOT = Path(__file__).parents[1]
PLANTED = """
import subprocess, sys
import pytest


{mark}
def test_planted():
    {line}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "mark", "outcome", "words"),
    [
        ("subprocess.run([sys.executable, '-V'])", "", "1 passed, 1 error", "'-V'"),
        ("import jax", "", "1 passed, 1 error", "or do without: jax"),
        ("import jax", "@pytest.mark.slow", "1 passed in", ""),
        ("import json", "", "1 passed in", ""),
    ],
)
def test_a_fast_test_that_starts_something_is_an_error(tmp_path, line, mark, outcome, words):
    """A process or a framework, though it passes; unless it is marked as slow."""
    (tmp_path / "jax.py").touch()
    (tmp_path / "test_it.py").write_text(PLANTED.format(line=line, mark=mark))
    command = [sys.executable, "-m", "pytest", "-p", "tests.fast_tests", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome in ended.stdout, ended.stdout + ended.stderr
    assert words in ended.stdout


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("test_parity.py::test_agrees[keras_jax-mlp-float64 Adam]", "worker keras_jax"),
        ("test_imports.py::test_alone[keras_jax]", "worker keras_jax"),
        ("test_mutants.py::test_raises[keras_jax-no biases]", "mutants keras_jax"),
        ("test_parity.py::test_slope[mlp-1_dense/kernel]", "test_parity"),
        ("test_gate.py::test_files_hold_their_own_samples[twin]", "test_gate"),
    ],
)
def test_what_shares_a_process_is_one_group(test, expected):
    """A framework's worker serves several files, and is started by one of xdist's processes."""
    assert group(f"tests/{test}") == expected


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("test_parity.py::test_agrees[keras_jax-mlp-float64 Adam]", True),
        ("test_parity.py::test_agrees[keras_tensorflow-mlp-float64 Adam]", False),
        ("test_mutants.py::test_raises[pytorch_eager-no biases]", False),
        ("test_layers.py::test_alone[numpy_reference-dense]", False),
        ("test_gate.py::test_resumed", False),
        ("test_hosts.py::test_reached", True),
    ],
)
def test_the_extended_tests_are_of_what_the_pair_can_do_without(test, expected):
    """Other implementations and other hosts; each slow test is in one of the halves."""
    assert extended(f"tests/{test}") == expected


@pytest.mark.parametrize("name", [*LONGEST, *EXTENDED])
def test_groups_that_are_named_exist(name):
    """A file or an implementation of another name would be begun last, or in the wrong half."""
    kind, _, implementation = name.partition(" ")
    if implementation:
        assert implementation in names()
    else:
        assert Path(__file__).with_name(f"{kind}.py").exists()


@pytest.mark.slow
def test_no_wheel_is_built(tmp_path):
    """It would lack what the suite reads beside its packages; the remedy is said."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "tools", "benchmarks", "mnist_models"):
        (tmp_path / name).symlink_to(ROOT / name)
    ended = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "run: pip install -e ." in ended.stderr
    assert not list(tmp_path.rglob("*.whl"))
