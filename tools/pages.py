"""The figures in README.md and in pages of docs/, written from what was recorded.

    python -m tools.pages record RUN     # keep a saved run as the one that the pages speak of
    python -m tools.pages record RUN --name production   # likewise, of docs/production.md
    python -m tools.pages write          # figures anew; docs/report.png where there is a browser

What stands between `<!-- NAME -->` and `<!-- end of NAME -->` on a page is written here, by the
function of that name in BLOCKS; nothing else of the pages is touched.
"""

import argparse
import gzip
import inspect
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.causes import CAUSES
from benchmarks.commands import museum
from benchmarks.commands.bisect import Bisection
from benchmarks.comparing import curves, moves
from benchmarks.comparing.growth import Growth
from benchmarks.comparing.machines import cpu_name
from benchmarks.comparing.pair import Pair
from benchmarks.comparing.ratios import Ratio, of_logs
from benchmarks.comparing.saved import read
from benchmarks.comparing.timeline import Timeline
from benchmarks.reporting import explained, growth, history, markdown, production, tables
from benchmarks.reporting.answers import Contest, circumstances, contests, result_table
from benchmarks.reporting.learning import table
from benchmarks.reporting.markdown import escape
from benchmarks.reporting.page import EASE_OF_USE, TAXED, Report
from benchmarks.reporting.words import format_seconds, label
from examples.page import MEASURES, OUTCOMES, summary_rows, together
from examples.record import COSTLY
from mnist_models.implementations import PAIR
from mnist_models.operations import FORWARD, TRAIN_STEP
from tools import charts, parity_table
from tools.campaigns import digits

