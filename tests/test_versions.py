"""The version grid: names, pins, the check inside an environment, tox, the page, the gate."""

import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from itertools import product
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from benchmarks.__main__ import main
from benchmarks.commands import versions

ROOT = Path(__file__).parents[1]
EXAMPLE = versions.EXAMPLE
PINS = {
    "python": "3.12",
    "torch": "2.9.1",
    "torchvision": "0.24.1",
    "tensorflow": "2.20.0",
    "keras": "3.13.2",
    "numpy": "2.3.5",
}
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


# Names and pins


def test_pins_are_those_of_the_name():
    """Whoever reads the name knows what is inside, to the minor version."""
    assert versions.pins(EXAMPLE) == PINS
    for name in versions.environments():
        inside = versions.pins(name)
        python = inside["python"].replace(".", "")
        torch, tensorflow = (
            inside[framework].rpartition(".")[0] for framework in ("torch", "tensorflow")
        )
        assert name == f"py{python}-torch{torch}-tf{tensorflow}"


@pytest.mark.parametrize("python", ["py311", "py312"])
def test_two_pythons_span_the_grid(python):
    """All combine with all there, and nothing is left out of the ranges in between."""
    torch = [f"torch2.{minor}" for minor in range(4, 16)]
    tensorflow = [f"tf2.{minor}" for minor in range(16, 22)]
    wanted = ["-".join((python, *rest)) for rest in product(torch, tensorflow)]
    assert [name for name in versions.environments() if name.startswith(python)] == wanted


def test_the_oldest_are_those_that_the_package_admits():
    """The lower bounds of pyproject.toml are in the grid, and every pin is within them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"], *extras["tensorflow"], *extras["torch"]]
    ranges = {each.name: each.specifier for each in map(Requirement, needs)}
    ranges["python"] = Requirement(f"python{project['requires-python']}").specifier
    inside = [versions.pins(name) for name in versions.environments()]
    for package in PINS:
        assert all(one[package] in ranges[package] for one in inside), package
        (bound,) = ranges[package]
        oldest = min((one[package] for one in inside), key=versions.numbers)
        assert versions.numbers(oldest)[:2] == versions.numbers(bound.version)[:2], package


def test_labels_are_the_ends_and_the_corners():
    """Of the grid as it is, not as it was when somebody wrote the labels."""
    names = versions.environments()
    oldest, newest = names[0], names[-1]
    pythons, torch, tensorflow = map(list, versions.factors())
    assert versions.grid()["labels"] == {
        "oldest": [oldest],
        "newest": [newest],
        "corners": [
            oldest,
            f"{pythons[1]}-{torch[0]}-{tensorflow[-1]}",
            f"{pythons[1]}-{torch[-1]}-{tensorflow[0]}",
            newest,
        ],
    }


REFUSED = {
    "py312-torch2.99-tf2.20": ["unknown torch2.99", "torch2.15", "versions.toml"],
    "py312-foo": ["unknown foo", "py311, py312, py313", EXAMPLE],
    "py312": ["not three parts", EXAMPLE],
    "torch2.9-py312-tf2.20": ["not three parts in order", EXAMPLE],
    "py313-torch2.9-tf2.16": [
        "tf2.16 cannot be installed on Python 3.13",
        "in place of py313 one of py311, py312",
        "in place of tf2.16 one of tf2.20, tf2.21",
    ],
    "py312-torch2.15-tf2.21-cuda12": ["needs one of torch2.7, torch2.8, torch2.9, torch2.10"],
    "py312-torch2.10-tf2.21-cuda12": ["cuda12 needs one of tf2.20", "docs/versions.md"],
    "py313-torch2.4-tf2.21": ["torch2.4 cannot be installed on Python 3.13", "one of torch2.6, "],
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_names_are_refused_in_words(name):
    """Which part is wrong, what is allowed, what to do."""
    with pytest.raises(versions.NoSuchEnvironment) as caught:
        versions.pins(name)
    assert [words for words in REFUSED[name] if words not in str(caught.value)] == []


# NVIDIA GPUs


def test_gpu_environments_are_what_the_extra_admits():
    """Every pair of the grid within the bounds of the extra cuda12, and no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = map(Requirement, project["optional-dependencies"][versions.CUDA])
    ranges = {each.name: each.specifier for each in needs}
    inside = {name: versions.pins(name) for name in versions.environments()}
    admitted = [
        f"{name}-{versions.CUDA}"
        for name, pins in inside.items()
        if all(pins[package] in specifier for package, specifier in ranges.items())
    ]
    assert versions.cuda_environments() == admitted
    assert versions.pins(admitted[0]) == versions.pins(admitted[0].removesuffix("-cuda12"))


