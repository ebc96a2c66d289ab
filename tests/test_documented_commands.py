"""Every command that README.md, CONTRIBUTING.md and docs/ name is run, in its shortest form.

Most run in a copy of the repository in which the pair are the NumPy reference under other names.
"""

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.stats import Stats

from benchmarks.commands.selfcheck import clone
from mnist_models import implementations
from mnist_models.implementations import PAIR
from tests.test_command_lines import LIMIT, QUIET, copy_repository, variables, write_data

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROGRAM = r"(?:\w+=\S+ )*(?:\S*/bin/)?(?:python3?|pytest|tox|pip|uv|mypy|ruff|pre-commit)\b"
BENCHMARKS = re.compile(r"(?:\S*/bin/)?pytest benchmarks\b")


def commands(page):
    """The commands of a page: lines of its bash blocks, indented lines, words in backticks."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fence.findall(page) if language in ("", "bash")]
    prose = fence.sub("", page)
    indented = re.findall(r"^    (\S.*)$", prose, flags=re.MULTILINE)
    lines = "\n".join([*blocks, *indented]).replace("\\\n", " ").splitlines()
    spans = [span for span in re.findall(r"`([^`\n]+)`", prose) if " " in span]
    found = [re.sub(r"(^|\s+)#.*", "", line) for line in (*lines, *spans)]
    parts = [" ".join(part.split()) for line in found for part in line.split(" && ")]
    return [part for part in parts if re.match(PROGRAM, part)]


DOCUMENTED = sorted({found for page in PAGES for found in commands(page.read_text("utf-8"))})
# Run by pytest itself, with --collect-only: that reads and checks every option.
LISTED = [command for command in DOCUMENTED if BENCHMARKS.match(command)]
ONE = "--implementation numpy_reference"
# What is added to a command to make it short. OLD, NEW, RUN and OTHER are there.
SHORT = {
    "python -m benchmarks baseline set 0003": "",
    "python -m benchmarks baseline set RUN": "",
    "python -m benchmarks calibrate --dataset mnist --batch-size 128 --seeds 20": (
        "--dataset small --seeds 2"
    ),
    "python -m benchmarks compare OLD NEW": "",
    "python -m benchmarks compare OLD.json NEW.json": "",
    "python -m benchmarks defaults": "--help",  # test_defaults
    "python -m benchmarks defaults --against ENV": "--help",
    "python -m benchmarks defaults --write": "--help",
    "python -m benchmarks doctor": "--dataset small",
    "python -m benchmarks explain": "--help",  # test_explain
    'python -m benchmarks explain "forward[lenet5-b128-cpu]" --knob steady': "--help",
    "python -m benchmarks explain --knob avx2 --knob mkl_avx2": "--help",
    "python -m benchmarks explain --knob avx2 --knob mkl_avx2 "
    "--knob tensorflow_onednn_on": "--help",
    "python -m benchmarks explain --knob tensorflow_onednn_on": "--help",
    "python -m benchmarks --help": "--help",
    "python -m benchmarks learn": "--help",  # test_learn
    # They make environments of frameworks: test_bisect, test_history, test_museum, test_making.
    "python -m benchmarks bisect newest next": "--help",
    "python -m benchmarks bisect py312-torch2.9-tf2.20 py312-torch2.15-tf2.21": "--help",
    'python -m benchmarks bisect OLD NEW "forward[lenet5-b128-cpu]" '
    "--implementation pytorch_eager": "--help",
    "python -m benchmarks bisect OLD NEW --host ssh=me@box1": "--help",
    "python -m benchmarks history torch": "--help",
    "python -m benchmarks history torch -o tools/recorded/history-torch.json": "--help",
    "python -m benchmarks history tensorflow --disk 20": "--help",
    "python -m benchmarks history keras --with tensorflow=2.18.1 "
    '--row "test_train_step[mlp-b128-cpu-keras_tensorflow]"': "--help",
    "python -m benchmarks trend FOLDER": "--help",
    "python -m benchmarks grow": "--help",  # test_growth
    "python -m benchmarks grow --units": "--help",
    "python -m benchmarks grow --units -o tools/recorded/widths.json": "--help",
    "python -m benchmarks grow -o tools/recorded/growth.json": "--help",
    "python -m benchmarks learn -o tools/recorded/learning.json": "--help",
    "python -m benchmarks explain -o tools/recorded/explain.json": "--help",
    "python -m tools.pages record RUN": "--help",  # test_pages
    "python -m benchmarks museum": "--help",
    "python -m benchmarks museum -o tools/recorded/museum.json": "--help",
    "python -m benchmarks museum keras-3.15.0-reset_metrics": "--help",
    "python -m tools.pages write": "--help",  # test_pages
    "python -m benchmarks report RUN": "",
    "python -m benchmarks report RUN [OLDER …] -o DIR": "",
    "python -m benchmarks side_by_side --write": "",
    "python -m benchmarks versions --here": "",
    "python -m benchmarks versions --write": "",
    "python -m tools.evidence cold": f"--times 1 {ONE}",
    "python -m tools.evidence epochs": f"--times 1 --dataset small {ONE}",
    "python -m tools.evidence identical": f"--times 1 --dataset small {ONE}",
    "python -m tools.evidence overhead": f"--times 1 --dataset small {ONE}",
    "python -m mnist_models convert lenet5 lenet5.keras lenet5.pt": "--help",  # test_convert
    "python -m tools.porting": "--help",
    "python -m tools.measured": "",
    "python -m tools.parity_table": f"--architecture mlp {ONE}",
    "python -m tools.peers table": "--help",  # asv and pyperf are in no extra
    "python -m tools.simulation --gates 10000": "--gates 1",
    # All these sessions have been recorded, so that nothing is left to measure.
    "python -m tools.campaigns looks --baseline OTHER --sessions 150": "--sessions 1",
    "python -m tools.campaigns latency --baseline OTHER --sessions 20": "--sessions 1",
    "python -m tools.peers record --baseline OTHER --sessions 24": "--sessions 1",
    # They measure for minutes, and other tests run what they do.
    "python -m benchmarks selfcheck": "--help",  # test_gate
    "python -m tools.campaigns doses --baseline OTHER --sessions 40": "--sessions 1",
    "python -m tools.repeats RUN …": "--help",  # test_repeats
    "python -m examples": "--help",  # test_ease_of_use
    "python -m examples write": "--help",
    "python -m tools.notebook write": "--help",  # test_notebook
}
# Runs modules with their arguments, all in one process.
HELP = """
import contextlib, io, json, runpy, sys

