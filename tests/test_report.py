"""The page and the summary: what they answer, from saved runs alone, and how they behave."""

import json
import re
from copy import deepcopy
from dataclasses import replace
from html import unescape
from itertools import product
from math import inf
from time import perf_counter

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.commands.report import report as write_report
from benchmarks.comparing.saved import by_name
from benchmarks.reporting import charts, pictures, tables
from benchmarks.reporting.answers import RETURNED, contests, result_table
from benchmarks.reporting.page import Report
from benchmarks.trial import Trial
from mnist_models.implementations import PAIR
from tools.pages import BROWSERS, find_browser

KERAS, PYTORCH = PAIR
HOSTILE = "\"'><script>alert(1)</script>|</script><img src=x onerror=alert(2)>"
MILLISECONDS = {
    "train_step": {KERAS: 1.0, PYTORCH: 2.0, "pytorch_compiled": 0.5, "numpy_reference": 9.0},
    "forward": {KERAS: 1.0, PYTORCH: 1.0, "numpy_reference": 3.0},
    "epoch": {KERAS: 900.0, PYTORCH: 400.0},
}
FIRST_CALLS = {KERAS: 0.4, PYTORCH: 0.1, "pytorch_compiled": 9.1, "numpy_reference": 0.01}


def record(trial, name, seconds, random, session, versions, machine=1.0):
    """A saved row of six blocks of four samples, with 0.1 % of noise."""
    noise = np.exp(random.normal(0, 0.001, 24))
    return {
        "name": f"test_{str(trial)[:-1]}-{name}]",
        "stats": {"data": list(seconds * machine * noise)},
        "extra_info": {
            "schema": 1,
            "session": session,
            "trial": str(trial),
            "operation": trial.operation,
            "architecture": trial.architecture,
            "batch_size": trial.batch_size,
            "device": trial.device,
            "implementation": name,
            "environment": "here",
            "versions": versions,
            "python": "3.12.1",
            "in_force": {"threads": 1, "precision": "float32", "compilation": "eager"},
            "recipe": {"batch_size": 128},
            "dataset": {"name": "mnist", "sha256": "0" * 64},
            "blocks": [block for block in range(6) for _ in range(4)],
            "first_call_seconds": [FIRST_CALLS[name], *[FIRST_CALLS[name] / 100] * 5],
            "peak_memory_bytes": 500 * 2**20,
            "peak_memory_bytes_by_block": [500 * 2**20] * 6,
            "foreign_cpu": {},
            "cpu_seconds": list(0.8 * seconds * machine * noise),
            "screened_blocks": 6,
            "suspects": 0,
            "parity": {"logits": 1e-7},
            "accuracy": 0.97,
            "accuracy_bounds": [0.9, 0.99],
            "misread": [[3, 7, 1], [8, 4, 9]] if name == KERAS else [[3, 7, 2]],
            "moment": "trained",
        },
    }


def made(session="one", torch="2.15.0", machine=1.0, slower=1.0, seed=0):
    """A run of two networks. `machine` slows everything down, `slower` Keras alone."""
    random = np.random.default_rng(seed)
    rows = []
    for architecture, (operation, each) in product(("mlp", "lenet5"), MILLISECONDS.items()):
        for name, milliseconds in each.items():
            trial = Trial(operation, architecture, 128, "cpu")
            seconds = milliseconds / 1000 * (slower if name == KERAS else 1)
            versions = {"torch": torch, "numpy": "2.5.5"}
            rows.append(record(trial, name, seconds, random, session, versions, machine))
    grey = np.zeros((28, 28), np.uint8)
    return {
        "machine_info": {"cpu": {"brand_raw": "Imaginary CPU", "count": 2}, "system": "Linux"},
        "datetime": "2026-11-20T10:00:00",
        "benchmarks": rows,
        "void": [],
        "not_measured": {"test_forward[mlp-b128-cpu-keras_jax]": "dropped"},
        "dataset": {
            "name": "mnist",
            "sha256": "0" * 64,
            "fallback": "",
            "train_counts": [6000] * 10,
            "test_counts": [1000] * 10,
            "mean": 0.1307,
            "deviation": 0.3081,
            "samples": pictures.png(grey),
            "pictures": {"3": pictures.png(grey), "8": pictures.png(grey)},
        },
    }


