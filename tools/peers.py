"""How other tools' rules fare on the same machine, at the same cost, each sampling in its own way.

    python -m tools.peers record --baseline OTHER --sessions 40
    python -m tools.peers table    # what each said, for python -m tools.measured

They all measure one environment after the other. A recorded session does so for the pair's forward
pass and training step, in two processes of each implementation, and keeps what each tool looks at:
pytest-benchmark the mean and the minimum over single calls, asv samples of 10 ms, pyperf values of
100 ms. Every other session has more work planted, as in `tools.campaigns`, and takes longer, as the
gate does where it has something to confirm. The verdicts are those of asv's and pyperf's own code;
both have to be installed for the table.
"""

import argparse
import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from benchmarks.commands.selfcheck import ROOT, plant
from benchmarks.numbers import real, whole
from mnist_models import data, implementations, networks, weights, worker
from mnist_models.implementations import PAIR
from mnist_models.recipe import DEFAULT
from tools.campaigns import digits, doses, path_of, planted, planted_in, recorded
from tools.measured import PEERS

OPERATIONS = ("forward", "train_step")
PROCESSES = 2
SAMPLE_SECONDS = 0.01  # asv's default sample_time
ASV_SAMPLES = 10  # asv's default repeat, over both processes
VALUES = 10  # asv samples in a pyperf value: its default is 100 ms
# Seconds that a process takes to start, import and prepare, roughly.
START = 6.0