ROOT = Path(__file__).parents[1]
RUN = Path(__file__).with_name("recorded") / "run.json.gz"
# The raw data of `python -m benchmarks learn`.
CURVES = RUN.with_name("learning.json")
# The raw data of `python -m benchmarks explain`.
MOVES = RUN.with_name("explain.json")
# What a knob changes about a library; instructions*.json are the raw data of
# `python -m benchmarks explain` with these knobs, one file for each processor.
LIBRARIES = {
    "avx2": "oneDNN without AVX-512",
    "mkl_avx2": "MKL without AVX-512",
    "tensorflow_onednn_on": "TensorFlow with oneDNN",
}
# The raw data of `python -m benchmarks museum`.
SEEN = RUN.with_name("museum.json")
DOCS = ROOT / "docs"
HISTORY = DOCS / "history"
TITLES = {"torch": "PyTorch", "tensorflow": "TensorFlow, with the Keras of its time"}
CHARTS = DOCS / "causes"
PICTURE = DOCS / "report.png"
PAGES = (
    *("README.md", "docs/choosing.md", "docs/causes.md", "docs/fairness.md"),
    *("docs/releases.md", "docs/history.md", "docs/production.md", "docs/hosts.md"),
)
# Of whom docs/choosing.md tells what compiling costs.
COMPILED = (*PAIR, "pytorch_compiled")
# The networks and the number of kernels that docs/production.md names.
KERNELS_OF, KERNELS = ("mlp", "lenet5", "transformer"), 4
# What the page does not need, and what would make the file large.
LEFT_OUT = ("commit_info",)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str | None:
    """A Chromium that is installed on this machine, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def recorded(name: str = "run") -> dict[str, Any]:
    """The run that the pages speak of, or another one that was kept."""
    with gzip.open(RUN.with_name(f"{name}.json.gz"), "rt", encoding="utf-8") as file:
        return json.load(file)


def record(path: Path, name: str = "run") -> None:
    """Keep a saved run, samples to five digits."""
    run = {key: value for key, value in read(path).items() if key not in LEFT_OUT}
    run["machine_info"] = dict(run["machine_info"]) | {"node": ""}
    for row in (*run["benchmarks"], *run.get("void", ())):
        row["stats"] = {"data": digits(row["stats"]["data"])}
        row["extra_info"]["cpu_seconds"] = digits(row["extra_info"]["cpu_seconds"])
    with gzip.GzipFile(RUN.with_name(f"{name}.json.gz"), "wb", mtime=0) as file:
        file.write(json.dumps(run).encode())


def ease() -> dict[str, Any]:
    """What `python -m examples write` recorded."""
    return json.loads(EASE_OF_USE.read_text(encoding="utf-8"))


def results() -> list[str]:
    """Who is faster, from the recorded run."""
    return result_table(recorded())


def on_processors() -> dict[str, list[Contest]]:
    """The contests of the recorded run and of the same on other processors, by processor."""
    names = ["run", *sorted(path.name.partition(".")[0] for path in RUN.parent.glob("run-*.gz"))]
    runs = [recorded(name) for name in names]
    return {cpu_name(run["machine_info"]["cpu"]): contests(run) for run in runs}


def winners() -> dict[str, dict[str, str]]:
    """By trial and processor, the faster side of the pair with its factor; "none" without one."""
    found: dict[str, dict[str, str]] = {}
    for processor, every in on_processors().items():
        for contest in every:
            verdict = (
                contest.verdict if contest.operation in (FORWARD.name, TRAIN_STEP.name) else None
            )
            if verdict:
                found.setdefault(contest.title, {})[processor] = faster(verdict)
    return {title: of for title, of in found.items() if len(of) > 1}


def faster(found: Pair | Ratio) -> str:
    """The faster side of the pair with its factor; "none" if no side surely is."""
    ratio = found.ratio if isinstance(found, Pair) else found
    side, factor = found.winner, max(ratio.value, 1 / ratio.value)
    return "none" if side is None else f"{label(PAIR[side])} {factor:.2f}×"


def processors() -> list[str]:
    """The faster side on each processor that was recorded."""
    cpus = [*on_processors()]
    rows = ([title, *(of.get(cpu, "") for cpu in cpus)] for title, of in winners().items())
    return markdown.table(("faster", *cpus), rows)


def instructions() -> list[str]:
    """The pair with other instructions or another library, on each processor recorded."""
    heads = ("what was timed", "faster, as installed", "changed", "faster then")
    lines = []
    for file in sorted(RUN.parent.glob("instructions*.json"), key=lambda file: file.stem):
        found = moves.read(file.read_text(encoding="utf-8"))
        rows = [
            [
                explained.title(one.trial),
                faster(of_logs(one.pair)),
                LIBRARIES[one.knob],
                # In both, or in the one that has the library.
                faster(of_logs([*one.changed.values()][-1])),
                *(explained.cell(one, side) for side in PAIR),
            ]
            for one in found.moved
            if one.knob not in explained.DERIVED
        ]
        factors = (f"{label(side)}: changed / unchanged" for side in PAIR)
        lines += [f"{explained.place(found)}:", "", *markdown.table((*heads, *factors), rows), ""]
    return lines[:-1]


def elsewhere() -> list[str]:
    """How many verdicts name the other side on another processor."""
    here, *others = on_processors()
    every, rows = [*winners().values()], []
    for other in others:
        shared = (of for of in every if here in of and other in of)
        both = [(of[here].split()[0], of[other].split()[0]) for of in shared]
        turned = sum("none" not in sides and len({*sides}) == 2 for sides in both)
        rows.append([other, f"{turned} of {len(both)}"])
    return markdown.table(("another processor", "verdicts that name the other side there"), rows)


def reading() -> list[str]:
    """A forward pass of LeNet-5, as the terminal shows it."""
    passes = (c for c in contests(recorded()) if c.operation == "forward")
    contest = next(c for c in passes if c.place[0] == "lenet5")
    architecture, batch_size, device = contest.place
    lines = [f"forward {architecture} b{batch_size} {device}       {contest.answer()}"]
    for row in contest.pair():
        rate = f"{batch_size / row.seconds():,.0f} images/s"
        figures = f"{label(row.name):<7}  {format_seconds(row.seconds()):>8}  {rate:>18}"
        lines.append(f"  {figures}  accuracy {row.info['accuracy']:.4f}")
    return ["```text", *lines, "```"]


def compiling() -> list[str]:
    """What the first training step costs, and when that pays."""
    steps = [
        replace(c, rows=tuple(row for row in c.rows if row.name in COMPILED))
        for c in contests(recorded())
        if c.operation == "train_step"
    ]
    table = tables.operation("train_step", steps, None)
    shown = ["network", "implementation", "runs as", "time", "first call"]
    shown += ["in later processes", "pays after (steps)"]
    places = [table.headings.index(heading) for heading in shown]
    return markdown.table(
        shown, ([escape(row[place].text) for place in places] for row in table.rows)
    )


def tax() -> list[str]:
    """What Keras's loop costs over a loop of one's own on the same backend."""
    steps = [c for c in contests(recorded()) if c.operation == "train_step"]
    table = tables.tax(steps, TAXED)
    return markdown.table(table.headings, ([escape(c.text) for c in row] for row in table.rows))


def learned() -> curves.Curves:
    """What `python -m benchmarks learn` recorded."""
    return curves.read(CURVES.read_text(encoding="utf-8"))


def learning() -> list[str]:
    """Where the pair's learning curves end, and whether that is the same."""
    return table(learned()).splitlines()