def void(run, name, reason):
    """The run with a row moved to where rows are that do not count."""
    run = deepcopy(run)
    row = by_name(run)[name]
    run["benchmarks"].remove(row)
    run["void"].append(row | {"reasons": [reason]})
    return run


def contest(run, operation="train_step", architecture="lenet5"):
    """The one contest of an operation and an architecture."""
    (found,) = (c for c in contests(run) if (c.operation, c.place[0]) == (operation, architecture))
    return found


def page(run):
    """The page of a run without its scripts, as text."""
    return Report("here", run, {}).html().split('<script id="figures"')[0]


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


# What it answers


def test_the_answer_names_winner_factor_interval_and_accuracy():
    """Which is faster for LeNet-5's training step, by how much, how sure, how good."""
    found = contest(made())
    assert re.fullmatch(r"Keras is 2\.00× faster \[(1\.99|2\.00), 2\.0[01]\]", found.answer())
    assert found.accuracies() == "Keras 97.00%, PyTorch 97.00%"
    assert re.match(r"PyTorch is 2\.2\d× faster", contest(made(), "epoch").answer())


def test_no_difference_is_an_answer():
    """Equal times are no victory for anybody."""
    answer = contest(made(), "forward").answer()
    assert answer == "no difference found: at most Keras 1.00× or PyTorch 1.00× faster"


def test_too_few_blocks_give_no_verdict():
    """Five blocks cannot have an interval."""
    run = made()
    for row in run["benchmarks"]:
        row["stats"]["data"] = row["stats"]["data"][:20]
        row["extra_info"]["blocks"] = row["extra_info"]["blocks"][:20]
    assert contest(run).answer().startswith("no verdict: 5 of 6 blocks, Keras/PyTorch 0.50")


def test_a_void_row_wins_nothing_and_is_struck_out_with_its_reason():
    """Fast but wrong: on the page, and beyond any verdict."""
    run = void(made(), "test_train_step[lenet5-b128-cpu-keras_tensorflow]", "learns nothing")
    assert contest(run).answer() == "void: Keras is void"
    text = page(run)
    assert re.search(r"<del>(1 ms|99\d µs)</del>", text)
    assert "lenet5, batch 128, cpu, Keras: learns nothing" in text
    assert "<del>" not in page(made())


def test_compiling_pays_after_as_many_steps_as_its_first_call_costs_more():
    """9 s more, 1.5 ms less a step: 6000 steps; PyTorch starts first; who is slower never does.

    What later processes find in a cache is not what compiling costs.
    """
    found = contest(made())
    after = {row.name: found.pays_after(row) for row in found.rows}
    assert after[PYTORCH] == 0
    assert after["pytorch_compiled"] == pytest.approx(6000, rel=0.01)
    assert after[KERAS] == pytest.approx(300, rel=0.01)
    assert after["numpy_reference"] is None
    slow = contest(made(slower=3))
    assert {r.name: slow.pays_after(r) for r in slow.rows}[KERAS] == inf
    same = contest(made(), "forward")
    assert {r.name: same.pays_after(r) for r in same.rows}[KERAS] == "no difference found"


def test_fastest_of_all_beats_both_of_the_pair_for_sure():
    """Neither the reference nor who is only just ahead."""
    assert contest(made()).fastest().name == "pytorch_compiled"
    assert contest(made(), "forward").fastest() is None
    run = made()
    for row in run["benchmarks"]:
        if row["extra_info"]["implementation"] in ("pytorch_compiled", "numpy_reference"):
            factor = {"pytorch_compiled": 1.995, "numpy_reference": 0.01}
            data = row["stats"]["data"]
            data[:] = [value * factor[row["extra_info"]["implementation"]] for value in data]
    assert contest(run).fastest() is None


