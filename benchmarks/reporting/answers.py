"""The answers in a saved run: the faster side of each trial, with interval and accuracy."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, inf
from typing import Any

import numpy as np

from benchmarks import causes
from benchmarks.comparing.machines import cpu_name
from benchmarks.comparing.pair import Outcome, Pair, Side, judge_pair
from benchmarks.comparing.ratios import CONFIDENCE, Blocks, Ratio
from benchmarks.comparing.records import Record, foreign_shares, measured_on, samples
from benchmarks.comparing.saved import REFERENCE, Run
from benchmarks.reporting.markdown import escape, table
from benchmarks.reporting.words import (
    NOBODY,
    OPERATIONS,
    format_seconds,
    label,
    returned_late,
    verdict,
    without_onednn,
)
from mnist_models.implementations import PAIR
from mnist_models.operations import EPOCH

Place = tuple[str, int, str]
RETURNED = (
    "Epochs of this run were timed until their call returned. Keras's fit on TensorFlow often "
    "returns long after its last step, so do not compare these epochs. Newer runs stop at the last "
    "step."
)


@dataclass(frozen=True)
class SavedRow:
    """A saved row; `void` is why it does not count, empty if it does."""

    record: Record
    void: tuple[str, ...] = ()

    @property
    def info(self) -> dict[str, Any]:
        """Return the `extra_info` beside the samples."""
        info: dict[str, Any] = self.record["extra_info"]
        return info

    @property
    def name(self) -> str:
        """The implementation's name."""
        return str(self.info["implementation"])

    @property
    def place(self) -> Place:
        """Architecture, batch size and device."""
        return self.info["architecture"], self.info["batch_size"], self.info["device"]

    def blocks(self) -> Blocks:
        """Seconds per operation, by block."""
        return samples(self.record)

    def against(self, other: "SavedRow") -> Pair:
        """The verdict on this row and another one of the same contest."""
        return judge_pair(self.side(), other.side())

    def side(self) -> Side:
        """Return what the verdict on a pair needs of this row."""
        foreign = foreign_shares(self.info["foreign_cpu"], self.info.get("foreign_gpu", {}))
        return Side(self.blocks(), foreign, bool(self.void), measured_on(self.info))

    def seconds(self) -> float:
        """Median seconds per operation over all samples."""
        return float(np.median(self.record["stats"]["data"]))

    def returned(self) -> float | None:
        """Median seconds after which the call of an epoch returned; None where not saved."""
        known = [one for one in self.info.get("returned_seconds", ()) if one is not None]
        return float(np.median(known)) if known else None

    def late(self) -> str:
        """A note if the call returned long after the last step, and why; else empty."""
        returned = self.info.get("returned_seconds", ())
        words = returned_late(self.seconds(), returned, self.info.get("returns_late", ""))
        return words and f"{label(self.name)}: {words}"

    @cached_property
    def counts(self) -> causes.Counts | None:
        """The counters of its samples; None in older runs without counters."""
        return causes.Counts.of(self.record)

    def findings(self) -> list[causes.Finding]:
        """The causes that matter, the largest first; none for a void row."""
        return causes.findings(self.counts) if self.counts and not self.void else []

    def first_call(self) -> float:
        """Seconds of the very first call of a session, when compilers' caches are empty."""
        return float(self.info["first_call_seconds"][0])

    def later_calls(self) -> list[float]:
        """Seconds of the first call in each later process, which may find compiled code."""
        return [float(seconds) for seconds in self.info["first_call_seconds"][1:]]

    def busy(self) -> float | None:
        """CPU seconds over seconds: 1 for a thread that never waited; None if void or not saved."""
        cpu = self.info.get("cpu_seconds")
        return sum(cpu) / sum(self.record["stats"]["data"]) if cpu and not self.void else None


@dataclass(frozen=True)
class Contest:
    """The rows of one operation, architecture, batch size and device in one run."""

    operation: str
    place: Place
    rows: tuple[SavedRow, ...]

    @property
    def title(self) -> str:
        """Return the trial's title, such as "training step, lenet5, batch 128, cpu"."""
        architecture, batch_size, device = self.place
        return f"{OPERATIONS[self.operation]}, {architecture}, batch {batch_size}, {device}"

    def pair(self) -> list[SavedRow]:
        """Keras's and PyTorch's rows, or the first two where one of them is missing."""
        rows = {row.name: row for row in self.rows}
        if all(name in rows for name in PAIR):
            return [rows[name] for name in PAIR]
        return [row for row in self.rows if row.name != REFERENCE][:2]

    @cached_property
    def verdict(self) -> Pair | None:
        """The verdict on the pair; None if there is only one row."""
        pair = self.pair()
        return pair[0].against(pair[1]) if len(pair) == 2 else None

    def ratio(self) -> Ratio | None:
        """Seconds of the first of the pair over the second's; None if one is missing or void."""
        found = self.verdict
        return None if found is None or found.outcome is Outcome.VOID else found.ratio

    @property
    def until_returned(self) -> bool:
        """Whether these are epochs that were timed until their call returned, as older runs did."""
        return self.operation == EPOCH.name and any("moment" not in row.info for row in self.rows)

    def answer(self) -> str:
        """Return the faster side, its factor and the interval, or why there is none, as text."""
        if (found := self.verdict) is None:
            return NOBODY
        first, second = self.pair()
        return verdict(first.name, second.name, found)

    def fastest(self) -> SavedRow | None:
        """Return the fastest row that is surely faster than both of the pair, or None."""
        valid = [row for row in self.rows if not row.void and row.name != REFERENCE]
        pair = {row.name for row in self.pair()}
        best = min((row for row in valid if row.name in pair), key=SavedRow.seconds, default=None)
        if best is None:
            return None
        others = (row for row in valid if row.name not in pair)
        surer = (row for row in others if row.against(best).winner == 0)
        return min(surer, key=SavedRow.seconds, default=None)

    def accuracies(self) -> str:
        """Test accuracy of each of the pair after one epoch, as text."""
        pair = [row for row in self.pair() if row.info["accuracy"] is not None]
        found = ", ".join(f"{label(row.name)} {row.info['accuracy']:.2%}" for row in pair)
        return found or "not measured"

    def accepted(self) -> str:
        """The bounds of an accepted accuracy, as text."""
        bounds = next((row.info["accuracy_bounds"] for row in self.pair()), None)
        return f"{bounds[0]:.1%} to {bounds[1]:.1%}" if bounds else ""

    def starter(self) -> SavedRow | None:
        """Return the row with the shortest first call; compiling must pay off against it."""
        rows = [row for row in self.rows if not row.void and row.name != REFERENCE]
        return min(rows, key=SavedRow.first_call, default=None)

    def pays_after(self, row: SavedRow) -> float | Outcome | None:
        """Operations after which a row has made up for its longer first call.

        It is 0 for `starter`, and infinite for a slower row. It is the outcome if neither is
        faster, and None for void rows and the reference.
        """
        starter = self.starter()
        if starter is None or row.void or row.name == REFERENCE:
            return None
        if row is starter:
            return 0.0
        found = row.against(starter)
        if found.winner is None:
            return found.outcome
        saved = starter.seconds() - row.seconds()
        extra = row.first_call() - starter.first_call()
        return ceil(extra / saved) if found.winner == 0 and saved > 0 else inf


