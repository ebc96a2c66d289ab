"""Environments of exact versions, made by uv from wheels that lie in a folder: no network."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.measuring import making
from benchmarks.measuring.environments import EnvironmentProblem
from benchmarks.measuring.making import MARK, SIZES, Maker, requirements, size, taken, title, why

OWN = "{}.{}".format(*sys.version_info)
LOTS = 10**11


def wheel(folder, name, version, requires=""):
    """The smallest wheel there can be."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """An index of two releases of two packages."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        wheel(folder, "numpy", version)
    wheel(folder, "keras", "3.1", requires="numpy<2")
    wheel(folder, "keras", "3.10", requires="numpy")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


@pytest.fixture
def maker(tmp_path, wheels):
    maker = Maker(tmp_path / "made", LOTS, said.append)
    said.clear()
    return maker


said: list[str] = []


def pins(**packages):
    return {"python": OWN, **packages}


def has(environment, package):
    python = environment.spec.partition("python=")[2]
    code = f"import {package}; print({package}.__version__)"
    return subprocess.check_output([python, "-c", code], text=True, timeout=300).strip()


@pytest.mark.slow
def test_an_environment_holds_exactly_what_it_is_called(maker):
    made = maker.make(pins(keras="3.1"))
    assert made.name == title(pins(keras="3.1")) == f"python{OWN}-keras3.1"
    assert (has(made, "keras"), has(made, "numpy")) == ("3.1", "1.0")
    assert made.versions["keras"] == "3.1"


@pytest.mark.slow
def test_an_environment_is_made_once(maker):
    maker.make(pins(keras="3.1"))
    before = [*said]
    maker.make(pins(keras="3.1"))
    assert before == said == [f"making python{OWN}-keras3.1"]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["everything", "bin", MARK])
def test_an_environment_that_someone_deletes_is_made_again(maker, lost):
    place = maker.folder / maker.make(pins(numpy="1.0")).name
    if lost == MARK:
        (place / MARK).unlink()
    else:
        shutil.rmtree(place if lost == "everything" else place / lost)
    assert has(maker.make(pins(numpy="1.0")), "numpy") == "1.0"
    assert len(said) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packages", "words"),
    [
        ({"keras": "9.9"}, r"keras9\.9: Because .*keras==9\.9.* unsatisfiable"),
        ({"keras": "3.1", "numpy": "2.0"}, r"depends on numpy<2"),
        ({"python": "3.1", "numpy": "1.0"}, r"python3\.1-numpy1\.0: .*[Pp]ython"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_line(maker, packages, words):
    with pytest.raises(EnvironmentProblem, match=words) as problem:
        maker.make(pins() | packages)
    assert "\n" not in str(problem.value)
    assert not list(maker.folder.glob("*/pyvenv.cfg")), "nothing half-made is left"


@pytest.mark.slow
def test_a_broken_wheel_is_told_in_one_line(maker, wheels):
    (wheels / "numpy-3.0-py3-none-any.whl").write_bytes(b"no archive")
    with pytest.raises(EnvironmentProblem, match=r"numpy3\.0: .*numpy") as problem:
        maker.make(pins(numpy="3.0"))
    assert "\n" not in str(problem.value)


@pytest.mark.slow
def test_a_network_that_goes_away_is_told_in_one_line(maker, monkeypatch):
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1:9") as problem:
        maker.make(pins(torch="2.0"))
    assert "\n" not in str(problem.value)


@pytest.mark.slow
def test_what_resolves_is_known_without_making_it(maker):
    maker.folder.mkdir()
    assert maker.resolves(pins(keras="3.1", numpy="1.0")) == ""
    assert "depends on numpy<2" in maker.resolves(pins(keras="3.1", numpy="2.0"))
    assert [path.name for path in maker.folder.iterdir()] == ["cache"]


@pytest.mark.slow
def test_an_index_that_is_away_says_nothing_of_what_can_be_installed(maker, monkeypatch):
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    maker.folder.mkdir()
    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1:9"):
        maker.resolves(pins(torch="2.0"))


@pytest.mark.slow
def test_one_command_at_a_time_uses_a_folder(maker):
    """What one does not need may be removed while the other measures in it."""
    maker.make(pins(numpy="1.0"))
    with pytest.raises(EnvironmentProblem, match="another command uses these environments"):
        Maker(maker.folder, LOTS, said.append).make(pins(numpy="1.0"))


@pytest.mark.slow
def test_room_is_made_by_removing_what_is_not_needed(maker, monkeypatch):
    """The limit holds; what an environment stands beside stays."""
    monkeypatch.setattr(making, "SMALL", 20_000)
    first, second = pins(numpy="1.0"), pins(numpy="2.0")
    maker.make(first)
    maker.make(second)
    maker.disk = taken(maker.folder) + 10_000
    maker.make(pins(keras="3.1"), beside=[second])
    there = {path.parent.name for path in maker.folder.glob("*/pyvenv.cfg")}
    assert there == {title(second), title(pins(keras="3.1"))}
    assert f"removing {title(first)} to make room" in said


def test_no_room_is_told_before_anything_is_made(maker):
    maker.disk = 10**9
    words = r"torch2\.0: may need 6\.5 GB, and \S+ GB of --disk 1\.0 GB are left"
    with pytest.raises(EnvironmentProblem, match=words):
        maker.make(pins(torch="2.0"))


def test_a_full_disk_is_told_before_anything_is_made(maker, monkeypatch):
    usage = shutil.disk_usage(maker.folder.parent)._replace(free=10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(EnvironmentProblem, match=r"0\.1 GB of --disk 100\.0 GB are left"):
        maker.make(pins(numpy="1.0"))


@pytest.mark.slow
def test_releases_are_sorted_as_versions_are(wheels):
    assert making.releases("keras", OWN) == ["3.1", "3.10"]
    with pytest.raises(EnvironmentProblem, match=r"no_such: No matching distribution found"):
        making.releases("no_such", OWN)


def test_files_of_two_names_are_counted_once(tmp_path):
    (tmp_path / "one").write_bytes(b"x" * 10_000)
    alone = taken(tmp_path)
    os.link(tmp_path / "one", tmp_path / "two")
    assert taken(tmp_path) == alone >= 10_000


def test_workers_always_have_numpy():
    assert requirements({"python": "3.12", "torch": "2.0"}) == ["torch==2.0", "numpy"]
    assert requirements({"python": "3.12", "numpy": "1.0"}) == ["numpy==1.0"]


def test_the_largest_packages_make_the_size():
    assert size({"torch": "2.0", "tensorflow": "2.21"}) > SIZES["torch"] + SIZES["tensorflow"]


def test_a_complaint_is_one_line():
    text = "  × No solution found when resolving dependencies:\n  ╰─▶ Because there is no version\n"
    assert why(text + "      of keras==9.9") == "Because there is no version of keras==9.9"
    assert why("error: disk full\n") == "disk full"
    assert why("") == "uv failed and printed no message"


def test_a_mark_of_other_pins_is_none(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    (tmp_path / MARK).write_text(json.dumps(pins(keras="3.1")))
    assert making.made(Path(tmp_path), pins(keras="3.1"))
    assert not making.made(Path(tmp_path), pins(keras="3.10"))