def test_tables_have_every_row_and_figure():
    """Time, images per second, first call, accuracy of each implementation; no constant column."""
    table = tables.operation("train_step", [contest(made())], None)
    names = ["Keras", "PyTorch", "pytorch_compiled", "numpy_reference"]
    assert [row[1].text for row in table.rows] == names
    rate, busy, first, later, pays, accuracy = (cell.text for cell in table.rows[2][4:])
    assert 250_000 < float(rate.replace(",", "")) < 260_000
    assert (busy, first, later, accuracy) == ("80%", "9.1 s", "91 ms to 91 ms", "97.00%")
    assert float(pays.replace(",", "")) == pytest.approx(6000, rel=0.01)
    epochs = tables.operation("epoch", [contest(made(), "epoch")], 60_000)
    assert epochs.headings[4] == "call returned after"
    assert 66_000 < float(epochs.rows[0][5].text.replace(",", "")) < 67_000
    two = [replace(contest(made()), place=("lenet5", size, "cpu")) for size in (32, 128)]
    assert tables.operation("train_step", two, None).headings[:2] == ("network", "batch")


def test_parity_that_does_not_hold_is_called_broken():
    """The certificate is computed, not claimed."""
    run = made()
    assert {row[-1].text for row in tables.certificate(run).rows} == {"holds"}
    run["benchmarks"][0]["extra_info"]["parity"]["logits"] = 1e-3
    assert texts(tables.certificate(run))[0][-1] == "broken"


def counting(run, name, **counted):
    """The run, in which one row has counted something."""
    for row in run["benchmarks"]:
        if row["name"] == name:
            count = len(row["stats"]["data"])
            row["extra_info"]["counted"] = {key: [n] * count for key, n in counted.items()}
            # So long that the kernel's ticks tell its share.
            row["extra_info"]["iterations"] = {str(block): 10_000 for block in range(count)}
    return run


def test_a_cause_that_matters_is_on_the_card_and_in_the_table():
    """Much of PyTorch's time in the kernel, with page faults: said with its remedy."""
    name = "test_train_step[lenet5-b128-cpu-pytorch_eager]"
    run = counting(made(), name, minor_faults=2300.0, kernel_seconds=0.0006)
    said = "PyTorch: 2,300 page faults per training step: the kernel takes 30% of the time"
    text = page(run)
    assert text.count(said) == 1
    assert "MALLOC_TRIM_THRESHOLD_" in text
    [row] = Report("here", run, {}).causes().rows
    assert [cell.text for cell in row[1:3]] == ["PyTorch", "2,300.0"]
    assert row[-1].text.startswith("page faults: 2,300 page faults")


def test_rows_without_counters_have_no_causes():
    """Runs of before, and what counted nothing."""
    assert Report("here", made(), {}).causes().rows == []
    assert "beside the clock" not in page(made())


def test_older_epochs_rank_nobody():
    """They were timed until the call returned, and the summary says so."""
    run = made()
    assert not any("do not compare these epochs" in line for line in result_table(run))
    assert RETURNED not in unescape(Report("here", run, {}).html())
    for row in run["benchmarks"]:
        row["extra_info"].pop("moment")
    assert any("do not compare these epochs" in line for line in result_table(run))
    assert unescape(Report("here", run, {}).html()).count(RETURNED) == 2


