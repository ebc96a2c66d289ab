"""The page that shows the pair in two columns: fresh, complete, and true to the code beside it."""

import ast
import re

import pytest

from benchmarks.__main__ import main
from benchmarks.reporting import side_by_side
from mnist_models import networks


def test_the_page_is_fresh():
    """docs/side_by_side.md is what the pair's files give."""
    stale = f"docs/side_by_side.md is stale: {side_by_side.COMMAND}"
    assert side_by_side.PAGE.read_text(encoding="utf-8") == side_by_side.markdown(), stale


FILES = [(side, file) for side, files in side_by_side.CODE.items() for file in files] + [
    (side, f"networks/{name}/in_{side}.py")
    for name in networks.names()
    for side in ("keras", "pytorch", "numpy")
]


def defined(text):
    """The functions of a file, wherever they are."""
    return [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize(("side", "file"), FILES)
def test_every_function_is_shown_or_left_out(side, file):
    """Nothing of the pair is forgotten, and nothing is both shown and left out."""
    shown = {name for one in side_by_side.sections() for name in defined(getattr(one, side) or "0")}
    functions = set(defined(side_by_side.source(file)))
    assert functions <= shown | side_by_side.LEFT_OUT.keys()
    assert not shown & side_by_side.LEFT_OUT.keys()


@pytest.mark.parametrize("side", ["keras", "pytorch", "numpy"])
def test_the_code_is_the_files(side):
    """Line by line, but for what it is indented by."""
    texts = [side_by_side.source(file) for whose, file in FILES if whose == side]
    lines = {line.strip() for text in texts for line in text.splitlines()}
    shown = [
        line.strip() for one in side_by_side.sections() for line in getattr(one, side).splitlines()
    ]
    assert len(shown) > 30
    assert set(shown) <= lines


def test_a_network_is_shown_whole():
    """All three files, in the page as in the sections."""
    page = side_by_side.markdown()
    for name in networks.names():
        for side in ("keras", "pytorch", "numpy"):
            text = side_by_side.source(f"networks/{name}/in_{side}.py")
            assert side_by_side.without_docstring(text) in page


def test_notes_speak_of_the_code_beside_them():
    """A name in backticks is in one of the two columns."""
    names = [
        (section, name)
        for section in side_by_side.sections()
        for name in re.findall("`(.+?)`", section.note)
    ]
    assert len(names) > 5
    assert [name for one, name in names if name not in one.keras + one.pytorch] == []


def test_the_command_prints_and_writes(capsys, monkeypatch, tmp_path):
    """The same page either way."""
    monkeypatch.setattr(side_by_side, "PAGE", tmp_path / "page.md")
    assert main(["side_by_side"]) == 0
    assert not side_by_side.PAGE.exists()
    assert main(["side_by_side", "--write"]) == 0
    assert side_by_side.PAGE.read_text(encoding="utf-8") == capsys.readouterr().out


# The checks above can fail


BODY, LOOP = side_by_side.CODE["keras"][1], side_by_side.CODE["pytorch"][0]
NETWORK = "networks/mlp/in_pytorch.py"


@pytest.fixture
def plant(monkeypatch):
    """A function that changes the source of a file."""

    def change(file, old, new):
        original = side_by_side.source
        assert old in original(file)
        monkeypatch.setattr(
            side_by_side,
            "source",
            lambda name: original(name).replace(old, new) if name == file else original(name),
        )

    return change


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (BODY, "shuffle=False", "shuffle=True"),
        (LOOP, "self.optimizer.zero_grad()\n", "pass\n"),
        (LOOP, "# Convolutions in PyTorch", "# Layers in PyTorch"),
        (NETWORK, "512", "256"),
    ],
)
def test_a_stale_page_is_noticed(plant, file, old, new):
    """One changed line or comment of the pair makes another page; what to do is said."""
    plant(file, old, new)
    with pytest.raises(AssertionError, match="python -m benchmarks side_by_side --write"):
        test_the_page_is_fresh()


@pytest.mark.parametrize(("side", "file"), [("keras", BODY), ("pytorch", LOOP)])
def test_a_function_that_nobody_shows_is_noticed(plant, side, file):
    """One that is added to the pair must be shown or left out for a reason."""
    plant(file, "    def reset", "    def save(self):\n        pass\n\n    def reset")
    with pytest.raises(AssertionError, match="save"):
        test_every_function_is_shown_or_left_out(side, file)


def test_a_note_on_what_is_gone_is_noticed(plant):
    """A renamed call leaves no note behind that speaks of the old one."""
    plant(LOOP, "torch.inference_mode", "torch.no_grad")
    with pytest.raises(AssertionError, match="inference_mode"):
        test_notes_speak_of_the_code_beside_them()


def test_code_that_is_not_the_files_is_noticed(monkeypatch):
    """Such as code that somebody polished for the page."""
    sections = side_by_side.sections()
    sections[-1] = sections[-1]._replace(pytorch=sections[-1].pytorch.replace("self.", ""))
    monkeypatch.setattr(side_by_side, "sections", lambda: sections)
    with pytest.raises(AssertionError):
        test_the_code_is_the_files("pytorch")
