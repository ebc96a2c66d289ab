"""The verdict on two rows of one session, which terminal, page and README word alike."""

import json
from copy import deepcopy

import pytest

from benchmarks.comparing.pair import Side, judge_pair
from benchmarks.comparing.verdicts import FOREIGN
from benchmarks.reporting import charts, tables, terminal
from benchmarks.reporting.answers import contests, result_table
from benchmarks.reporting.page import TAXED, Report
from mnist_models.implementations import PAIR
from tests.test_report import contest, made, texts
from tests.test_statistics import SMOOTH, STEP, duel, make_results, shown

KERAS, PYTORCH = PAIR
DISTURBED = FOREIGN + 0.01


def row(seconds, disturbed=(), void=False, share=DISTURBED):
    """A side with one sample a block, and a foreign share above the limit in some blocks."""
    blocks = {block: [value] for block, value in enumerate(seconds)}
    return Side(blocks, dict.fromkeys(disturbed, share), void)


def disturb(run, operation="train_step", blocks=(1, 2, 4)):
    """The run with others at work in some blocks of one operation, with two of lenet5's trials."""
    run = deepcopy(run)
    for one in run["benchmarks"]:
        if one["extra_info"]["operation"] == operation:
            one["extra_info"]["foreign_cpu"] = {str(block): DISTURBED for block in blocks}
    return run


@pytest.mark.parametrize(
    ("first", "second", "outcome", "winner"),
    [
        (row([1.0] * 6), row([2.0] * 6), "faster", 0),
        (row([2.0] * 6), row([1.0] * 6), "faster", 1),
        (row([1.0] * 6), row([1.0] * 6), "no difference found", None),
        (row([0.9, 1.1] * 3), row([1.0] * 6), "no difference found", None),
        (row([1.0] * 5), row([2.0] * 5), "no verdict", None),
        (row([1.0] * 6, (1, 2)), row([2.0] * 6), "contaminated", None),
        (row([1.0] * 6), row([2.0] * 6, (1, 2)), "contaminated", None),
        (row([0.9, 1.1] * 3, (1, 2)), row([1.0] * 6), "contaminated", None),
        (row([1.0] * 6, (3,)), row([2.0] * 6), "faster", 0),
        (row([1.0] * 6, (7, 8)), row([2.0] * 6), "faster", 0),
        (row([1.0] * 6, range(6)), row([1.0] * 6), "no difference found", None),
        (row([1.0] * 6, range(6), share=0.3), row([1.0] * 6), "contaminated", None),
        (row([1.0] * 6, range(6), void=True), row([2.0] * 6), "void", None),
        (row([1.0] * 6), row([2.0] * 6, void=True), "void", None),
    ],
)
def test_outcomes_of_a_pair(first, second, outcome, winner):
    """Others can make equal times look different; heavy load makes different ones look equal."""
    found = judge_pair(first, second)
    assert (found.outcome, found.winner) == (outcome, winner)
    back = judge_pair(second, first)
    assert (back.outcome, back.winner) == (outcome, winner if winner is None else 1 - winner)


WORDS = (
    "contaminated: other programs used the CPUs in 3 of 6 blocks; Keras/PyTorch 0.50 [0.50, 0.50]"
)


def test_foreign_load_reaches_the_headline_of_the_panel():
    """Who was disturbed in three of six blocks wins nothing, and the ratio is information."""
    results = duel([1.0] * 6, [2.0] * 6)
    for record in results.journal.records:
        for entry in record.get("results", {}).values():
            entry["foreign_cpu"] = DISTURBED if record["block"] in (1, 2, 4) else 0.0
    text = shown(results)
    assert WORDS in text
    assert "faster" not in text