def test_what_is_misread_is_told_digit_by_digit():
    """The confusion of each, what both misread first, and what each made of it."""
    (mlp, _) = Report("here", made(), {}).learned()
    assert mlp.counts() == "Keras 2, PyTorch 1: 1 by Keras alone, 1 by both"
    assert {group: [*images] for group, images in mlp.groups.items()} == {
        "by both": [3],
        "by Keras alone": [8],
    }
    assert [[mlp.read(row, image) for row in mlp.rows] for image in (3, 8)] == [[1, 2], [9, 4]]
    keras, _ = mlp.confusions()
    assert texts(keras)[7] == ["7", "·", "1", *"········", "1"]


def test_nobodys_mistakes_are_shown_more_often_than_anothers():
    """Both's, one's and the other's in turn, and all there are where a group runs out."""

    class Epoch:
        valid = True
        trial = Trial("epoch", "mlp", 128, "cpu")

        def __init__(self, name, images):
            self.name, self.entries = name, {0: {"misread": [[i, 1, 2] for i in images]}}

    one, other = Epoch("one", range(100)), Epoch("other", [*range(50, 100), 200, 201])
    found = pictures.misread([one, other])["mlp"]
    assert len(found) == pictures.SHOWN
    alone, both = [i for i in found if i < 50], [i for i in found if 50 <= i < 100]
    assert (len(alone), len(both), found[2], found[5]) == (11, 11, 200, 201)


def test_pictures_are_dark_ink_on_white(tmp_path):
    """Pixels of 0 are paper; the PNG file gives back what went in."""
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)
    from base64 import b64decode

    (tmp_path / "one.png").write_bytes(b64decode(pictures.png(pixels)))
    assert np.array_equal(255 - np.asarray(Image.open(tmp_path / "one.png")), pixels)


def test_what_is_said_to_a_mistake_is_told_in_a_few_words():
    """Error or silence, whether the culprit is named, what it costs."""
    said = {"outcome": "error", "exception": "ValueError", "message": "no", "accuracy_cost": None}
    silent = {"outcome": "silent", "exception": None, "message": None, "accuracy_cost": 73}
    silent |= {"accuracy_least": 9, "accuracy_most": 11}
    mistake = {
        "title": "a mistake",
        "keras": said | {"names_culprit": False},
        "pytorch": silent | {"names_culprit": None},
    }
    control = {"accuracy": 83, "accuracy_least": 80, "accuracy_most": 86}
    table = tables.told({"mistakes": [mistake], "control": {"keras": control, "pytorch": control}})
    assert "reach 83 % (80 to 86) and 83 % (80 to 86)" in table.notes[0]
    assert texts(table) == [
        [
            *("a mistake", "error, does not name the culprit", "ValueError: no"),
            *("silent, costs 73 points of accuracy (reaches 9 to 11 %)", ""),
        ]
    ]


def test_the_summary_is_a_table_of_all_answers():
    """Markdown with a line for each contest, and the circumstances below it."""
    head, _, *rows, _, below = result_table(made())
    assert head.startswith("|  | Keras | PyTorch |")
    assert len(rows) == 6
    assert all(row.count("|") == 6 for row in rows)
    machine = "Imaginary CPU, 2 CPUs, Linux, 1 thread(s), Python 3.12.1; numpy 2.5.5"
    assert below.startswith(f"Batch 128, cpu. {machine}")
    assert not any("batch 128" in row for row in rows)
    several = made()
    several["benchmarks"][0]["extra_info"]["batch_size"] = 64
    assert "| training step, lenet5, batch 128, cpu |" in "\n".join(result_table(several))


def test_runs_saved_before_there_was_a_page_have_one():
    """And those of a baseline's environment: without pictures, void rows and what was dropped."""
    run = {key: made()[key] for key in ("machine_info", "datetime", "benchmarks")}
    text = page(run)
    assert "Keras is 2.00× faster" in text
    assert 'id="data"' not in text


# Hostile names


