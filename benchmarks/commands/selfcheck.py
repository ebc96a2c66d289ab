"""Which changes this machine can find: an environment against a copy and a slower copy of it."""

import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import mnist_models
from benchmarks import causes
from benchmarks.commands.doctor import machine
from benchmarks.comparing.ratios import block_log_ratios
from benchmarks.comparing.records import Record, place_of, samples
from benchmarks.comparing.saved import by_name, read
from benchmarks.comparing.verdicts import (
    CALLED,
    OF_MEDIAN,
    Comparison,
    Status,
    detectable,
    round_spread,
    time_metric,
)
from benchmarks.reporting import words
from benchmarks.reporting.verdict_panel import change
from benchmarks.trial import RowId
from mnist_models.implementations import PAIR
from mnist_models.operations import TRAIN_STEP

ROOT = Path(mnist_models.__file__).parents[1]
PLANTED = Path(__file__).with_name("planted.py")
STEPS = "forward or train_step"
# The share of extra work that is planted.
SHARE = 0.05
# The copies' names.
TWIN, SLOWER = "twin", "slower"
# Seconds for further blocks, so that the whole check takes two minutes.
UNTIL_DECIDED = 20
# Seconds; a session that keeps its own limits ends long before.
GATE_LIMIT = 4 * 3600
TRIED_ROUNDS = (10, 20, 40, 80)


def check(architecture: str, blocks: int, rounds: int, planted: bool) -> int:
    """Print the findings; return 0 if exactly the planted slowdowns were found.

    With `planted`, a copy with slower training steps is measured in the same rounds.
    """
    if blocks < 2:
        raise ValueError(f"--blocks {blocks}: processes vary, which one block cannot show; give 6")
    console = Console(highlight=False, markup=False)
    for what, found, advice in machine():
        console.print(f"{what}: {found}" + (f"; {advice}" if advice else ""))
    with tempfile.TemporaryDirectory() as folder:
        copies = [clone(Path(folder, name)) for name in (TWIN, SLOWER)[: 1 + planted]]
        for slower in copies[1:]:
            plant(slower, {"keras": SHARE, "torch": SHARE})
        options = ["--architecture", architecture, "--blocks", str(blocks), "--rounds", str(rounds)]
        options.append(f"--until-decided={UNTIL_DECIDED}")
        began = monotonic()
        here, twin, *_ = gate(Path(folder), copies, options)
    seconds = monotonic() - began
    console.print(noise((here, twin), rounds, seconds))
    for line in disturbances(here):
        console.print(line)
    wrong = identical(here, console)
    return int(wrong or (planted and not found_planted(here, console)))


def identical(rows: Mapping[str, Record], console: Console) -> bool:
    """Print the verdicts on identical code; returns whether one of them is a change."""
    verdicts = {title(name): verdict(row, TWIN) for name, row in rows.items()}
    for name, one in verdicts.items():
        console.print(f"identical code, {name}: {one['verdict']} {one['reason']}".rstrip())
    equal = sum(one["verdict"] == Status.EQUIVALENT for one in verdicts.values())
    console.print(f"found equal: {equal} of {len(verdicts)} rows")
    wrong = [name for name, one in verdicts.items() if one["verdict"] in CALLED]
    console.print(f"identical code called different: {', '.join(wrong) or 'none'}")
    return bool(wrong)


def found_planted(rows: Mapping[str, Record], console: Console) -> bool:
    """Print the verdicts on the planted slowdowns; returns whether both were found."""
    found = []
    for name, row in rows.items():
        if RowId.parse(name).trial.kind is TRAIN_STEP:
            one = verdict(row, SLOWER)
            found.append(one["verdict"])
            ratio = one["ratio"]
            more = "not measured" if ratio is None else f"measured as {1 / ratio - 1:.1%} more time"
            console.print(f"dose of {SHARE:.0%} in {title(name)}, {more}: {one['verdict']}")
    return found == [Status.IMPROVED] * len(PAIR)


def title(name: str) -> str:
    """A row's title, without the network, which is the same for all."""
    row = RowId.parse(name)
    return f"{words.OPERATIONS[row.trial.operation]} {words.label(row.implementation)}"


