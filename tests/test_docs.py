"""The documentation says what the code does: options, words, codes, keys, links, commands."""

import ast
import re
import tomllib
from configparser import ConfigParser
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest

from benchmarks.commands import versions
from benchmarks.comparing import ratios
from benchmarks.measuring import workers
from benchmarks.measuring.plan import Plan
from benchmarks.measuring.results import Results
from benchmarks.pytest_plugin import options
from benchmarks.pytest_plugin.replay import Timed, make_plan
from benchmarks.pytest_plugin.saving import beside_the_rows
from benchmarks.reporting import terminal
from benchmarks.reporting.page import TAXED
from benchmarks.reporting.verdict_panel import NOTHING_STATUS, UNDECIDED_STATUS
from benchmarks.trial import Trial
from mnist_models import implementations, networks, operations, recipe, worker
from mnist_models.accuracy import rounding
from mnist_models.implementations import PAIR
from mnist_models.worker import source_hash
from tools import charts, measured
from tools.parity_table import few_digits

ROOT = Path(__file__).parents[1]
MEASURING = "docs/measuring.md"
COMPARING = "docs/comparing.md"
REFERENCE = "docs/reference.md"
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
)
STEP = Trial("train_step", "mlp", 128, "cpu")
JSON_TYPES = {
    "array": (list, tuple),
    "integer": int,
    "null": type(None),
    "number": float,
    "object": dict,
    "string": str,
}


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def tables(page, section):
    """The rows, as lists of cells without backticks, of the tables below a heading of a page."""
    found, level = [], 0
    for line in text(page).splitlines():
        if title := re.fullmatch(r"(#+) (.+)", line):
            inside, depth = title[2] == section, len(title[1])
            level = depth if inside else level if depth > level else 0
        elif level and line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.append([cell.strip().replace("`", "") for cell in cells])
    return [row for row in found if not set(row[0]) <= {"-"}]


def column(page, section, heading):
    """The first cells of a table whose first heading is this one."""
    rows, inside = [], False
    for row in tables(page, section):
        if inside and row[0] in HEADINGS:
            break
        if inside:
            rows.append(row)
        inside = inside or row[0] == heading
    return rows


HEADINGS = {"field", "option", "word", "code", "key", "name", "line", "place", "unit"}


def results(seconds=(1.0, 1.0), blocks=6, more=None, pair=PAIR):
    """Results of a training-step trial that never was, of as many of the pair as have seconds."""
    entry = {
        "facts": {
            "versions": {"numpy": "2"},
            "python": "3",
            "in_force": {},
            "conventions": {"rough_statistics": False},
        },
        "compilation": "eager",
        "recipe": {},
        "iterations": 7,
        "first_call_seconds": 0.5,
        "peak_memory_bytes": 1,
    } | (more or {})
    names = pair[: len(seconds)]
    records = [
        {
            "block": block,
            "trial": str(STEP),
            "results": {
                name: entry | {"samples": [(one, one)]}
                for name, one in zip(names, seconds, strict=True)
            },
        }
        for block in range(blocks)
    ]
    journal = SimpleNamespace(session="never", records=records)
    return Results(plan(names, blocks), journal)


def plan(names=PAIR, blocks=6):
    return Plan(
        contests={STEP: names},
        dataset="mnist",
        dataset_sha256="0" * 64,
        dataset_folder="/nowhere",
        images=60_000,
        source="1" * 64,
        blocks=blocks,
        rounds=1,
        threads=1,
        precision="float32",
        seed=0,
        call_limit=1.0,
        time_budget=1.0,
    )


# Options


class Parser:
    """Stands in for pytest's, and remembers what is added to it."""

    def __init__(self):
        self.added = {}

    def getgroup(self, *_):
        return self

    def addoption(self, name, **_):
        self.added[name] = True


def test_what_campaigns_found_is_what_was_recorded():
    """Otherwise: python -m tools.measured."""
    assert (ROOT / "docs" / "measured.md").read_text(encoding="utf-8") == measured.page()
    assert charts.is_of(ROOT / "docs" / "measured.svg", measured.rows())