def test_hostile_strings_are_harmless():
    """Wherever a name, a machine or a reason may stand: shown as text, run by nobody."""
    run = void(made(), "test_epoch[mlp-b128-cpu-keras_tensorflow]", HOSTILE)
    run["machine_info"]["cpu"]["brand_raw"] = HOSTILE
    run["not_measured"] = {HOSTILE: HOSTILE}
    run["dataset"] |= {"name": HOSTILE, "fallback": HOSTILE, "sha256": HOSTILE}
    for row in run["benchmarks"]:
        row["extra_info"]["versions"][HOSTILE] = HOSTILE
        row["extra_info"]["in_force"]["compilation"] = HOSTILE
        row["extra_info"]["architecture"] = HOSTILE
    report = Report(HOSTILE, run, {})
    html = report.html()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "<img src=x" in unescape(page(run))
    assert "<script" not in report.markdown()
    assert all(row.count(" | ") == 4 for row in result_table(run)[2:5])


# Several runs, and the command


def written(tmp_path, **runs):
    """Saved runs as files."""
    paths = []
    for name, run in runs.items():
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(run), encoding="utf-8")
    return paths


def test_a_page_of_three_versions_from_saved_files(tmp_path, capsys):
    """One command, under ten seconds; across time nothing is called more than a suspect."""
    newest = made("three", "2.15.0", slower=1.2)
    mid, old = made("two", "2.9.1", 1.5), made("one", "2.4.1")
    paths = written(tmp_path, new=newest, old=old, mid=mid)
    began = perf_counter()
    assert main(["report", *map(str, paths), "-o", str(tmp_path / "report")]) == 0
    assert perf_counter() - began < 10
    assert capsys.readouterr().out.strip() == str(tmp_path / "report" / "index.html")
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert len(html.encode()) < 6e6
    figures = json.loads(re.search(r'id="figures" type="application/json">(.*)</script>', html)[1])
    (first, *_) = figures["chart-versions"]["data"]
    assert first["x"] == ["here (old)", "here (mid)", "here (new)"]
    assert first["y"] == pytest.approx([0.5, 0.5, 0.6], rel=0.01)
    summary = (tmp_path / "report" / "summary.md").read_text(encoding="utf-8")
    assert summary.count("| SUSPECT |") >= 4
    assert "REGRESSED" not in summary


def test_every_chart_has_its_numbers_in_a_table(tmp_path):
    """Also for who cannot see it, and to be saved."""
    others = {"old": made("one", "2.4.1")}
    path = write_report({"new": made("two")} | others, 0.02, tmp_path / "report")
    html = path.read_text(encoding="utf-8")
    charts = re.findall(r'data-figure="chart-([^"]+)"', html)
    assert len(charts) == 1 + 6 + 1 + 2
    for key in charts:
        assert f'<table id="{key}">' in html
        assert f'data-table="{key}"' in html