answers = {}
for command, sys.argv in json.load(sys.stdin).items():
    output, status = io.StringIO(), 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            status = ended.code
    answers[command] = (status, output.getvalue())
json.dump(answers, sys.stdout)
"""
# They need the pair as it is, and write nothing.
WITH_FRAMEWORKS = {"python -m tools.evidence idiom": "--times 1 --dataset {small}"}
# They install, or are this very test run. test_environments_exist knows their environments.
NOT_RUN = [
    # What was found is shown again so, by whoever wants to see it.
    r"uv venv -p \S+ (old|new)",
    r"uv pip install -p (old|new) .*",
    r'python -m benchmarks bisect old new --implementation \w+( ".*")+',
    r"(\S*/bin/)?tox (list|run) ?.*",
    r"python3 -m venv \S+",
    r"(\S*/bin/)?pip install .*",
    r"lint-imports",
    r"pre-commit install",
    r"mypy",
    r"pytest tests( -k \w+|/\w+\.py| -m .*| -n .*)*",
    r"ruff (check|format --check) \.",
    r"UV_TORCH_BACKEND=\w+ \S+",
]


def unknown(documented):
    """The commands that no table above has."""
    known = {*LISTED, *SHORT, *WITH_FRAMEWORKS}
    rest = [command for command in documented if command not in known]
    return [command for command in rest if not any(re.fullmatch(one, command) for one in NOT_RUN)]


def test_every_command_is_known():
    """A command that is new on a page is added to a table above, one that left it is removed."""
    assert unknown(DOCUMENTED) == []
    assert {*SHORT, *WITH_FRAMEWORKS} - {*DOCUMENTED} == set()
    assert len(LISTED) > 10


@pytest.mark.parametrize(
    "page",
    [
        "```bash\npython -m benchmarks doktor   # is it?\n```\n",
        "Say `python -m benchmarks doktor`.",
    ],
)
def test_an_unknown_command_is_noticed(page):
    """In a block as well as in a sentence."""
    assert unknown(commands(page)) == ["python -m benchmarks doktor"]


def recorded_run():
    """The recorded run, with the statistics that pytest-benchmark shows in its table."""
    file = ROOT / "tools" / "recorded" / "run.json.gz"
    run = json.loads(gzip.decompress(file.read_bytes()))
    for row in run["benchmarks"]:
        stats = Stats()
        for sample in row["stats"]["data"]:
            stats.update(sample)
        row["stats"] |= stats.as_dict()
    return json.dumps(run)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of all that the commands read and write, with saved runs and another environment."""
    folder = copy_repository(tmp_path_factory.mktemp("copy"), {"your_name": ""})
    home = folder / "mnist_models" / "implementations"
    for name in {*implementations.names()} - {"numpy_reference"}:
        shutil.copy(home / "numpy_reference.py", home / f"{name}.py")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("docs", "examples", "tests", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for file in ("versions.toml", "tox.ini", "toxfile.py", "README.md"):
        shutil.copy(ROOT / file, folder)
    run = recorded_run()
    saved = folder / ".benchmarks" / "machine" / "0003_run.json"
    saved.parent.mkdir(parents=True)
    for path in (saved, *(folder / name for name in ("OLD", "NEW", "OLD.json", "NEW.json", "RUN"))):
        path.write_text(run, encoding="utf-8")
    for command in DOCUMENTED:
        for name in re.findall(r"--baseline (\S+)", command):
            environment = folder / name
            if not environment.exists():
                clone(environment)
    return folder


def ended(words, folder, limit=LIMIT, **more):
    """The finished process of a command's words, by an interpreter that it may plant work in."""
    other = folder / "OTHER" / "bin" / "python"
    return subprocess.run(
        [other if "OTHER" in words else sys.executable, *words[1:]],
        cwd=folder,
        env=more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )


@pytest.fixture(scope="module")
def helped(copy):
    """Status and output of each command whose help alone is asked for."""
    lines = {c: shlex.split(f"{c} --help")[2:] for c in SHORT if SHORT[c] == "--help"}
    ended = subprocess.run(
        [sys.executable, "-c", HELP],
        input=json.dumps(lines),
        cwd=copy,
        env=variables(copy),
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return json.loads(ended.stdout)


@pytest.mark.parametrize("command", [one for one in SHORT if SHORT[one] == "--help"])
def test_the_command_has_its_options(helped, command):
    """Its arguments are read as far as they go; other tests run what it does."""
    status, output = helped[command]
    assert status == 0, output
    assert "usage: " in output


@pytest.mark.parametrize("command", [one for one in SHORT if SHORT[one] != "--help"])
def test_the_command_runs(copy, command):
    """It ends with status 0."""
    words = shlex.split(command.replace(" [OLDER …]", "")) + shlex.split(SHORT[command])
    session = "--blocks=1 --rounds=2"
    found = ended(words, copy, **variables(copy, PYTEST_ADDOPTS=session))
    assert found.returncode == 0, found.stdout
    assert "Traceback" not in found.stdout


@pytest.mark.parametrize("command", WITH_FRAMEWORKS)
def test_the_command_runs_with_frameworks(tmp_path, command):
    """It ends with status 0."""
    for name in PAIR:
        if lacks := implementations.missing(name):
            pytest.skip(f"not installed: pip install {' '.join(lacks)}")
    write_data(tmp_path / "small", seed=1)
    words = shlex.split(command) + WITH_FRAMEWORKS[command].format(small=tmp_path / "small").split()
    found = ended(words, ROOT, 300, **variables(tmp_path))
    assert found.returncode == 0, found.stdout
    assert all(f"{name} mlp: ours / " in found.stdout for name in PAIR)


def use_every_cpu():
    """One of xdist's processes keeps to a CPU of its own; `--threads 2` needs two."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count()))


@pytest.fixture(scope="module")
def listed(copy):
    """Status and output of `pytest benchmarks …`, with what it would measure."""
    tool = copy / "bin" / "nvidia-smi"
    settings = variables(copy, PYTEST_ADDOPTS="--collect-only -q")
    tool.write_text("#!/bin/sh\necho 'GPU 0: Pretended'\n")
    (copy / "lab.txt").write_text("ssh=me@box1\nssh=me@box2\n")
    lines = {command: shlex.split(command)[1:] for command in LISTED}
    session = subprocess.run(
        [sys.executable, "-c", QUIET.replace("line.split()", "lines[line]")],
        input=json.dumps(lines),
        cwd=copy,
        env=settings,
        preexec_fn=use_every_cpu,
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return json.loads(session.stdout)


@pytest.mark.parametrize("command", LISTED)
def test_pytest_takes_the_command(listed, command):
    """Its options and values are accepted, and it selects something."""
    status, output, _ = listed[command]
    assert status == 0, output
    assert "::test_" in output