def proved() -> list[str]:
    """How far each implementation is from the reference, in each type."""
    rows = json.loads(RUN.with_name("parity.json").read_text(encoding="utf-8"))
    lines = []
    for dtype in ("float64", "float32"):
        asked = [question for question in parity_table.TABLE if question.startswith(dtype)]
        lines += [f"In {dtype}:", "", *parity_table.table(rows, asked), ""]
    return lines[:-1]


def rules() -> list[str]:
    """Each cause: what it is, when it matters, and what is done then."""
    rows = []
    for cause in CAUSES:
        name = cause.NAME
        texts = (inspect.getdoc(cause) or "", inspect.getdoc(cause.found) or "")
        rows.append([name, *(text.partition("\n")[0] for text in texts)])
    return markdown.table(("cause", "what it is", "when it is said"), rows)


def moved() -> moves.Explained:
    """What `python -m benchmarks explain` recorded."""
    first, *later = (
        moves.read(file.read_text(encoding="utf-8"))
        for file in sorted(MOVES.parent.glob(f"{MOVES.stem}*.json"), key=lambda file: file.stem)
    )
    # A knob that was measured again takes the place of what it was before.
    for found in later:
        new = {(m.knob, m.trial): m for m in found.moved if m.knob not in explained.DERIVED}
        first.moved = [m for m in first.moved if (m.knob, m.trial) not in new] + [*new.values()]
    return first


def turned() -> list[str]:
    """What turns the verdict round."""
    return explained.turned(moved())


def knobs() -> list[str]:
    """By how much each knob and each mistake moves both sides."""
    return explained.table(moved(), brief=True).splitlines()


def knobs_of(name: str) -> list[str]:
    """By how much the knobs of another experiment move both sides."""
    found = moves.read(RUN.with_name(f"{name}.json").read_text(encoding="utf-8"))
    found.moved = [one for one in found.moved if one.knob not in explained.DERIVED]
    return explained.table(found).splitlines()


def traps() -> list[str]:
    """Batches that change, and another runtime's threads."""
    return knobs_of("traps")


def interop() -> list[str]:
    """Threads across operations."""
    return knobs_of("interop")