def test_a_chart_shows_what_its_table_says():
    """Ratio and interval of each contest, within the axis, which has a tick at 1."""
    chart = charts.ratios(contests(made()))
    rows = [[cell.value for cell in row] for row in chart.table.rows]
    shown = []
    for series in chart.data:
        ends = series["error_x"]["arrayminus"], series["error_x"]["array"]
        shown += [(x, x - less, x + more) for x, less, more in zip(series["x"], *ends, strict=True)]
    assert np.allclose(shown, [row[3:6] for row in rows])
    axis = chart.layout["xaxis"]
    assert axis["range"][0] < np.log10(shown).min()
    assert axis["range"][1] > np.log10(shown).max()
    assert 1 in axis["tickvals"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.json"], "no such run"),
        (["new.json", "-o", "new.json"], "is a file; give a folder"),
        (["broken.json"], "is no saved run of this suite"),
    ],
)
def test_what_is_no_run_is_refused_in_words(tmp_path, monkeypatch, capsys, arguments, words):
    """With an exit status above 0, and nothing written."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, new=made(), broken={"benchmarks": 1})
    try:
        status = main(["report", *arguments])
    except SystemExit as ended:
        status = ended.code
    assert status > 0
    assert words in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_page_that_cannot_be_made_leaves_the_old_one(tmp_path, monkeypatch):
    """Nothing is half-written."""
    path = Report("here", made(), {}).write(tmp_path)
    before = path.read_text(encoding="utf-8")
    run = made()
    del run["dataset"]["mean"]
    with pytest.raises(Exception, match="mean"):
        Report("here", run, {}).write(tmp_path)
    assert path.read_text(encoding="utf-8") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "summary.md"]


# In a browser


@pytest.fixture(scope="session")
def browser():
    """The same, headless."""
    found = find_browser()
    if found is None:
        pytest.skip(f"no browser here: install one of {', '.join(BROWSERS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shown_path(tmp_path_factory):
    """A page with everything on it: three versions, a void row, hostile names."""
    run = void(made("three"), "test_epoch[mlp-b128-cpu-keras_tensorflow]", HOSTILE)
    run["machine_info"]["cpu"]["brand_raw"] = HOSTILE
    older = {HOSTILE: made("two", "2.9.1"), "oldest": made("one", "2.4.1")}
    return write_report({"newest": run} | older, 0.02, tmp_path_factory.mktemp("page"))


@pytest.fixture
def open_page(browser, shown_path):
    """A function that opens the page; nothing may be said on the console, or asked of a network."""
    said, asked, opened = [], [], []

    def start(path=shown_path, width=1400, scheme="light"):
        view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(view)
        view.on("console", lambda message: said.append(message.text))
        view.on("pageerror", lambda error: said.append(str(error)))
        view.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        view.on("request", lambda request: asked.append(request.url))
        view.goto(path.as_uri())
        view.wait_for_selector(".js-plotly-plot .plot-container")
        return view

    start.said, start.asked = said, asked  # type: ignore[attr-defined]
    yield start
    for view in opened:
        view.close()


# The width decides the layout, the scheme the colours.
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_the_page_is_sound_in_a_browser(open_page, shown_path, width, scheme):
    """No errors, no network, no sideways scrolling, nothing serious for accessibility."""
    from axe_playwright_python.sync_playwright import Axe

    view = open_page(width=width, scheme=scheme)
    for summary in view.query_selector_all("summary"):
        summary.click()
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(view).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    assert open_page.said == []
    elsewhere = [url for url in open_page.asked if not url.startswith(("data:", "blob:"))]
    assert elsewhere == [shown_path.as_uri()]


def test_faults_of_a_page_are_seen(open_page, shown_path, tmp_path):
    """The checks above are red for a page that throws, asks a network, or hides its labels."""
    from axe_playwright_python.sync_playwright import Axe

    html = shown_path.read_text(encoding="utf-8")
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    html = html.replace("</main>", '<img src="http://localhost:9/x.png"><input></main>')
    faulty = tmp_path / "faulty.html"
    faulty.write_text(html.replace("</body>", "<script>nothing()</script></body>"), "utf-8")
    view = open_page(faulty)
    found = Axe().run(view).response["violations"]
    assert {"image-alt", "label"} <= {v["id"] for v in found if v["impact"] == "critical"}
    assert any("nothing is not defined" in text for text in open_page.said)
    assert "http://localhost:9/x.png" in open_page.asked


def test_the_policy_of_the_page_forbids_the_network(open_page, shown_path, tmp_path):
    """Even if something on the page tried to."""
    html = shown_path.read_text(encoding="utf-8")
    reaching = tmp_path / "reaching.html"
    reaching.write_text(html.replace("</main>", '<img alt="" src="http://localhost:9/x"></main>'))
    open_page(reaching)
    assert any("Content Security Policy" in text for text in open_page.said)


def column(view, table, number):
    """The texts of a table's column, in rows that are shown."""
    rows = view.locator(f"#{table} tbody tr:visible")
    return [row.locator("th, td").nth(number).inner_text() for row in rows.all()]


