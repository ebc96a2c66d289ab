"""Does the gate keep its promises on a real machine? Long, resumable series of live sessions.

    python -m tools.campaigns looks      --baseline OTHER --sessions 150
    python -m tools.campaigns doses      --baseline OTHER --sessions 40
    python -m tools.campaigns latency    --baseline OTHER --sessions 20
    python -m tools.campaigns identical  --baseline OTHER --sessions 60
    python -m tools.campaigns detection  --baseline OTHER --sessions 20
    python -m tools.campaigns hog        --baseline OTHER --sessions 5
    python -m tools.campaigns drift      --baseline OTHER --sessions 5

Run it with the Python of one of two environments that were built separately from the same pins;
OTHER is the folder of the other one. Every finished session is appended to `tools/recorded/`, so
that a campaign that was ended goes on where it stopped; `python -m tools.measured` writes what was
found into docs/. Further options are pytest's; without any, `--architecture mlp`.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.commands import experiments
from benchmarks.commands.selfcheck import ROOT, STEPS, gate, plant
from benchmarks.comparing.ratios import Blocks
from benchmarks.numbers import whole
from mnist_models import cpus

RECORDED = Path(__file__).with_name("recorded")
CAMPAIGNS = ("looks", "doses", "identical", "detection", "hog", "drift")
# In these nothing is planted. Each compares the operation that it is named after; all others
# compare training steps and forward passes.
APART = ("latency", "startup", "parts", "leak", "feed", "deploy")
# The campaigns in which training steps are slower, by the doses of Keras and of PyTorch in turn. A
# dose is what commands/planted.py is set to; docs/measured.md has what each was measured to add.
PLANTED = {
    "doses": ((0.02, 0.10), (0.03, 0.05), (0.10, 0.02), (0.05, 0.03)),
    "detection": ((0.10, 0.05), (0.05, 0.10)),
}
# Busy loops of random length on the CPU that the workers are bound to, and pauses between them.
HOG = """
import os, random, sys, time
os.sched_setaffinity(0, {int(sys.argv[2])})
chance = random.Random(int(sys.argv[1]))
while True:
    until = time.monotonic() + chance.uniform(1, 10)
    while time.monotonic() < until:
        pass
    time.sleep(chance.uniform(1, 10))
"""
# On the same CPU, busy for a share of each tenth of a second that grows to 60 % in two minutes.
DRIFT = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[2])})
began = time.monotonic()
while True:
    share = min(0.6, 0.6 * (time.monotonic() - began) / 120)
    until = time.monotonic() + 0.1 * share
    while time.monotonic() < until:
        pass
    time.sleep(0.1 * (1 - share))
"""


