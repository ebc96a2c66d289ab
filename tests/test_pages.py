"""The figures in README.md and docs/choosing.md are those of the recorded run."""

import json
import re
from html import escape

import pytest
from PIL import Image

from benchmarks.commands import museum
from benchmarks.reporting import explained
from benchmarks.reporting.answers import result_table
from tests.test_report import made
from tools import charts, pages, parity_table


@pytest.mark.parametrize("page", pages.PAGES)
def test_figures_on_a_page_are_the_recorded_ones(page):
    """Otherwise: python -m tools.pages write."""
    text = (pages.ROOT / page).read_text(encoding="utf-8")
    assert pages.filled(text) == text
    assert re.search(r"<!-- \w+ -->\n+.*\n", text)


@pytest.mark.parametrize("page", pages.PAGES)
def test_tables_have_a_cell_for_each_heading_and_no_heading_twice(page):
    text = (pages.ROOT / page).read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
        headings = [heading.strip() for heading in rows[0]]
        assert {len(row) for row in rows} == {len(headings)}, headings
        assert len({*headings}) == len(headings), headings


def test_charts_are_of_the_recorded_data():
    """Otherwise: python -m tools.pages write. Each is shown on a page, and no other is there."""
    drawn = pages.drawn()
    shown = {
        (page.parent / path).resolve()
        for page in (pages.ROOT / name for name in pages.PAGES)
        for path in re.findall(r"!\[.*\]\((.*\.svg)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {*drawn} == {*pages.DOCS.rglob("*.svg")} - {pages.DOCS / "measured.svg"}
    for file, (_, data) in drawn.items():
        assert charts.is_of(file, data), file.name


def test_a_stale_chart_is_noticed(tmp_path):
    rows = [(0.0, 0.98, 1.02, False), (0.1, 1.05, 1.12, True)]
    path = tmp_path / "measured.svg"
    charts.write(path, charts.sessions, rows)
    assert charts.is_of(path, rows)
    assert not charts.is_of(path, rows[:1])


def test_the_same_chart_is_the_same_file(tmp_path):
    for folder in ("one", "other"):
        charts.write(tmp_path / folder / "growth.svg", charts.growth, pages.growing())
    one, other = tmp_path.glob("*/growth.svg")
    assert one.read_bytes() == other.read_bytes()


def test_a_chart_of_causes_has_every_knob():
    found = pages.moved()
    for trial, every in explained.in_order(found).items():
        drawn = (pages.CHARTS / f"{charts.file_name(trial)}.svg").read_text(encoding="utf-8")
        for one in every:
            name = escape(explained.TITLES[one.knob].replace("`", ""), quote=False)
            assert not one.sides or f"{name}</text>" in drawn


def test_the_table_of_parity_has_the_worst_answer_to_what_was_asked():
    answers = {
        "float64 Adam": [1e-14, "loss"],
        "float64 AdamW": [3e-13, "weights"],
        "float32 Adam": [1e-6, "weights"],
    }
    rows = {"keras_jax": {"mlp": answers}, "pytorch_eager": {"lstm": answers}}
    lines = parity_table.table(rows, ["float64 Adam", "float64 AdamW"])
    assert lines[2:] == [
        "| keras_jax | 3e-13 weights |  |",
        "| pytorch_eager |  | 3e-13 weights |",
    ]


def test_a_stale_figure_is_noticed():
    """A block is replaced as a whole, what is around it is kept."""
    text = (pages.ROOT / "README.md").read_text(encoding="utf-8")
    stale = re.sub(r"(<!-- results -->\n)", r"\g<1>| a tie |\n", text)
    assert stale != text
    assert pages.filled(stale) == text


def test_a_block_that_nobody_writes_is_refused():
    """In words, with those that there are."""
    with pytest.raises(ValueError, match="<!-- wishes -->: no such block; there are results, "):
        pages.filled("<!-- wishes -->\n<!-- end of wishes -->")


def test_a_recorded_run_gives_the_same_answers(tmp_path, monkeypatch):
    """To the digits that are shown, without the name of the machine."""
    run = made() | {"commit_info": {"id": "0"}}
    run["machine_info"]["node"] = "secret"
    for row in run["benchmarks"]:
        row["extra_info"]["cpu_seconds"] = []
    (tmp_path / "run.json").write_text(json.dumps(run))
    monkeypatch.setattr(pages, "RUN", tmp_path / "run.json.gz")
    pages.record(tmp_path / "run.json")
    kept = pages.recorded()
    assert result_table(kept) == result_table(run)
    assert "secret" not in json.dumps(kept)
    assert "commit_info" not in kept


def test_the_picture_of_the_report_is_one():
    """In the README, and large enough to be read."""
    assert f"docs/{pages.PICTURE.name}" in (pages.ROOT / "README.md").read_text(encoding="utf-8")
    with Image.open(pages.PICTURE) as picture:
        assert picture.width >= 1000
        darkest, lightest = picture.convert("L").getextrema()
        assert lightest - darkest > 150


def test_what_compiling_costs_is_in_the_recorded_run():
    """The table of first calls has the pair and somebody who compiles."""
    text = "\n".join(pages.compiling())
    assert "| Keras |" in text
    assert "| PyTorch |" in text
    assert "starts first" in text


@pytest.mark.parametrize("package", pages.packages_with_history())
def test_a_chart_of_releases_has_all_that_were_measured(package):
    """Otherwise: python -m tools.pages write."""
    drawn = (pages.HISTORY / f"{package}.svg").read_text(encoding="utf-8")
    timeline = pages.timeline(package)
    assert len(timeline.measured()) > 3
    for name in (*timeline.measured(), *(row.split("[")[1].split("-")[0] for row in timeline.rows)):
        assert f">{name}</text>" in drawn


def test_the_chart_of_growth_has_every_batch_size():
    drawn = (pages.HISTORY.parent / "growth.svg").read_text(encoding="utf-8")
    for row in pages.growing().rows:
        assert row.architecture in drawn
        for size in row.sizes():
            assert f">{size:,}</text>" in drawn


def test_the_museum_found_nearly_all_and_called_no_control():
    """The recorded sessions are of the exhibits that museum.toml has now."""
    seen = {one.name: one for one in pages.seen().seen}
    chosen = museum.exhibits()
    assert [one.name for one in chosen if tuple(seen[one.name].session) != one.session] == []
    missed = [one.name for one in chosen if not museum.right(one, seen[one.name])]
    assert not [name for name in missed if "control" in name]
    assert len(missed) <= 2
