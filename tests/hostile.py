"""Hostile saved runs, data, journals, environments and options, and what each is told.

`python -m tests.hostile` prints the table; tests/test_hostile.py holds it to one line each.
"""

import gzip
import io
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.__main__ import main as command_line
from benchmarks.reporting import markdown
from mnist_models import data
from tests.test_command_lines import QUIET, copy_repository, run, variables
from tools.pages import RUN

EPOCH, STEP = (f"test_{kind}[mlp-b128-cpu-keras_tensorflow]" for kind in ("epoch", "train_step"))


@dataclass(frozen=True)
class Told:
    """What a command said to one input."""

    what: str
    command: str
    status: int
    output: str

    @property
    def lines(self):
        """The lines that are no usage text."""
        written = [line for line in self.output.splitlines() if line.strip()]
        return [line for line in written if not line.startswith(("usage:", "  ", "no tests ran"))]


def small_run():
    """A valid saved run: the pair's training step and epoch of one network, two samples a block."""
    return json.loads(small_text())


@cache
def small_text():
    """The small run as a file has it; taken out of the recorded run, which is large, but once."""
    run = json.loads(gzip.decompress(RUN.read_bytes()))
    wanted = ("train_step[mlp-", "epoch[mlp-")
    run["benchmarks"] = [
        row
        for row in run["benchmarks"]
        if row["name"].removeprefix("test_").startswith(wanted)
        and row["extra_info"]["implementation"] in ("keras_tensorflow", "pytorch_eager")
    ]
    for row in run["benchmarks"]:
        info, stats = row["extra_info"], row["stats"]
        kept = [p for p, block in enumerate(info["blocks"]) if p - info["blocks"].index(block) < 2]
        for values, key in (
            *((info, "blocks"), (info, "cpu_seconds"), (stats, "data")),
            *((info["counted"], name) for name in info["counted"]),
        ):
            values[key] = [values[key][place] for place in kept]
    return json.dumps(run)


def row_of(run, name=STEP):
    return next(row for row in run["benchmarks"] if row["name"] == name)


def changed(**fields):
    """A change of the first training step's extra_info; a field that is `...` is taken out."""

    def change(run):
        info = row_of(run)["extra_info"]
        info |= fields
        for key in [key for key, value in fields.items() if value is ...]:
            del info[key]

    return change


def beside(**fields):
    return lambda run: run.update(fields)


def without_samples(run):
    for row in run["benchmarks"]:
        del row["stats"]["data"]


def cut_samples(run):
    row_of(run)["stats"]["data"] = row_of(run)["stats"]["data"][:3]


def cut_block(run):
    """Blocks and samples agree, but the other row of the trial has more in the block."""
    row = row_of(run)
    for values, key in (
        (row["extra_info"], "blocks"),
        (row["extra_info"], "cpu_seconds"),
        (row["stats"], "data"),
    ):
        del values[key][0]


def misread(*entry):
    return lambda run: row_of(run, EPOCH)["extra_info"]["misread"].append([*entry])


def sample(value):
    return lambda run: row_of(run)["stats"]["data"].__setitem__(0, value)


def renamed(name):
    return lambda run: row_of(run).update(name=name)


def twice(run):
    run["benchmarks"].append(run["benchmarks"][0])


RUNS = {
    "pytest-benchmark's default, without samples": without_samples,
    "machine_info is null": beside(machine_info=None),
    "misread label 12": misread(5, 12, 3),
    "misread answer -1": misread(5, 2, -1),
    "samples cut to three": cut_samples,
    "a block cut in one row of two": cut_block,
    "blocks is text": changed(blocks="0 0 1 1"),
    "blocks is empty": changed(blocks=[]),
    "in_force lacks": changed(in_force=...),
    "versions lacks": changed(versions=...),
    "first calls of one block": changed(first_call_seconds=[1.0]),
    "first call of NaN seconds": changed(first_call_seconds=[float("nan")] * 6),
    "schema of the future": changed(schema=99),
    "suspects below none": changed(suspects=-1),
    "a kind of answer that nobody knows": changed(parity={"mood": 1.0}),
    "an operation that nobody knows": changed(operation="sleep"),
    "an implementation that is a path": changed(implementation="../../etc/passwd"),
    "an architecture with escapes": changed(architecture="\x1b[31mred"),
    "data set is text": beside(dataset="mnist"),
    "pictures are HTML": lambda run: run["dataset"]["pictures"].update({"1": '"><script>'}),
    "no rows": beside(benchmarks=[]),
    "rows are an object": beside(benchmarks={}),
    "a name twice": twice,
    "a name that is a number": renamed(5),
    "a name that is no test": renamed("test_forward"),
    "a name of markup": renamed("[red]test[/red]"),
    "a sample of 10^400 seconds": sample(10**400),
    "a sample of 1e300 seconds": sample(1e300),
    "a sample that is text": sample("0.1"),
}
TEXTS = {
    "an empty file": b"",
    "a binary file": bytes(range(256)) * 9,
    "half a file": b'{"benchmarks": [{"name": "test_',
    "200,000 nested lists": b"[" * 200_000 + b"]" * 200_000,
    "a list": b"[]",
    "a number": b"7",
}
ARGUMENTS = {
    "no such run": "report nowhere.json",
    "a folder as run": "report folder",
    "the report is a file": "report sound.json -o sound.json",
    "the report is below a file": "report sound.json -o sound.json/report",
    "margin NaN": "compare sound.json sound.json --margin NaN",
    "margin below 0": "report sound.json --margin=-1%",
    "fail on what cannot fail": "compare sound.json other.json --fail-on regression",
    "a run to pin that is none": "baseline set broken.json",
    "one seed": "calibrate --dataset digits --seeds 1",
    "no such data set": "calibrate --dataset nowhere",
}
ARCHIVES = {
    "an archive that unpacks to 64 MiB": lambda c: gzip.compress(c + bytes(2**26)),
    "a header of 4 GiB": lambda c: c[:4] + b"\xff\xff\xff\xff" + c[8:],
    "a label 10": lambda c: c[:-1] + b"\x0a",
    "half an archive": lambda c: gzip.compress(c)[:-9],
}
OPTIONS = {
    "no such environment": "--co --baseline nowhere",
    "the folder of all": "--co --baseline /",
    "this folder": "--co --baseline .",
    "the folder above": "--co --baseline ..",
    "a spec that is none": "--co --baseline popen//popen",
    "a spec with a command in it": "--co --baseline ssh=x;rm//python=y//python=z",
    "no image a step": "--co --batch-size 0",
    "no thread": "--co --threads 0",
    "many blocks": "--co --blocks 1000000000",
    "no round": "--co --rounds 0",
    "a time budget of NaN": "--co --time-budget nan",
    "no patience": "--co --call-limit -1",
    "a margin of NaN": "--co --margin NaN",
    "a GPU that is not there": "--co --device gpu",
    "a network that is not there": "--co --architecture vgg16",
    "a report that is a file": "--co --report sound.json",
    "a report below a file": "--co --report sound.json/report",
    "a run without samples": "--co --benchmark-compare broken.json",
    "a run for no table": "--co --benchmark-compare sound.json",
    "a data set that is not there": "--dataset nowhere",
    "more images a step than there are": "--dataset small --batch-size 9999",
}
BEGUN = '{"fingerprint": {"blocks": 6}}\n'
JOURNALS = {
    "a journal with a damaged line": BEGUN + '{"block": 0, "tri\n' + '{"block": 0}\n',
    "a journal whose samples are text": BEGUN
    + '{"block": 0, "trial": "x", "results": {"y": {"samples": "z"}}, "seconds": 1.0}\n',
    "a journal that does not begin": '{"block": 0}\n',
    "a journal that is a list": "[]\n",
}