def test_tables_sort_by_number_with_mouse_and_keyboard(open_page):
    """A click sorts up, Enter on the same heading sorts down; 9.1 s is more than 400 ms."""
    view = open_page()
    heading = view.locator("#operation-train_step thead th").nth(6)
    heading.locator("button").click()
    firsts = column(view, "operation-train_step", 6)
    assert firsts == sorted(firsts, key=["10 ms", "100 ms", "400 ms", "9.1 s"].index)
    assert heading.get_attribute("aria-sort") == "ascending"
    view.keyboard.press("Enter")
    assert column(view, "operation-train_step", 6) == firsts[::-1]
    assert heading.get_attribute("aria-sort") == "descending"
    pays = view.locator("#operation-train_step thead th").nth(8)
    for _ in range(2):
        pays.locator("button").click()
        assert column(view, "operation-train_step", 8)[-2:] == ["", ""]  # the reference's


def test_rows_can_be_filtered(open_page):
    """By any words of a row, all of which must be there; the count is said."""
    view = open_page()
    view.get_by_label("Show rows with").fill("lenet5 compiled")
    assert column(view, "operation-train_step", 1) == ["pytorch_compiled"]
    assert re.match(r"1 of \d+ rows", view.locator("[data-count]").inner_text())
    view.get_by_label("Show rows with").fill("")
    assert len(column(view, "operation-train_step", 1)) == 8


def test_a_tables_data_can_be_saved(open_page):
    """The rows that are shown, as CSV, numbers in full; what looks like a formula is none."""
    view = open_page()
    view.get_by_label("Show rows with").fill("mlp")
    table = "document.querySelector('#operation-train_step tbody tr th')"
    view.evaluate(f"{table}.dataset.value = '=1+1'")
    with view.expect_download() as waiting:
        view.locator('button.csv[data-table="operation-train_step"]').click()
    download = waiting.value
    assert download.suggested_filename == "operation-train_step.csv"
    text = download.path().read_bytes().decode()
    assert text[0] == "\ufeff"
    head, first, *rest = text[1:].splitlines()
    assert head.startswith('"network","implementation","runs as","time (s)"')
    assert first.startswith('"\'=1+1","Keras","eager",')
    assert float(first.split(",")[3].strip('"')) == pytest.approx(0.001, rel=0.01)
    assert len(rest) == 3


def test_everything_can_be_reached_by_keyboard(open_page):
    """Tab visits the link past the contents, every heading that sorts, and every fold."""
    view = open_page()
    reached = set()
    for _ in range(400):
        view.keyboard.press("Tab")
        tag = "e => e.tagName + ' ' + e.className"
        reached.add(view.evaluate(f"({tag})(document.activeElement)"))
    assert {"A skip", "BUTTON sort", "BUTTON csv", "SUMMARY ", "INPUT filter"} <= reached


def test_folded_charts_are_drawn_when_they_are_opened(open_page):
    """Not before: they have no width until then."""
    view = open_page()
    folded = view.locator("#blocks details.lazy").first
    assert folded.locator(".plot-container").count() == 0
    folded.locator("summary").first.click()
    folded.locator(".plot-container").first.wait_for()
    assert folded.locator(".scatterlayer .trace").count() == 4


def test_the_answer_is_on_the_first_screen(open_page):
    """Who is faster for LeNet-5's training step, how sure, how good, without scrolling."""
    view = open_page()
    card = view.locator(".card", has_text="lenet5")
    box = card.bounding_box()
    assert box["y"] + box["height"] < 900
    text = card.inner_text()
    for words in (
        "Keras is 2.00× faster [",
        "97.00%",
        "400 ms",
        "fastest of all",
        "What compiling",
    ):
        assert words in text
    card.get_by_text("What compiling costs").click()
    assert {*column(view, "operation-train_step", 0)} == {"lenet5"}
    box = view.locator("#operation-train_step").bounding_box()
    assert box["y"] + box["height"] < 900
