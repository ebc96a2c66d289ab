"""Does the gate keep its promises on a real machine? Long, resumable series of live sessions.

    python -m tests.campaigns identical --baseline OTHER --sessions 60
    python -m tests.campaigns detection --baseline OTHER --sessions 20
    python -m tests.campaigns hog       --baseline OTHER --sessions 5
    python -m tests.campaigns drift     --baseline OTHER --sessions 5
    python -m tests.campaigns summary

Run it with the Python of one of two environments that were built separately from the same pins;
OTHER is the folder of the other one. Every finished session is appended to `tests/recorded/`, so
that a campaign that was ended goes on where it stopped, and can be judged again.
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

from benchmarks.selfcheck import gate, plant

RECORDED = Path(__file__).with_name("recorded")
SHARES = (0.05, 0.10)
# Busy loops of random length on the CPU that the workers are bound to, and pauses between them.
HOG = """
import os, random, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
chance = random.Random(int(sys.argv[1]))
while True:
    until = time.monotonic() + chance.uniform(1, 10)
    while time.monotonic() < until:
        pass
    time.sleep(chance.uniform(1, 10))
"""
# On the same CPU, busy for a share of each tenth of a second that grows to 60 % in two minutes.
DRIFT = """
import os, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
began = time.monotonic()
while True:
    share = min(0.6, 0.6 * (time.monotonic() - began) / 120)
    until = time.monotonic() + 0.1 * share
    while time.monotonic() < until:
        pass
    time.sleep(0.1 * (1 - share))
"""


def planted_in(number: int) -> tuple[str, dict[str, float]]:
    """Where session `number` of the detection campaign has more work, and how much."""
    side = ("here", "baseline")[number % 2]
    keras, torch = SHARES if number // 2 % 2 else SHARES[::-1]
    return side, {"keras": keras, "torch": torch}


@contextmanager
def circumstances(
    campaign: str, number: int, baseline: Path
) -> Generator[dict[str, Any], None, None]:
    """What a session of a campaign has to cope with; yields what to remember of it."""
    if campaign == "detection":
        side, shares = planted_in(number)
        environment = baseline if side == "baseline" else Path(sys.prefix)
        plant(environment, shares)
        try:
            yield {"side": side, "shares": shares}
        finally:
            plant(environment, dict.fromkeys(shares, 0.0))
    elif campaign in ("hog", "drift"):
        script = {"hog": HOG, "drift": DRIFT}[campaign]
        process = subprocess.Popen([sys.executable, "-c", script, str(number)])
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
    for number in range(len(list(recorded(campaign))), sessions):
        began, when = monotonic(), datetime.now(UTC)
        with (
            tempfile.TemporaryDirectory() as folder,
            circumstances(campaign, number, baseline) as known,
        ):
            new, old = gate(Path(folder), baseline, options)
        record = {
            "number": number,
            "began": f"{when:%Y-%m-%d %H:%M}",
            "seconds": round(monotonic() - began, 1),
            "options": options,
            **known,
            "rows": {name: short(row, old[name]) for name, row in new.items() if name in old},
        }
        with gzip.open(path_of(campaign), "at", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        words = Counter(v["verdict"] for row in new.values() for v in row["extra_info"]["verdicts"])
        print(number, f"{record['seconds']:.0f} s", known, dict(words), flush=True)


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


def times(session: dict[str, Any]) -> dict[str, str]:
    """The verdict on each benchmark's time in a recorded session."""
    return {
        name: verdict["verdict"]
        for name, row in session["rows"].items()
        for verdict in row["verdicts"]
        if verdict["metric"] == "time"
    }


def summary() -> None:
    """What all campaigns found so far."""
    for campaign in ("identical", "hog", "drift"):
        sessions = list(recorded(campaign))
        words = Counter(word for session in sessions for word in times(session).values())
        other = Counter(
            f"{v['metric']} {v['verdict']}"
            for session in sessions
            for row in session["rows"].values()
            for v in row["verdicts"]
            if v["metric"] != "time" and v["verdict"] != "EQUIVALENT"
        )
        print(f"{campaign}: {len(sessions)} sessions, {seconds(sessions)}:")
        print(f"  times: {dict(words)}; others but EQUIVALENT: {dict(other)}")
    sessions = list(recorded("detection"))
    found: Counter[tuple[float, str]] = Counter()
    untouched: Counter[str] = Counter()
    for session in sessions:
        for name, word in times(session).items():
            share = session["shares"]["torch" if "pytorch" in name else "keras"]
            if "train_step" in name:
                right = "REGRESSED" if session["side"] == "here" else "IMPROVED"
                found[share, "found" if word == right else word] += 1
            else:
                untouched[word] += 1
    print(f"detection: {len(sessions)} sessions, {seconds(sessions)}")
    for (share, word), count in sorted(found.items()):
        print(f"  {share:.0%} planted: {count} × {word}")
    print(f"  untouched: {dict(untouched)}")


def seconds(sessions: list[dict[str, Any]]) -> str:
    """How long sessions took."""
    found = sorted(session["seconds"] for session in sessions)
    return f"{found[len(found) // 2]:.0f} s each (at most {found[-1]:.0f})" if found else "none yet"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("campaign", choices=["identical", "detection", "hog", "drift", "summary"])
    parser.add_argument("--baseline", type=Path, help="the other environment's folder")
    parser.add_argument("--sessions", type=int, default=1, help="how many to have in the end")
    parser.add_argument("options", nargs="*", help="for pytest, after --")
    options = parser.parse_args()
    if options.campaign == "summary":
        summary()
    elif options.baseline is None:
        parser.error("--baseline: which other environment?")
    else:
        arguments = options.options or ["--architecture", "mlp"]
        run(options.campaign, options.baseline.resolve(), options.sessions, arguments)


if __name__ == "__main__":
    main()