def drawn() -> dict[Path, tuple[Callable[[Any], Figure], Any]]:
    """Every chart of docs/ that shows recorded data: who draws it, and from what."""
    found = moved()
    each = {
        trial: found.model_copy(update={"moved": of})
        for trial, of in explained.in_order(found).items()
    }
    causes = {CHARTS / f"{charts.file_name(trial)}.svg": one for trial, one in each.items()}
    releases = {HISTORY / f"{name}.svg": timeline(name) for name in packages_with_history()}
    return {
        **{path: (charts.moves, one) for path, one in causes.items()},
        **{path: (charts.history, one) for path, one in releases.items()},
        DOCS / "growth.svg": (charts.growth, growing()),
        DOCS / "widths.svg": (charts.growth, growing("widths")),
        DOCS / "learning.svg": (charts.learning, learned()),
    }


def bisected(name: str) -> list[str]:
    """What a search found, for each implementation."""
    files = sorted(RUN.parent.glob(f"bisect-{name}-*.json"))
    kept = [Bisection.model_validate_json(file.read_text(encoding="utf-8")) for file in files]
    seconds = sum(one.seconds for each in kept for one in each.asked)
    sessions = sum(len(each.asked) for each in kept)
    lines = [line for each in kept for line in ["", *each.answer.splitlines()]]
    return [*lines, "", f"In all {sessions} sessions and {seconds / 60:.0f} min."]


def bisected_from_220() -> list[str]:
    """From TensorFlow 2.20 to the newest."""
    return bisected("220")


def bisected_from_oldest() -> list[str]:
    """From the oldest environment of the grid to the newest."""
    return bisected("oldest")


def exhibits() -> list[str]:
    """What the gate said of every exhibit of the museum."""
    return museum.shown(museum.exhibits(), seen()).splitlines()


def found_again() -> list[str]:
    """The museum in one line."""
    return [exhibits()[-1]]


def seen() -> museum.Museum:
    """What `python -m benchmarks museum` recorded."""
    return museum.Museum.model_validate_json(SEEN.read_text(encoding="utf-8"))


def produced() -> list[str]:
    """Where the run of docs/production.md was measured."""
    return [f"{circumstances(recorded('production'))}."]


def started() -> list[str]:
    """The moments of a start."""
    return production.starts(of_production("startup"))


def predicted() -> list[str]:
    """One prediction."""
    return production.predictions(of_production("latency"))


def shipped() -> list[str]:
    """Every route of lenet5 from each framework."""
    shown = [contest for contest in of_production("deploy") if contest.place[0] == "lenet5"]
    return production.routes(shown)


def lowered() -> list[str]:
    """Every route of lenet5 from PyTorch, ExecuTorch among them."""
    shown = of_production("deploy", "executorch")
    return [*production.routes(shown), "", f"{circumstances(recorded('executorch'))}."]


def of_production(operation: str, run: str = "production") -> list[Contest]:
    """The contests of an operation in a recorded run."""
    return production.of(contests(recorded(run)), operation)


def fed() -> list[str]:
    """Every way to feed."""
    return production.feeds(of_production("feed"))


def apart() -> list[str]:
    """The parts of a training step."""
    return production.taken_apart(of_production("parts"))


def most() -> list[str]:
    """The kernels that take most of it."""
    shown = [contest for contest in of_production("parts") if contest.place[0] in KERNELS_OF]
    return production.kernels(shown, KERNELS)


def leaking() -> list[str]:
    """What grows from call to call."""
    return production.kept(of_production("leak"))


def several() -> list[str]:
    """Training on several devices; TensorFlow in a session of its own."""
    runs = [recorded(name) for name in ("parallel", "parallel-tensorflow")]
    parts = [[*production.devices(run), "", circumstances(run), ""] for run in runs]
    return [line for part in parts for line in part][:-1]


def growing(name: str = "growth") -> Growth:
    """What `python -m benchmarks grow` recorded."""
    text = RUN.with_name(f"{name}.json").read_text(encoding="utf-8")
    return Growth.model_validate_json(text)


def grown() -> list[str]:
    """How times grow with the batch."""
    return growth.text(growing()).splitlines()


def crossed() -> list[str]:
    """Where the pair's times met in two sessions on one machine."""
    sessions = [growing("growth-first"), growing("growth-second")]
    return [*growth.crossings(sessions), "", f"{growth.where(sessions[0])}."]