def test_foreign_load_reaches_page_summary_and_readme():
    """The same words as in the panel; the README's table is the summary's."""
    run = disturb(made())
    assert contest(run).answer().startswith(WORDS[:-19])
    assert contest(run, "forward").answer().startswith("no difference found")
    assert "PyTorch is 2.2" in contest(run, "epoch").answer()
    steps = [line for line in result_table(run) if line.startswith("| training step")]
    assert all(
        "contaminated: other programs used the CPUs in 3 of 6 blocks" in line for line in steps
    )
    html = Report("here", run, {}).html()
    assert (
        "contaminated: other programs used the CPUs in 3 of 6 blocks"
        in html.split('id="figures"')[0]
    )


def test_what_is_contaminated_is_nobodys_victory():
    """Neither the fastest of all, nor what pays, nor a tax is concluded from it."""
    found = contest(disturb(made()))
    assert found.fastest() is None
    assert {row.name: found.pays_after(row) for row in found.rows}[KERAS] == "contaminated"
    table = tables.operation("train_step", [found], None)
    assert "contaminated" in [line[8].text for line in table.rows if line[1].text == "Keras"]


def test_charts_show_contaminated_rows_in_grey_and_say_so():
    """A series of its own, with another symbol, named in the text below."""
    run = disturb(made())
    chart = charts.ratios(contests(run))
    series = {one["name"]: one for one in chart.data}
    assert list(series) == ["forward pass", "epoch", charts.CONTAMINATED]
    assert series[charts.CONTAMINATED]["marker"]["color"] == "#7F7F7F"
    assert len(series[charts.CONTAMINATED]["x"]) == 2
    assert "contaminated" in chart.text
    clean = charts.ratios(contests(made()))
    assert "contaminated" not in json.dumps([clean.data, clean.text])
    over = charts.versions({"new": run, "old": made()})
    step, *_ = over.data
    assert [color == "#7F7F7F" for color in step["marker"]["color"]] == [True, False]
    assert step["hovertext"][0].startswith("contaminated")
    assert "contaminated" in over.text


@pytest.mark.parametrize(
    ("keras", "disturbed", "words"),
    [
        ([1.5] * 6, False, "Keras tax keras_torch/PyTorch 1.50 [1.50, 1.50]"),
        (
            [0.98, 0.9, 0.98, 0.98, 0.98, 1.1],
            False,
            "Keras tax no difference found: at most keras_torch 1.11× or PyTorch 1.10× faster",
        ),
        (
            [1.5] * 6,
            True,
            "Keras tax contaminated: other programs used the CPUs in 6 of 6 blocks; "
            "keras_torch/PyTorch 1.50 [1.50, 1.50]",
        ),
    ],
)
def test_a_keras_tax_is_a_figure_only_where_there_is_one(keras, disturbed, words):
    """An interval across 1 is no tax, and what others disturbed is none, either."""
    more = {"foreign_cpu": DISTURBED} if disturbed else {}
    names = TAXED[0]
    rows = {(STEP, names[0]): (keras, more), (STEP, names[1]): ([1.0] * 6, more)}
    assert words in shown(make_results(rows))


def test_the_pages_tax_table_has_the_verdicts_words():
    """Beside the figures, which alone would look like findings."""
    run = made()
    for one in run["benchmarks"]:
        info = one["extra_info"]
        if info["implementation"] == "pytorch_compiled":
            info["implementation"] = "keras_torch"
            one["stats"]["data"] = [value * 4 for value in one["stats"]["data"]]
    steps = [found for found in contests(run) if found.operation == "train_step"]
    for row in texts(tables.tax(steps, TAXED)):
        assert row[-1] == "no difference found: at most keras_torch 1.00× or PyTorch 1.00× faster"


def test_terminal_and_page_word_the_same_verdict_alike():
    """From the same samples: the panel's headline is the page's answer."""
    facts = {"versions": {}, "python": "3", "in_force": {}, "conventions": SMOOTH}
    more = {"facts": facts, "compilation": "none", "recipe": {}, "first_call_seconds": 1.0}
    rows = {(STEP, KERAS): ([1.0, 1.1, 1.2] * 2, more), (STEP, PYTORCH): ([1.05] * 6, more)}
    results = make_results(rows)
    (found,) = contests(results.run({}))
    assert terminal.verdict(terminal.contest(results, STEP)).plain == found.answer()