def write_files(folder):
    """The files that the commands name."""
    sound = small_run()
    write(folder / "sound.json", sound)
    for row in sound["benchmarks"]:
        row["extra_info"]["session"] = "another"
    write(folder / "other.json", sound)
    (folder / "broken.json").write_text("{}")
    (folder / "folder").mkdir()


def write(path, run):
    path.write_text(json.dumps(run), encoding="utf-8")


def in_process(what, command):
    """What `python -m benchmarks` says to a command line."""
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            status = command_line(shlex.split(command))
        except SystemExit as ended:
            status = ended.code
    return Told(what, f"python -m benchmarks {command}", status, output.getvalue())


def told_about_runs():
    """What `report` and `compare` say, in the current folder, to all hostile saved runs."""
    for what, change in RUNS.items():
        run = small_run()
        change(run)
        write(Path("hostile.json"), run)
        yield in_process(what, "report hostile.json")
        yield in_process(what, "compare sound.json hostile.json")
    for what, content in TEXTS.items():
        Path("hostile.json").write_bytes(content)
        yield in_process(what, "report hostile.json")
    for what, command in ARGUMENTS.items():
        yield in_process(what, command)


def told_about_data():
    """What a command says, in the current folder, to hostile data files."""
    for number, (what, change) in enumerate(ARCHIVES.items()):
        folder = Path(f"data{number}")
        folder.mkdir()
        for file, shape in zip(data.FILES, ((20, 28, 28), (20,)) * 2, strict=True):
            head = bytes((0, 0, 8, len(shape))) + np.array(shape, ">u4").tobytes()
            content = head + bytes(int(np.prod(shape)))
            (folder / file).write_bytes(change(content) if "t10k-labels" in file else content)
        yield in_process(what, f"calibrate --dataset {folder} --seeds 2")


def told_about_options(folder):
    """What `pytest benchmarks` says to hostile options, environments and journals."""
    copy_repository(folder)
    write_files(folder)
    lines = [f"benchmarks -q --no-header {options}" for options in OPTIONS.values()]
    ended = subprocess.run(
        [sys.executable, "-c", QUIET],
        input=json.dumps(lines),
        cwd=folder,
        env=variables(folder, PYTEST_ADDOPTS=""),
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    answers = json.loads(ended.stdout)
    for what, line in zip(OPTIONS, lines, strict=True):
        status, output, _ = answers[line]
        yield Told(what, f"pytest {line}", status, output)


def told_about_journals(copy):
    """What `--resume` says to damaged journals."""
    journal = copy / ".benchmarks" / "sessions" / "20260101-000000-1" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    for what, content in JOURNALS.items():
        journal.write_text(content)
        options = ("benchmarks", "-q", "--no-header", "--resume")
        ended = run(copy, *options)
        assert journal.read_text() == content
        yield Told(what, " ".join(("pytest", *options)), ended.returncode, ended.stdout)
    shutil.rmtree(journal.parent)


def told(folder):
    """All of it, in a folder that is made for it."""
    (folder / "copy").mkdir()
    (folder / "inputs").mkdir()
    with chdir(folder / "inputs"):
        write_files(Path())
        found = [*told_about_runs(), *told_about_data()]
    found += told_about_options(folder / "copy")
    return [*found, *told_about_journals(folder / "copy")]


def table(every):
    """The table, as Markdown."""
    rows = (
        [markdown.escape(one.what), f"`{one.command}`", str(one.status), markdown.escape(line)]
        for one in every
        for line in one.lines
    )
    return "\n".join(markdown.table(("input", "command", "status", "what it says"), rows))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(table(told(Path(folder))))