def contests(run: Run) -> list[Contest]:
    """All that was measured in a run, training steps first, void rows included."""
    rows = [SavedRow(record, no_measurement(record)) for record in run["benchmarks"]]
    rows += [SavedRow(record, tuple(record["reasons"])) for record in run.get("void", ())]
    found: dict[tuple[str, Place], list[SavedRow]] = {}
    for row in rows:
        found.setdefault((row.info["operation"], row.place), []).append(row)
    order = [*OPERATIONS]
    every = [Contest(*key, tuple(sorted(of, key=by_label))) for key, of in found.items()]
    return sorted(every, key=lambda one: (order.index(one.operation), rank(one.place)))


def no_measurement(record: Record) -> tuple[str, ...]:
    """Return why a row with samples such as NaN cannot be compared."""
    data = np.asarray(record["stats"]["data"], float)
    wrong = data[~(np.isfinite(data) & (data > 0))]
    return (f"{wrong[0]} is no measurement",) if wrong.size else ()


def by_label(row: SavedRow) -> tuple[bool, bool, str]:
    """Sort key: the pair, then the others, then the reference."""
    return row.name not in PAIR, row.name == REFERENCE, row.name


def rank(place: Place) -> tuple[int, int, str]:
    """Sort key of a place: small networks first."""
    from mnist_models import networks

    names = networks.names()
    known = names.index(place[0]) if place[0] in names else len(names)
    return known, place[1], place[2]


def versions(run: Run) -> dict[str, str]:
    """Version by package of all that was measured in a run."""
    found: dict[str, str] = {}
    for record in (*run["benchmarks"], *run.get("void", ())):
        found |= record["extra_info"]["versions"]
    return dict(sorted(found.items()))


def circumstances(run: Run) -> str:
    """Where, with what and how a run was measured, in one sentence."""
    machine_info = run["machine_info"]
    cpu = machine_info.get("cpu", {})
    rows = [*run["benchmarks"], *run.get("void", ())]
    if not rows:
        return "Nothing was measured to its end"
    info = rows[0]["extra_info"]
    listed = ", ".join(f"{name} {version}" for name, version in versions(run).items())
    kind = cpu_name(cpu if "brand_raw" in cpu else {"brand_raw": machine_info.get("processor")})
    recipe = info["recipe"]
    learning = (
        f"{recipe.get('optimizer')} at a learning rate of {recipe.get('learning_rate')}, "
        f"seed {recipe.get('seed')}"
    )
    note = without_onednn(
        row["extra_info"]["implementation"]
        for row in rows
        if not row["extra_info"]["in_force"].get("onednn", True)
    )
    return (
        f"{kind}, {cpu.get('count', '?')} CPUs, {machine_info.get('system', '')}, "
        f"{info['in_force']['threads']} thread(s), Python {info['python']}; {listed}; data set "
        f"'{info['dataset']['name']}', {info['in_force']['precision']}; {learning}; "
        f"{len({*info['blocks']})} blocks of fresh processes; {str(run['datetime'])[:10]}"
        + (f"; {note}" if note else "")
    )


def result_table(run: Run) -> list[str]:
    """The answers as a Markdown table: the README's, and the top of summary.md."""
    rows, every = [], contests(run)
    # What is the same in all rows is said once, below.
    same = {contest.place[1:] for contest in every}
    for contest in every:
        times = {row.name: format_seconds(row.seconds()) for row in contest.pair() if not row.void}
        title = contest.title if len(same) > 1 else contest.title.partition(", batch ")[0]
        cells = [title, *(times.get(name, "") for name in PAIR), contest.answer()]
        rows.append(map(escape, (*cells, contest.accuracies())))
    lines = table(
        ("", "Keras", "PyTorch", "verdict, with its interval", "accuracy, one seed"), rows
    )
    if any(contest.until_returned for contest in every):
        lines += ["", escape(RETURNED)]
    place = "Batch {}, {}. ".format(*same.pop()) if len(same) == 1 else ""
    note = f"{place}{circumstances(run)}. Intervals are exact, {CONFIDENCE:.0%}."
    return [*lines, "", escape(note)]