def sample(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Time single calls of both operations, in this process, for so many seconds each."""
    module = implementations.load(name)
    module.configure(1)
    trainer = module.Trainer(networks.load("mlp"), DEFAULT, "cpu", "float32")
    trainer.set_weights(weights.initial(networks.load("mlp"), 0))
    read = data.read(folder)
    images, labels = data.preprocess(read.train_images[:8192]), read.train_labels[:8192]
    starts = range(0, len(images), 128)
    batches = [trainer.put(images[i : i + 128], labels[i : i + 128]) for i in starts]
    worker.bind(1)
    calls: dict[str, Callable[[Any], Any]] = {
        "forward": lambda batch: trainer.forward(batch[0]),
        "train_step": lambda batch: trainer.train_step(*batch),
    }
    found = {}
    for operation in OPERATIONS:
        call = calls[operation]
        times: list[float] = []
        groups: list[float] = []
        for batch in batches[:20]:
            call(batch)
        until = perf_counter() + seconds
        while perf_counter() < until:
            group, began = 0, perf_counter()
            while (now := perf_counter()) - began < SAMPLE_SECONDS:
                call(batches[len(times) % len(batches)])
                times.append(perf_counter() - now)
                group += 1
            groups.append((perf_counter() - began) / group)
        found[operation] = {
            "mean": float(np.mean(times)),
            "min": float(np.min(times)),
            "samples": digits(groups),
        }
    return found


def record(baseline: Path, sessions: int, costs: tuple[float, float]) -> None:
    """Append sessions until there are as many as asked for.

    `costs` are the seconds of one in which nothing is planted, and of one in which something is.
    """
    folder = data.load(None).folder
    for number in range(len(list(recorded("peers"))), sessions):
        side, shares = planted_in("detection", number // 2)
        added = shares if number % 2 else dict.fromkeys(shares, 0.0)
        environment = {"here": Path(sys.prefix), "baseline": baseline}[side]
        plant(environment, added)
        each = (costs[number % 2] / (2 * PROCESSES * len(PAIR)) - START) / len(OPERATIONS)
        began = monotonic()
        sides = {}
        try:
            # The older version is what was measured first.
            for where, prefix in (("baseline", baseline), ("here", Path(sys.prefix))):
                sides[where] = [
                    {name: subsample(prefix, name, folder, max(1.0, each)) for name in PAIR}
                    for _ in range(PROCESSES)
                ]
        finally:
            plant(environment, dict.fromkeys(shares, 0.0))
        result = {"number": number, "side": side, "shares": added, "sides": sides}
        result["seconds"] = round(monotonic() - began, 1)
        with gzip.open(path_of("peers"), "at", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(number, side, added, f"{result['seconds']} s", flush=True)


def subsample(prefix: Path, name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """`sample` in a process of an environment."""
    command = [str(prefix / "bin" / "python"), "-m", "tools.peers", "sample", name, str(folder)]
    ended = subprocess.run(
        [*command, str(seconds)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=3600
    )
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def says(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> dict[str, int]:
    """What each rule says of one benchmark: 1 for slower, -1 for faster, 0 for neither."""
    from asv.commands.compare import _is_result_better as is_better
    from asv_runner.statistics import compute_stats
    from pyperf._utils import is_significant

    found = {}
    for field in ("mean", "min"):
        change = np.mean([p[field] for p in new]) / np.mean([p[field] for p in old])
        for percent in (2, 5):
            limit = 1 + percent / 100
            rule = f"pytest-benchmark, `{field}:{percent}%`"
            found[rule] = int(change > limit) - int(change < 1 / limit)
    # A value must not span two processes, and pyperf compares as many values of both sides.
    fewest = min(len(p["samples"]) // VALUES for p in (*old, *new))
    values = [
        np.concatenate(
            [np.reshape(p["samples"][: fewest * VALUES], (fewest, VALUES)) for p in side]
        ).mean(axis=1)
        for side in (old, new)
    ]
    significant, _ = is_significant(*(each.tolist() for each in values))
    change = np.mean(values[1]) / np.mean(values[0])
    for percent in (0, 2):
        limit = 1 + percent / 100
        direction = int(change > limit) - int(change < 1 / limit)
        rule = f"pyperf, t-test and {percent} %" if percent else "pyperf, t-test"
        found[rule] = direction if significant else 0
    for factor in (1.02, 1.05, 1.1):
        for words, count in (("10 samples", ASV_SAMPLES // PROCESSES), ("all samples", None)):
            olds, news = ([s for p in side for s in p["samples"][:count]] for side in (old, new))
            (old_value, old_stats), (new_value, new_stats) = (
                compute_stats(s, 1) for s in (olds, news)
            )
            sides = (old_stats, olds), (new_stats, news)
            slower = is_better(old_value, new_value, *sides, factor)
            faster = is_better(new_value, old_value, *sides[::-1], factor)
            found[f"asv, factor {factor}, {words}"] = int(slower) - int(faster)
    return found


def table() -> dict[str, list[tuple[int, int]]]:
    """By rule: suites with a false alarm, and detections of each share, each of how many."""
    alarms: dict[str, list[bool]] = {}
    found: dict[tuple[str, float], list[bool]] = {}
    for session in recorded("peers"):
        wrong: Counter[str] = Counter()
        for name in PAIR:
            for operation in OPERATIONS:
                old, new = (
                    [process[name][operation] for process in session["sides"][where]]
                    for where in ("baseline", "here")
                )
                share = planted(session, f"{operation}-{name}")
                for rule, said in says(old, new).items():
                    wrong[rule] += said != 0
                    if share:
                        found.setdefault((rule, abs(share)), []).append(said * share > 0)
        if not any(session["shares"].values()):
            for rule, count in wrong.items():
                alarms.setdefault(rule, []).append(count > 0)
    shares = doses("detection")
    return {
        rule: [(sum(each), len(each)) for each in (told, *(found[rule, share] for share in shares))]
        for rule, told in alarms.items()
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.peers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    taking = commands.add_parser("record")
    taking.add_argument("--baseline", type=Path, required=True)
    taking.add_argument("--sessions", type=whole, default=40)
    words = "of the gate's sessions with nothing to confirm, and with two changes"
    taking.add_argument("--seconds", type=real, nargs=2, default=(120.0, 240.0), help=words)
    one = commands.add_parser("sample")
    one.add_argument("name")
    one.add_argument("folder", type=Path)
    one.add_argument("seconds", type=real)
    commands.add_parser("table")
    options = parser.parse_args()
    if options.command == "record":
        record(options.baseline.resolve(), options.sessions, tuple(options.seconds))
    elif options.command == "sample":
        print(json.dumps(sample(options.name, options.folder, options.seconds)))
    else:
        PEERS.write_text(json.dumps(table(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
