"""The page that shows the pair in two columns: fresh, complete, and true to the code beside it."""

import ast
import re

import pytest

from benchmarks.__main__ import main
from benchmarks.reporting import side_by_side
from mnist_models.implementations import PAIR


def test_the_page_is_fresh():
    """docs/side_by_side.md is what the pair's files give."""
    stale = f"docs/side_by_side.md is stale: {side_by_side.COMMAND}"
    assert side_by_side.PAGE.read_text(encoding="utf-8") == side_by_side.markdown(), stale


def defined(text):
    """The functions of a file, wherever they are."""
    return [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", PAIR)
def test_every_function_is_shown_once_or_left_out(name):
    """Nothing of the pair is forgotten, and nothing is both shown and left out."""
    column = "keras" if name == PAIR[0] else "pytorch"
    shown = [each for one in side_by_side.sections() for each in defined(getattr(one, column))]
    everything = defined(side_by_side.source(name))
    assert sorted([*shown, *side_by_side.LEFT_OUT]) == sorted(everything)
    page = side_by_side.markdown()
    assert [page.count(f"def {each}(") for each in shown] == [2] * len(shown)  # one in each column


@pytest.mark.parametrize("name", PAIR)
def test_the_code_is_the_files(name):
    """Line by line, but for what it is indented by."""
    column = "keras" if name == PAIR[0] else "pytorch"
    lines = {line.strip() for line in side_by_side.source(name).splitlines()}
    shown = [
        line.strip()
        for one in side_by_side.sections()
        for line in getattr(one, column).splitlines()
    ]
    assert len(shown) > 40
    assert set(shown) <= lines


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


@pytest.fixture
def plant(monkeypatch):
    """A function that changes the source of one of the pair."""

    def change(name, old, new):
        texts = {one: side_by_side.source(one) for one in PAIR}
        assert old in texts[name]
        texts[name] = texts[name].replace(old, new)
        monkeypatch.setattr(side_by_side, "source", texts.__getitem__)

    return change


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (PAIR[0], "shuffle=False", "shuffle=True"),
        (PAIR[1], "self.optimizer.zero_grad()\n", "pass\n"),
        (PAIR[1], "# Convolutions in PyTorch", "# Layers in PyTorch"),
    ],
)
def test_a_stale_page_is_noticed(plant, name, old, new):
    """One changed line or comment of the pair makes another page; what to do is said."""
    plant(name, old, new)
    with pytest.raises(AssertionError, match="python -m benchmarks side_by_side --write"):
        test_the_page_is_fresh()


@pytest.mark.parametrize("name", PAIR)
def test_a_function_that_nobody_shows_is_noticed(plant, name):
    """One that is added to the pair must be shown or left out for a reason."""
    plant(name, "    def synchronize", "    def save(self):\n        pass\n\n    def synchronize")
    with pytest.raises(AssertionError, match="save"):
        test_every_function_is_shown_once_or_left_out(name)


def test_a_note_on_what_is_gone_is_noticed(plant):
    """A renamed call leaves no note behind that speaks of the old one."""
    plant(PAIR[1], "torch.inference_mode", "torch.no_grad")
    with pytest.raises(AssertionError, match="inference_mode"):
        test_notes_speak_of_the_code_beside_them()


def test_code_that_is_not_the_files_is_noticed(monkeypatch):
    """Such as code that somebody polished for the page."""
    sections = side_by_side.sections()
    sections[2] = sections[2]._replace(pytorch=sections[2].pytorch.replace("self.", ""))
    monkeypatch.setattr(side_by_side, "sections", lambda: sections)
    with pytest.raises(AssertionError):
        test_the_code_is_the_files(PAIR[1])