@pytest.mark.slow
def test_tox_installs_the_extra_for_a_gpu(tmp_path, monkeypatch):
    """TensorFlow's CUDA libraries come with it."""
    monkeypatch.setenv("PATH", str(tmp_path))  # where tox finds no interpreters to ask
    name = versions.cuda_environments()[-1]
    shown = tox(tmp_path, "config", "-e", name, "-k", "extras", "deps").stdout
    lines = [line.strip() for line in shown.splitlines()]
    assert lines[lines.index("extras =") + 1 :][:2] == ["cuda12", "test"]
    assert f"tensorflow=={versions.pins(name)['tensorflow']}" in lines


# Pythons


@pytest.fixture
def pythons(tmp_path, monkeypatch):
    """A machine on whose PATH there are python3.11 and pyenv's stand-in for a python3.12."""
    for minor, script in (("3.11", "exit 0"), ("3.12", "echo command not found >&2; exit 127")):
        (tmp_path / f"python{minor}").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / f"python{minor}").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.9"))
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "9", "0"))
    return tmp_path


@pytest.mark.slow
def test_a_missing_python_is_said_with_what_to_use_instead(pythons):
    """Which was found, the name of the same frameworks for it, and how to install the other."""
    assert versions.missing_python("py311-torch2.9-tf2.20") == ""
    assert versions.missing_python(EXAMPLE) == (
        f"{EXAMPLE}: no Python 3.12 was found on this machine, only 3.11; use "
        "py311-torch2.9-tf2.20, or install it, for example with `uv python install 3.12`"
    )


@pytest.mark.slow
def test_without_any_of_the_pythons_no_other_name_is_offered(pythons):
    """Nor is a name that cannot be installed."""
    (pythons / "python3.11").unlink()
    assert "no Python 3.12 was found on this machine, and no other; install it" in (
        versions.missing_python(EXAMPLE)
    )


@pytest.mark.slow
def test_uv_is_asked_where_tox_would_use_it(pythons):
    """It knows the Pythons that it installed itself, and must not download one."""
    tool = pythons / "uv"
    tool.write_text('#!/bin/sh\n[ "$*" = "python find --system --no-python-downloads 3.13" ]\n')
    tool.chmod(0o755)
    assert versions.missing_python("py313-torch2.9-tf2.20") == ""
    assert "only 3.13" in versions.missing_python(EXAMPLE)


@pytest.mark.slow
def test_environments_of_this_machine_are_listed(pythons, capsys):
    """`python -m benchmarks versions --here` names those whose Python is there."""
    assert main(["versions", "--here"]) == 0
    listed = capsys.readouterr().out.split()
    everything = [*versions.environments(), *versions.cuda_environments()]
    assert listed == [name for name in everything if name.startswith("py311-")]


@pytest.mark.slow
@pytest.mark.parametrize("option", ["-e", "-m"])
def test_tox_says_so_before_anything_is_downloaded(tmp_path, monkeypatch, option):
    """One line, and no environment begun, whether it was chosen by name or by label."""
    here = f"py{sys.version_info[0]}{sys.version_info[1]}"
    label, (name,) = next(
        (label, names)
        for label, names in versions.grid()["labels"].items()
        if not names[0].startswith(here)
    )
    python = versions.pins(name)["python"]
    (tmp_path / "uv").write_text("#!/bin/sh\nexit 2\n")
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # on which no other Python is
    ended = tox(tmp_path / "work", "run", "--notest", option, name if option == "-e" else label)
    assert ended.returncode not in (0, 1)
    said = (ended.stdout + ended.stderr).strip()
    assert f"{name}: no Python {python} was found on this machine" in said
    assert len(said.splitlines()) == 1
    assert not any((tmp_path / "work").glob("py*"))


# Inside an environment


@pytest.fixture
def installed(monkeypatch):
    """What the check finds installed: all that the example is pinned to, to be changed at will."""
    found = dict(PINS)

    def version(package):
        if found[package] is None:
            raise PackageNotFoundError(package)
        return found[package]

    monkeypatch.setattr(versions, "version", version)
    monkeypatch.setattr(
        platform, "python_version_tuple", lambda: (*found["python"].split("."), "0")
    )
    return found


def test_an_environment_that_keeps_its_name_passes(installed, capsys):
    """Another build of the same version does, too."""
    installed["torch"] = "2.9.1+cpu"
    assert main(["versions", "--check", EXAMPLE]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("package", "found"),
    [
        ("python", "3.11"),
        ("torch", "2.9.0"),
        ("torch", "2.15.0"),
        ("torchvision", None),
        ("tensorflow", "2.21.0"),
        ("keras", "3.15.1"),
        ("numpy", "1.26.4"),
    ],
)
def test_an_environment_that_holds_something_else_fails(installed, capsys, package, found):
    """Any package of another version than the name stands for, or missing."""
    installed[package] = found
    assert main(["versions", "--check", EXAMPLE]) == 1
    said = capsys.readouterr().err
    have = found or "not installed"
    assert f"{EXAMPLE}: {package} is {have}, and should be {PINS[package]}" in said
    assert f"tox run -r -e {EXAMPLE}" in said


def test_the_check_knows_no_other_names(capsys):
    """A name outside the grid is no environment without differences."""
    assert main(["versions", "--check", "py312-foo"]) == 2
    assert "unknown foo" in capsys.readouterr().err