def planted_in(campaign: str, number: int) -> tuple[str, dict[str, float]]:
    """Where session `number` of such a campaign has more work, and in which dose."""
    side = ("here", "baseline")[number % 2]
    doses = PLANTED[campaign]
    keras, torch = doses[number // 2 % len(doses)]
    return side, {"keras": keras, "torch": torch}


@contextmanager
def circumstances(
    campaign: str, number: int, baseline: Path
) -> Generator[dict[str, Any], None, None]:
    """What a session of a campaign has to cope with; yields what to remember of it."""
    if campaign in PLANTED:
        side, shares = planted_in(campaign, number)
        environment = baseline if side == "baseline" else Path(sys.prefix)
        plant(environment, shares)
        try:
            yield {"side": side, "shares": shares}
        finally:
            plant(environment, dict.fromkeys(shares, 0.0))
    elif campaign in ("hog", "drift"):
        script = {"hog": HOG, "drift": DRIFT}[campaign]
        [cpu] = cpus.share(1)[0]
        process = subprocess.Popen([sys.executable, "-c", script, str(number), str(cpu)])
        try:
            yield {}
        finally:
            process.kill()
            process.wait()
    else:
        yield {}


def run(campaign: str, baseline: Path, sessions: int, options: list[str]) -> None:
    """Append sessions to a campaign until it has as many as asked for."""
    RECORDED.mkdir(exist_ok=True)
    # What a killed campaign left planted would be taken for the machine's own doing.
    for environment in (baseline, Path(sys.prefix)):
        plant(environment, {"keras": 0.0, "torch": 0.0})
    select = STEPS
    if campaign in APART:
        select, options = campaign, [f"--operation={campaign}", "--time-budget=1200", *options]
    for number in range(len(list(recorded(campaign))), sessions):
        began, when = monotonic(), datetime.now(UTC)
        with (
            tempfile.TemporaryDirectory() as folder,
            circumstances(campaign, number, baseline) as known,
        ):
            new, old = gate(Path(folder), [baseline], options, select)
        record = {
            "number": number,
            "began": f"{when:%Y-%m-%d %H:%M}",
            "revision": revision(),
            "machine": experiments.machine(),
            "versions": experiments.versions(),
            "seconds": round(monotonic() - began, 1),
            "options": options,
            **known,
            "rows": {name: short(row, old[name]) for name, row in new.items() if name in old},
        }
        with gzip.open(path_of(campaign), "at", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        words = Counter(v["verdict"] for row in new.values() for v in row["extra_info"]["verdicts"])
        print(number, f"{record['seconds']:.0f} s", known, dict(words), flush=True)


def run_versions(baselines: list[Path], options: list[str]) -> None:
    """Record one session of this environment against several others, epochs and accuracy too."""
    began, when = monotonic(), datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        select = f"{STEPS} or epoch"
        here, *others = gate(Path(folder), baselines, ["--time-budget=1200", *options], select)
    environments: dict[str, dict[str, Any]] = {}
    for name, row in ((name, row) for rows in (here, *others) for name, row in rows.items()):
        info = row["extra_info"]
        known = environments.setdefault(
            info["environment"], {"versions": {}, "accuracy": {}, "parity": 0.0, "seconds": {}}
        )
        known["versions"] |= info["versions"]
        known["parity"] = max(known["parity"], *info["parity"].values())
        known["seconds"][name] = row["stats"]["median"]
        if info["operation"] == "epoch":
            known["accuracy"][name] = info["accuracy"]
    record = {
        "began": f"{when:%Y-%m-%d %H:%M}",
        "revision": revision(),
        "seconds": round(monotonic() - began, 1),
        "options": options,
        "environments": environments,
        "verdicts": {name: row["extra_info"]["verdicts"] for name, row in here.items()},
    }
    RECORDED.mkdir(exist_ok=True)
    with gzip.open(path_of("versions"), "at", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record, indent=1))


def revision() -> str:
    """The commit that measures, with a + where files differ from it; empty without git."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return described.stdout.strip()


def path_of(campaign: str) -> Path:
    """Where the sessions of a campaign are kept."""
    return RECORDED / f"{campaign}.jsonl.gz"


def recorded(campaign: str) -> Iterable[dict[str, Any]]:
    """The sessions of a campaign."""
    if not path_of(campaign).exists():
        return
    with gzip.open(path_of(campaign), "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def short(new: Any, old: Any) -> dict[str, Any]:
    """What to keep of a row: samples to five digits, and all that the verdicts rest on."""
    keep = ("blocks", "first_call_seconds", "peak_memory_bytes_by_block", "foreign_cpu")
    stages = ("screened_blocks", "suspects", "verdicts")
    info = new["extra_info"]

    def side(row: Any) -> dict[str, Any]:
        found = {key: row["extra_info"][key] for key in keep}
        found["first_call_seconds"] = digits(found["first_call_seconds"])
        return found | {"data": digits(row["stats"]["data"])}

    return {key: info[key] for key in stages} | {"new": side(new), "old": side(old)}


def digits(values: list[float]) -> list[float]:
    """Numbers to five digits: a rounding far below the noise."""
    return [float(f"{value:.5g}") for value in values]


# What they found


def judged(session: dict[str, Any], metric: str = "time") -> dict[str, dict[str, Any]]:
    """The verdict on a metric of each row of a recorded session."""
    return {
        name: verdict
        for name, row in session["rows"].items()
        for verdict in row["verdicts"]
        if verdict["metric"] == metric
    }


def by_block(side: dict[str, list[Any]]) -> Blocks:
    """The samples of one side of a recorded row."""
    found: Blocks = {}
    for block, value in zip(side["blocks"], side["data"], strict=True):
        found.setdefault(block, []).append(value)
    return found


def doses(campaign: str) -> list[float]:
    """The doses that a campaign plants, the smallest first."""
    return sorted({dose for pair in PLANTED[campaign] for dose in pair})


def planted(session: dict[str, Any], name: str) -> float:
    """The dose that was planted in a row; negative where it was in the baseline."""
    if "train_step" not in name or "shares" not in session:
        return 0.0
    share = session["shares"]["torch" if "pytorch" in name else "keras"]
    return float(share if session["side"] == "here" else -share)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.campaigns", description=__doc__)
    parser.add_argument("campaign", choices=[*CAMPAIGNS, *APART, "versions"])
    parser.add_argument(
        "--baseline", type=Path, action="append", help="the other environment's folder"
    )
    parser.add_argument("--sessions", type=whole, default=1, help="how many to have in the end")
    options, more = parser.parse_known_args()
    if options.baseline is None:
        parser.error("--baseline: which other environment?")
    else:
        arguments = more or ["--architecture", "mlp"]
        baselines = [path.resolve() for path in options.baseline]
        if options.campaign == "versions":
            run_versions(baselines, arguments)
        elif len(baselines) > 1:
            parser.error(f"--baseline: {options.campaign} takes one other environment")
        else:
            run(options.campaign, baselines[0], options.sessions, arguments)


if __name__ == "__main__":
    main()