def disturbances(rows: Mapping[str, Record]) -> list[str]:
    """The causes that matter in each row, as text."""
    lines = []
    for name, row in rows.items():
        counts = causes.Counts.of(row)
        for found in causes.findings(counts) if counts else ():
            place = RowId.parse(name)
            said = words.cause(place.implementation, found)
            lines.append(f"{words.OPERATIONS[place.trial.operation]}, {said}")
    return lines


def clone(folder: Path) -> Path:
    """A virtual environment that sees this one's packages."""
    venv.create(folder, symlinks=True)
    lines = [
        f"import site; site.addsitedir({path!r})\n"
        for path in sys.path
        if path.endswith("-packages")
    ]
    (site_packages(folder) / "packages.pth").write_text("".join(lines), encoding="utf-8")
    return folder


def site_packages(environment: Path) -> Path:
    """Where a virtual environment keeps its packages."""
    return next(environment.glob("lib/python*/site-packages"))


def plant(environment: Path, shares: Mapping[str, float]) -> None:
    """Slow down an environment's training steps, by framework; shares of 0 undo it."""
    text = re.sub(
        r"^SHARES = .*$",
        f"SHARES = {dict(shares)!r}",
        PLANTED.read_text(encoding="utf-8"),
        flags=re.M,
    )
    (site_packages(environment) / "planted.py").write_text(text, encoding="utf-8")
    start = "import planted\n" if any(shares.values()) else ""
    (site_packages(environment) / "zz_planted.pth").write_text(start, encoding="utf-8")


def gate(
    folder: Path, environments: Sequence[Path], options: Sequence[str], select: str = STEPS
) -> list[dict[str, Record]]:
    """One gate session of the pair; its rows by test name, here and in each environment."""
    result = folder / "here.json"
    command = ["-m", "pytest", f"{ROOT}/benchmarks", "-q", f"--rootdir={ROOT}"]
    command.append(f"--config-file={ROOT}/pyproject.toml")
    baselines = [f"--baseline={environment}" for environment in environments]
    saved = [f"--benchmark-json={result}", "--benchmark-save=here"]
    ended = subprocess.run(
        [sys.executable, *command, "-k", select, *baselines, *saved, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=GATE_LIMIT,
    )
    if not result.exists():
        raise ChildProcessError(f"the session failed:\n{ended.stdout}")
    others = folder / ".benchmarks" / "environments"
    files = [max((others / each.name).glob("*/*_here.json")) for each in environments]
    return [by_name(read(file)) for file in (result, *files)]


def verdict(row: Record, environment: str) -> dict[str, Any]:
    """The verdict on a row's time against an environment, as it is saved."""
    verdicts = row["extra_info"]["verdicts"]
    return next(v for v in verdicts if (v["metric"], v["environment"]) == ("time", environment))


def noise(rows: Sequence[Mapping[str, Record]], rounds: int, seconds: float) -> Table:
    """The variation of processes and rounds, and the smallest change that rounds can find."""
    new, old = rows
    heads = [f"sees\nin {rounds}" for rounds in TRIED_ROUNDS]
    table = Table("", "ratio", "between\nprocesses", "between\nrounds", *heads, box=None)
    for name in new:
        if name not in old:
            continue
        here, there = (only_screen(side[name]) for side in rows)
        logs = block_log_ratios(here, there)
        within, total = round_spread(here, there), float(np.std(logs, ddof=1))
        between = sqrt(max(0.0, total**2 - (OF_MEDIAN * within) ** 2 / rounds))
        place = Comparison(*place_of(name), "", time_metric(0.02))
        sees = [
            detectable(sqrt(between**2 + (OF_MEDIAN * within) ** 2 / r), place, len(logs))
            for r in TRIED_ROUNDS
        ]
        figures = [f"{np.exp(np.median(logs)):.3f}", f"{between:.1%}", f"{within:.1%}"]
        table.add_row(title(name), *figures, *map(change, sees))
    table.caption = (
        f"{len(new)} rows and their twins took {seconds:.0f} s with {rounds} rounds; "
        "sees: the smallest change that so many rounds find"
    )
    return table


def only_screen(row: Record) -> dict[int, list[float]]:
    """The samples of the screen's blocks, in which every row was measured."""
    last = row["extra_info"]["screened_blocks"]
    return {block: found for block, found in samples(row).items() if block < last}