# tox


def tox(folder, *arguments, config=ROOT / "tox.ini"):
    """Run this environment's tox without anything that it would have to install."""
    command = [sys.executable, "-m", "tox", *arguments, "-c", str(config), "-x", "tox.requires=tox"]
    return subprocess.run(
        [*command, "--workdir", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_tox_has_the_whole_grid(tmp_path):
    """All environments, each pinned to what its name says, on its own Python."""
    listed = tox(tmp_path, "list", "--no-desc").stdout.split()
    assert set(versions.environments()) < set(listed)
    shown = tox(tmp_path, "config", "-e", EXAMPLE, "-k", "deps", "base_python", "commands").stdout
    lines = [line.strip() for line in shown.splitlines()]
    for package, pin in PINS.items():
        assert ("base_python = python3.12" if package == "python" else f"{package}=={pin}") in lines
    check, *_, bench = lines[lines.index("commands =") + 1 :][:3]
    assert check == f"python -m benchmarks versions --check {EXAMPLE}"
    assert f"--benchmark-storage=.benchmarks/environments/{EXAMPLE} " in bench
    assert f"--benchmark-save={EXAMPLE}" in bench


@pytest.mark.slow
@pytest.mark.parametrize("label", versions.grid()["labels"])
def test_tox_selects_by_label(tmp_path, label):
    """`tox run -m LABEL` is about the label's environments and no others."""
    listed = tox(tmp_path, "list", "-m", label, "--no-desc").stdout.split()
    assert sorted(listed) == sorted(versions.grid()["labels"][label])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-e", "py312-foo"], ["unknown foo", "bench, production, tests, lint, types"]),
        (["-e", "tests,py312-torch2.99-tf2.20"], ["unknown torch2.99"]),
        (["-e", "py313-torch2.9-tf2.16"], ["tf2.16 cannot be installed on Python 3.13"]),
        (["-e", "py312"], ["not three parts", EXAMPLE]),
        (["-m", "oldset"], ["-m oldset: no such label", "oldest, newest, corners"]),
    ],
    ids=lambda value: value[-1] if value[0].startswith("-") else "",
)
def test_tox_refuses_what_is_not_in_the_grid(tmp_path, arguments, words):
    """Before it installs anything."""
    ended = tox(tmp_path, "run", "--notest", *arguments)
    assert ended.returncode not in (0, 1)
    assert [word for word in words if word not in ended.stdout + ended.stderr] == []
    assert not any(tmp_path.glob("py*"))


@pytest.mark.slow
def test_tox_alone_would_not_refuse(tmp_path):
    """Without toxfile.py it takes any interpreter for an environment, with nothing pinned."""
    shutil.copy(ROOT / "tox.ini", tmp_path)
    ended = tox(tmp_path, "config", "-e", "py312", "-k", "deps", config=tmp_path / "tox.ini")
    assert ended.returncode == 0
    assert "==" not in ended.stdout


# The page


def test_the_page_is_fresh():
    """docs/versions.md is what versions.toml gives."""
    assert versions.PAGE.read_text(encoding="utf-8") == versions.page()


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_a_stale_page_is_noticed(monkeypatch, framework):
    """One changed pin makes another page."""
    changed = versions.grid() | {
        framework: {
            minor: row | {framework: row[framework] + "1"}
            for minor, row in versions.grid()[framework].items()
        }
    }
    monkeypatch.setattr(versions, "grid", lambda: changed)
    with pytest.raises(AssertionError):
        test_the_page_is_fresh()


def test_runs_are_of_the_grid():
    """What the page says was run are environments that exist."""
    assert set(versions.grid()["runs"]) <= set(versions.environments())


# The gate


def steps(workflow):
    return [step for job in WORKFLOWS[workflow]["jobs"].values() for step in job["steps"]]


def test_the_gate_watches_files_that_exist():
    """A path that was renamed would switch the gate off in silence."""
    paths = WORKFLOWS["gate"][True]["pull_request"]["paths"]  # YAML takes `on` for true
    assert {"pyproject.toml", "tox.ini", "versions.toml"} <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_gate_uses_the_actions_of_ci():
    """The same versions of the same actions."""
    used = {name: {step["uses"] for step in steps(name) if "uses" in step} for name in WORKFLOWS}
    assert used["gate"] == used["ci"]


def test_the_gate_asks_for_a_label_that_exists():
    """And measures what tox built for it."""
    commands = "\n".join(step.get("run", "") for step in steps("gate"))
    assert set(re.findall(r" -m ([a-z]+) --no-desc", commands)) <= set(versions.grid()["labels"])
    assert "list -m newest" in commands


@pytest.mark.slow
def test_tox_needs_nothing_but_the_standard_library_for_the_grid():
    """`tox` imports toxfile.py in an environment of its own, without what the suite depends on."""
    code = "from benchmarks.commands import versions; print(len(versions.environments()))"
    bare = [sys.executable, "-S", "-c", code]
    found = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) > 100