def widened() -> list[str]:
    """How times grow with the width of mlp's hidden layer."""
    return growth.text(growing("widths")).splitlines()


def timeline(package: str) -> Timeline:
    """What `python -m benchmarks history` recorded of a package."""
    return Timeline.of(RUN.with_name(f"history-{package}.json").read_text(encoding="utf-8"))


def packages_with_history() -> list[str]:
    """The packages whose releases were recorded."""
    files = sorted(RUN.parent.glob("history-*.json"))
    return [file.stem.removeprefix("history-") for file in files]


def histories() -> list[str]:
    """All releases of every package that was recorded, with its chart."""
    lines: list[str] = []
    for package in packages_with_history():
        picture = f"![Releases of {package}: times, and its import](history/{package}.svg)"
        found = history.text(timeline(package), brief=True).splitlines()
        lines += ["", f"## {TITLES[package]}", "", picture, "", *found]
    return lines or ["Nothing was recorded yet."]


def tasks() -> list[str]:
    """How much there is to write, all tasks together."""
    each = [together(task[side] for task in ease()["tasks"]) for side in SIDES]
    rows = [[words, *(str(sums[measure]) for sums in each)] for measure, words in MEASURES.items()]
    return markdown.table([f"{len(ease()['tasks'])} tasks", "Keras", "PyTorch"], rows)


def mistakes() -> list[str]:
    """What is said to mistakes, all together."""
    names, *figures = zip(*summary_rows(ease()), strict=True)
    words = (
        *OUTCOMES,
        "the message names the culprit",
        f"silent, and costs {COSTLY} points of accuracy or more",
    )
    rows = ([word, *cells] for word, cells in zip(words, figures, strict=True))
    return markdown.table([f"{len(ease()['mistakes'])} mistakes", *names], rows)


SIDES = ("keras", "pytorch")
BLOCKS: dict[str, Callable[[], list[str]]] = {
    made.__name__: made
    for made in (
        results,
        processors,
        instructions,
        elsewhere,
        reading,
        compiling,
        tax,
        learning,
        proved,
    )
} | {
    made.__name__: made
    for made in (
        *(tasks, mistakes, rules, turned, knobs, traps, interop),
        *(bisected_from_220, bisected_from_oldest, exhibits, found_again),
        histories,
        *(produced, started, predicted, shipped, lowered, grown, crossed, widened),
        *(fed, apart, most, leaking, several),
    )
}


def filled(text: str) -> str:
    """A page with its blocks written anew; raises ValueError for a block that nobody writes."""

    def block(match: re.Match[str]) -> str:
        name = match[1]
        if name not in BLOCKS:
            raise ValueError(f"<!-- {name} -->: no such block; there are {', '.join(BLOCKS)}")
        return "\n".join([f"<!-- {name} -->", *BLOCKS[name](), f"<!-- end of {name} -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end of \1 -->", block, text, flags=re.DOTALL)


def picture() -> None:
    """docs/report.png: the first screen of the recorded run's page."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Report("here", recorded(), {}).write(Path(folder))
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1280, "height": 1180})
        view.goto(page.as_uri())
        view.wait_for_selector(".js-plotly-plot .plot-container")
        view.screenshot(path=PICTURE)
        browser.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.pages", description=__doc__)
    parser.add_argument("action", choices=["record", "write"])
    parser.add_argument("run", type=Path, nargs="?", help="a saved run")
    parser.add_argument(
        "--name", default="run", help="such as production, or parallel (default: run)"
    )
    options = parser.parse_args()
    if options.action == "record":
        record(options.run or parser.error("record: which RUN?"), options.name)
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    for file, (draw, data) in drawn().items():
        charts.write(file, draw, data)
    if find_browser():
        picture()
    else:
        print(f"{PICTURE.name} is as it was: none of {', '.join(BROWSERS)} is installed")


if __name__ == "__main__":
    main()