def test_the_gate_of_pull_requests_uses_options_that_exist():
    """A misspelt option would end the workflow before anything is measured."""
    workflow = (ROOT / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8")
    [command] = re.findall(r"-m pytest benchmarks .*?(?=\n      - )", workflow, re.DOTALL)
    parser = Parser()
    options.pytest_addoption(parser)
    used = set(re.findall(r"--[a-z-]+", command))
    assert used > {"--baseline", "--fail-on"}
    assert used <= parser.added.keys()


def test_every_option_is_documented():
    """The table has each option of pytest_plugin/options.py once, and nothing else."""
    parser = Parser()
    options.pytest_addoption(parser)
    listed = [row[0] for row in column(REFERENCE, "Options", "option")]
    assert sorted(name for name in listed if name.startswith("-")) == sorted(parser.added)


@pytest.mark.parametrize(("place", "values"), [(1, options.DEFAULTS), (2, options.QUICK)])
def test_documented_defaults_are_in_force(place, values):
    """The numbers beside the options are those of DEFAULTS and, with --quick, of QUICK."""
    rows = {row[0]: row for row in column(REFERENCE, "Options", "option")}
    said = {name: float(rows["--" + name.replace("_", "-")][place]) for name in values}
    assert said == values


# The panel


def verdicts():
    """One panel of every kind, as plain text."""
    wrong, disturbed = {"parity": {"loss": 0.5}}, {"foreign_cpu": 0.5}
    found = (
        results((1.0, 2.0)),
        results((2.0, 1.0)),
        results(),
        results(blocks=1),
        results(more=wrong),
        results((1.0, 2.0), more=disturbed),
        results((1.0,)),
    )
    for one in found:
        rows = terminal.contest(one, STEP)
        lines = [terminal.heading(STEP, rows), *terminal.lines(STEP, rows, one)]
        yield "\n".join(line.plain for line in lines)


def taxes():
    """A line about what Keras costs, as plain text."""
    (line,) = terminal.taxes(STEP, results((2.0, 1.0), pair=TAXED[0]))
    yield line.plain


def test_the_panels_words_are_explained():
    """Every verdict that the panel can give is in the table, word by word, and no other is."""
    words = [row[0] for row in column(MEASURING, "The words of the panel", "word")]
    shown, below = list(verdicts()), ("accuracy", "Keras tax")
    everything = [*shown, *taxes()]
    assert [word for word in words if not any(word in panel for panel in everything)] == []
    told = [word for word in words if not word.startswith(below)]
    heads = [panel.splitlines()[0] for panel in shown]
    assert [sum(word in head for word in told) for head in heads] == [1] * len(heads)
    assert len(words) == len(told) + len(below)


def test_the_intervals_numbers_are_right():
    """Six blocks, 95 %, 96.9 %, a margin of 1 %, three runs in eight: as in the code."""
    page = text(MEASURING)
    covered = 1 - 2 * 2**-6
    assert f"{covered:.1%}".replace("%", " %") in page
    assert 1 - 2 * 2**-5 < ratios.CONFIDENCE <= covered
    assert f"a {ratios.CONFIDENCE:.0%} interval".replace("%", " %") in page
    assert f"a margin of {ratios.MARGIN:.0%}".replace("%", " %") in page
    assert f"{1 - covered**15:.2f}" == "0.38"
    assert "With 15 rows of equal contestants, about three runs in eight" in page


def test_the_limits_of_rounding_are_right():
    """Of every network, as calibrated."""
    page = text(COMPARING)
    for name in networks.names():
        limit = rounding("mnist", name, recipe.DEFAULT.record()).most
        assert f"{limit:.4f} for `{name}`" in page


def test_the_bursts_numbers_are_right():
    """A burst's length, what goes before it, and the batches it walks over: as in the worker."""
    page = text(MEASURING)
    assert f"last about {operations.BURST_SECONDS * 1000:.0f} ms" in page
    assert f"untimed operations of about {operations.WARM_UP_SECONDS * 1000:.0f} ms" in page
    assert f"up to {worker.PREPARED_BATCHES} prepared batches" in page


# What is saved


def test_every_field_beside_the_rows_is_documented():
    """Both of a run and of its data set."""
    with TemporaryDirectory() as folder:
        timed = Timed(results=results(), dataset=few_digits(Path(folder, "digits")))
    found = beside_the_rows(timed)
    rows = tables(REFERENCE, "Beside the rows")[1:]
    assert [row[0] for row in rows] == [*found]
    assert all(key in rows[-1][2] for key in found["dataset"])


def test_every_key_of_extra_info_is_documented():
    """The table has each key that is saved, in the same order, with a type that it has."""
    found = results()
    trained = results(more={"accuracy": 0.9})
    rows = column(REFERENCE, "extra_info", "key")
    saved = [one.extra_info(one.rows[STEP, PAIR[0]]) for one in (found, trained)]
    of_some = ["moment", "returned_seconds", "returns_late", "latency_seconds"]
    of_some += ["latency_busy_seconds", "start", "routes", "feeds", "leaks", "parts", "devices"]
    of_some.insert(3, "hosts")
    documented = [row[0] for row in rows]
    assert [key for key in documented if key in of_some] == of_some
    # Verdicts are added when a test is judged.
    assert [key for key in documented if key not in of_some] == [*saved[0], "verdicts"]
    types = {row[0]: tuple(JSON_TYPES[name] for name in row[1].split(" or ")) for row in rows}
    assert [
        (key, value)
        for info in saved
        for key, value in info.items()
        if not isinstance(value, types[key])
    ] == []


def test_source_is_documented_as_the_digest_that_it_is():
    [row] = [row for row in column(REFERENCE, "extra_info", "key") if row[0] == "source"]
    assert row[2].startswith("SHA-256 over the source of mnist_models;")
    settings = SimpleNamespace(**dict.fromkeys(options.Settings.__dataclass_fields__, 1))
    dataset = SimpleNamespace(name="", sha256="", folder="", train_labels=[])
    made = make_plan({}, settings, dataset, disabled=False)
    assert made.source == source_hash(ROOT / "mnist_models")


def test_replies_are_documented_in_their_order():
    """The docstring of worker.py has the parts of an error as `serve` sends them."""
    asked = [("read", ("/nowhere",))]
    sent = []
    worker.serve(
        type(
            "Channel",
            (),
            {"__iter__": lambda _: iter(asked), "send": lambda _, reply: sent.append(reply)},
        )()
    )
    [(status, kind, trace)] = sent
    assert (status, trace.split()[0]) == ("error", "Traceback")
    assert kind in trace.splitlines()[-1]
    assert '("error", kind, traceback)' in worker.__doc__


SETTING = ("configure", "set_precision")


def settings_in_force():
    """Keys that some implementation's settings have, and those that the suite adds."""
    found = {"precision", "cpus", "compilation", "layout", "environment"}
    for path in implementations.FOLDER.glob("[!_]*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in SETTING:
                dictionaries = [part for part in ast.walk(node) if isinstance(part, ast.Dict)]
                found |= {key.value for each in dictionaries for key in each.keys}
    return found


def test_every_setting_in_force_is_documented():
    """The second table has each key that an implementation may report."""
    keys = [row[0] for row in tables(REFERENCE, "extra_info")]
    assert set(keys[keys.index("key", keys.index("key") + 1) + 1 :]) == settings_in_force()


def test_the_fingerprint_is_documented():
    """The page names all that a resumed session must have in common with the first."""
    sentence = re.search(r"The fingerprint has (.+)\.", text(REFERENCE))[1]
    assert re.findall(r"`([^`]+)`", sentence) == list(plan().fingerprint())


# Codes


def test_exit_codes_are_pytests():
    """The table has every exit code under pytest's name for it; 6 is new in pytest 9."""
    rows = column(REFERENCE, "Exit codes", "code")
    names = {code.value: code.name for code in pytest.ExitCode} | {6: "MAX_WARNINGS_ERROR"}
    names |= {UNDECIDED_STATUS: "", NOTHING_STATUS: ""}
    assert {int(code): name for code, name, _ in rows} == names


# The contract


def members(protocol):
    """Names in a protocol's body, in order, constructor aside."""
    names = [
        node.target.id if isinstance(node, ast.AnnAssign) else node.name
        for node in protocol.body
        if isinstance(node, ast.AnnAssign | ast.FunctionDef)
    ]
    return [name for name in names if name != "__init__"]


@pytest.mark.parametrize("protocol", ["Implementation", "Trainer"])
def test_the_contract_is_documented(protocol):
    """Both tables have the protocols' names in the protocols' order."""
    tree = ast.parse(Path(implementations.__file__).read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if getattr(node, "name", "") == protocol)
    names = [row[0] for row in tables("docs/extending.md", "The contract")]
    second = names.index("name", 1)
    names = names[1:second] if protocol == "Implementation" else names[second + 1 :]
    assert [name.split("(")[0] for name in names] == members(found)


# Tests and files that are named


@cache
def functions():
    """Names of all test functions of the project."""
    files = (*ROOT.glob("tests/test_*.py"), *ROOT.glob("benchmarks/test_*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    return {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_claims_of_fairness_name_tests_that_exist():
    """Every test that docs/fairness.md calls upon can be run, and it calls upon many."""
    named = set(re.findall(r"\btest_\w+\b(?!\.py)", text("docs/fairness.md")))
    assert named - functions() == set()
    assert len(named) > 15


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    """A path in backticks that ends like a source file is one."""
    paths = re.findall(r"`((?:\w+/)+\w+\.(?:py|json|md|toml|yml))`", text(page))
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert [path for path in missing if path != "mnist_models/accuracy_bounds.json"] == []


def test_workers_have_an_environment_of_their_own(tmp_path):
    """Docs/fairness.md: threads, caches, Keras's settings; for the CPU, a GPU out of sight."""
    found = workers.variables_of("cpu", 3, tmp_path, "")
    assert {found[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL")} == {"3"}
    for name in ("KERAS_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        assert Path(found[name]).parent == tmp_path
    assert found["CUDA_VISIBLE_DEVICES"] == "-1"
    of_gpu = workers.variables_of("gpu", 3, tmp_path, "")
    assert found.keys() - of_gpu.keys() == {"CUDA_VISIBLE_DEVICES"}
    assert {found["KERAS_TORCH_DEVICE"], of_gpu["KERAS_TORCH_DEVICE"]} == {"cpu", "cuda"}


# Links


def anchors(page):
    """What GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", text(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """Every relative link is to a file of the project and, after a #, to one of its headings."""
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT)), link


# Commands


SET_UP = re.compile(r"^(python3 -m venv \S+ && \S+ install tox && \S+ run) -e (\S+)$", re.MULTILINE)
TEST_RUNNERS = [".ci/run", ".github/workflows/ci.yml", "CONTRIBUTING.md"]


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="there is no README yet")
class TestReadme:
    """The first thing that a user reads."""

    def test_two_commands(self):
        """It has two commands that need nothing but Python, the main job and the tests."""
        set_up = SET_UP.findall(text("README.md"))
        assert [environment for _, environment in set_up] == ["bench", "tests"]
        assert len({way for way, _ in set_up}) == 1

    @pytest.mark.parametrize("runner", TEST_RUNNERS)
    def test_they_are_what_runs_elsewhere(self, runner):
        """CI and contributors run the same line for the tests, and the same tox for the job."""
        commands = re.sub(r"^ +run: ", "", text(runner), flags=re.MULTILINE)
        ways = SET_UP.findall(commands)
        assert [way for way, _ in ways] == [SET_UP.search(text("README.md"))[1]]
        assert "tests" in ways[0][1].split(",")
        assert f"{ways[0][0].split(' && ')[-1]} -e bench -- --quick" in commands

    def test_networks(self):
        """The numbers of parameters are those of the architectures."""
        rows = {row[0]: row[-1] for row in tables("README.md", "What is compared")}
        for name in networks.names():
            assert (
                rows[f"[{name}](mnist_models/networks/{name})"]
                == f"{networks.load(name).parameters:,}"
            )

    def test_implementations(self):
        """It names every implementation."""
        rows = "".join(row[0] for row in tables("README.md", "What is compared"))
        assert [name for name in implementations.names() if f"[{name}]" not in rows] == []


def test_environments_exist():
    """Every tox environment that a page or a workflow runs is one of tox.ini's or of the grid's."""
    tox = ConfigParser()
    tox.read(ROOT / "tox.ini")
    known = {section.removeprefix("testenv:") for section in tox.sections()}
    known |= {*versions.environments(), *versions.cuda_environments(), "<name>"}
    pages = [*PAGES, ".ci/run", ".github/workflows/ci.yml", ".github/workflows/gate.yml"]
    used = {
        environment
        for page in pages
        for names in re.findall(r"tox run -e ([^\s`]+)", text(page))
        for environment in names.split(",")
    }
    assert used
    assert used <= known


def test_labels_exist():
    """Every label that a page selects environments by is one of versions.toml's."""
    used = {label for page in PAGES for label in re.findall(r"tox run -m (\w+)", text(page))}
    assert used
    assert used <= set(versions.grid()["labels"])


# Numbers that stand in two places


def test_mypy_covers_all_python():
    """Every file and folder with Python in the repository is in mypy's list."""
    checked = tomllib.loads(text("pyproject.toml"))["tool"]["mypy"]["files"]
    paths = [path.relative_to(ROOT) for path in ROOT.glob("[!.]*/**/*.py")]
    found = {path.parts[0] for path in paths} | {path.name for path in ROOT.glob("*.py")}
    assert found == set(checked)


def test_one_ruff():
    """Hooks and tox use the same version, so that neither undoes what the other did."""
    pattern = r"ruff==([\d.]+)"
    assert set(re.findall(pattern, text(".pre-commit-config.yaml"))) == set(
        re.findall(pattern, text("tox.ini"))
    )


def test_the_changelog_has_this_version():
    """The newest released version of the changelog is the package's."""
    project = tomllib.loads(text("pyproject.toml"))["project"]
    newest = re.findall(r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", text("CHANGELOG.md"), re.M)[0]
    assert newest == project["version"]


# The checks above can fail


@pytest.mark.parametrize(
    ("page", "fault", "check"),
    [
        (REFERENCE, ("| `--rounds` |", "| `--round` |"), test_every_option_is_documented),
        (MEASURING, ("| `contaminated` |", "| `spoilt` |"), test_the_panels_words_are_explained),
        (REFERENCE, ("| `session` |", "| `run` |"), test_every_key_of_extra_info_is_documented),
        (REFERENCE, ("| `void` |", "| `lost` |"), test_every_field_beside_the_rows_is_documented),
        (REFERENCE, ("| `onednn` |", "| `mkl` |"), test_every_setting_in_force_is_documented),
        (REFERENCE, ("`trials`, ", ""), test_the_fingerprint_is_documented),
        (REFERENCE, ("`USAGE_ERROR`", "`USAGE`"), test_exit_codes_are_pytests),
        (MEASURING, ("96.9 %", "95.9 %"), test_the_intervals_numbers_are_right),
        (MEASURING, ("64 prepared", "32 prepared"), test_the_bursts_numbers_are_right),
        ("docs/fairness.md", ("test_", "test_no_"), test_claims_of_fairness_name_tests_that_exist),
        ("CHANGELOG.md", ("[0.1.0] -", "[0.1.1] -"), test_the_changelog_has_this_version),
        ("tox.ini", ("ruff==", "ruff==9."), test_one_ruff),
        (".ci/run", ("-e lint", "-e lind"), test_environments_exist),
        ("docs/versions.md", ("-torch2.9-", "-torch2.99-"), test_environments_exist),
        ("docs/versions.md", ("-m corners", "-m edges"), test_labels_exist),
    ],
)
def test_planted_faults_are_found(page, fault, check, monkeypatch):
    """One wrong word on a page makes its check fail."""
    original = text(page)
    changed = original.replace(*fault)
    assert changed != original
    monkeypatch.setitem(globals(), "text", lambda p: changed if p == page else read(p))
    with pytest.raises(AssertionError):
        check()


read = text


@pytest.mark.parametrize(
    ("page", "fault", "check"),
    [
        ("docs/measuring.md", ("(fairness.md", "(unfair.md"), test_links_lead_somewhere),
        ("docs/measuring.md", ("#accuracy-bounds", "#bounds"), test_links_lead_somewhere),
        ("docs/measuring.md", ("/parity.py`", "/equal.py`"), test_files_that_are_named_exist),
    ],
)
def test_planted_faults_of_a_page_are_found(page, fault, check, monkeypatch):
    """One wrong link or path on a page makes its check fail."""
    original = text(page)
    changed = original.replace(*fault)
    assert changed != original
    monkeypatch.setitem(globals(), "text", lambda p: changed if str(p) == page else read(p))
    with pytest.raises(AssertionError):
        check(page)
