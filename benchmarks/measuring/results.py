"""The results of a session: each row's samples, and the reasons why a row does not count."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.comparing.records import Judged, compare, judge_all
from benchmarks.comparing.schema import SCHEMA
from benchmarks.measuring.environments import STEADY
from benchmarks.measuring.journal import Journal, confirming_blocks, noted_confirmation
from benchmarks.measuring.plan import Plan
from benchmarks.trial import RowId, Trial, contestant, split
from mnist_models import networks, parity
from mnist_models.accuracy import UNKNOWN, Bounds, Table
from mnist_models.operations import EPOCH, LATENCIES, Operation
from mnist_models.parallel import BOUND as PARALLEL_BOUND
from mnist_models.parallel import TIMED_BOUND
from mnist_models.shipping import BOUND

# Keys of a journal entry and of its `facts` that must be the same in all blocks of a row.
SETTINGS = ("versions", "python", "in_force", "compilation")


# The quantiles of latencies that are saved.
QUANTILES = (0.5, 0.9, 0.99, 0.999)


def headline(reason: str) -> str:
    """A reason on one line: the last line of a traceback, the first line of anything else."""
    lines = reason.strip().splitlines()
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


@dataclass
class Row:
    """One contestant in one trial. `samples` are (wall, CPU) seconds per operation, by block.

    `name` is the contestant's: an implementation, with "@environment" in a baseline.
    """

    trial: Trial
    name: str
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    skip: str = ""
    unavailable: bool = False
    dropped: str = ""
    error: str = ""
    wrong_answers: list[str] = field(default_factory=list)
    accuracy_faults: list[str] = field(default_factory=list)
    accuracy: float | None = None
    accuracy_bounds: Bounds | None = None

    @property
    def void(self) -> list[str]:
        """Why its times do not count although they were measured."""
        return self.mixed_settings() + self.wrong_answers + self.accuracy_faults

    @property
    def complete(self) -> bool:
        """Whether it was measured in all its blocks."""
        return bool(self.entries) and not (self.skip or self.error)

    @property
    def valid(self) -> bool:
        """Whether it is complete and not void."""
        return self.complete and not self.void

    @property
    def fault(self) -> str:
        """Why it cannot be compared, on one line; empty if it is valid."""
        if self.valid:
            return ""
        return headline(self.error or self.skip or self.void[0])

    def mixed_settings(self) -> list[str]:
        """Return the settings that changed between blocks, as text."""
        measured = [e | e["facts"] for e in self.entries.values() if "facts" in e]
        # Hosts may differ, because only samples of the same host are compared.
        found: dict[str, list[str]] = {}
        for host in dict.fromkeys(e.get("host", "") for e in measured):
            here = [e for e in measured if e.get("host", "") == host]
            blocks = [settings({k: v for k, v in e.items() if k in SETTINGS}) for e in here]
            for name in dict.fromkeys(name for block in blocks for name in block):
                values = list(dict.fromkeys(block.get(name, "not set") for block in blocks))
                if len(values) > len(found.get(name, ())):
                    found[name] = values
        return [
            f"{name} changed between blocks ({' and '.join(values)}): measure again from the start"
            for name, values in found.items()
            if len(values) > 1
        ]

    def by_block(self) -> dict[int, list[float]]:
        """Seconds per operation of each block's samples, in the order of the rounds."""
        return {block: [wall for wall, _ in e["samples"]] for block, e in self.entries.items()}

    def samples(self) -> list[float]:
        """Seconds per operation, block after block."""
        return [seconds for samples in self.by_block().values() for seconds in samples]

    def seconds(self) -> float:
        """Median seconds per operation over all samples."""
        return float(np.median(self.samples()))

    def counters(self) -> dict[str, Any]:
        """The counters of its samples, as they are saved."""
        entries = self.entries
        counts = [len(entry["samples"]) for entry in entries.values()]
        return {
            "blocks": [block for block, n in zip(entries, counts, strict=True) for _ in range(n)],
            "iterations": {str(block): e.get("iterations", 1) for block, e in entries.items()},
            "cpu_seconds": [cpu for entry in entries.values() for _, cpu in entry["samples"]],
            "counted": counted(entries.values()),
            "threads_that_ran": [entry.get("threads_that_ran") for entry in entries.values()],
            "stolen_cpu": {str(block): e.get("stolen_cpu") for block, e in entries.items()},
            "foreign_cpu": {str(block): e.get("foreign_cpu") for block, e in entries.items()},
        }

    def parity(self, precision: str = "float32") -> dict[str, float]:
        """Worst difference from the reference of each kind over all blocks."""
        worst: dict[str, float] = {}
        key = "parity_tf32" if precision == "tf32" else "parity"
        for entry in self.entries.values():
            for kind, difference in entry.get(key, {}).items():
                worst[kind] = max(worst.get(kind, 0.0), difference)
        return worst

    def parity_limits(self, precision: str = "float32") -> dict[str, float]:
        """The largest difference of each kind that is accepted."""
        conventions = [e["facts"]["conventions"] for e in self.entries.values() if "facts" in e]
        rough = any(found["rough_statistics"] for found in conventions)
        return parity.limits(networks.load(self.trial.architecture), rough, precision)


def settings(found: Mapping[str, Any]) -> dict[str, str]:
    """All settings in a mapping and in those within it, as text by name."""
    texts: dict[str, str] = {}
    for name, value in found.items():
        texts |= settings(value) if isinstance(value, Mapping) else {name: str(value)}
    return texts


def counted(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The counters of each sample, by name, block after block."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        for name, values in entry.get("counted", {}).items():
            found.setdefault(name, []).extend(values)
    return found


class Results:
    """The rows of a session, each with the reasons why it must not be used."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self.plan, self.journal = plan, journal
        self.calibrated = Table()
        self.rows = {(t, name): Row(t, name) for t, name in plan.rows()}
        by_text = {str(trial): trial for trial in plan.contests}
        dropped = {
            tuple(row): record["reason"]
            for record in journal.records
            for row in record.get("dropped", [])
        }
        optional = plan.blocks + confirming_blocks(journal.records)
        for record in journal.records:
            for name, entry in record.get("results", {}).items():
                if "host" in record:
                    entry["host"] = record["host"]
                # A row that fails in a further block is complete without that block.
                if record["block"] < optional or not {"error", "unavailable"} & entry.keys():
                    self.rows[by_text[record["trial"]], name].entries[record["block"]] = entry
        for row in self.rows.values():
            # Hosts end their blocks in any order.
            row.entries = dict(sorted(row.entries.items()))
            self.classify(row, dropped.get((str(row.trial), row.name), ""))
        for row in self.rows.values():
            self.add_faults(row)

    def classify(self, row: Row, dropped: str) -> None:
        """Note why a row's samples are incomplete, if they are; `dropped` is why it was dropped."""
        for block, entry in row.entries.items():
            # Who ran in the first block can run: that it could not start later is an error.
            late = entry.get("unavailable", "") if block else ""
            row.error = row.error or entry.get("error", late)
        if dropped:
            row.skip, row.dropped = f"dropped {dropped}", dropped
        elif reason := self.unavailable(row.name, row.trial.device):
            row.skip, row.unavailable = reason, True
        elif not row.error and len(row.entries) < self.plan.blocks:
            count = f"{len(row.entries)} of {self.plan.blocks} blocks"
            row.skip = f"not measured to its end: {count}; --resume takes it up"

    def unavailable(self, name: str, device: str) -> str:
        """Why an implementation cannot run on a device of this machine; empty when it can."""
        reasons = (
            entry["unavailable"]
            for (trial, other), row in self.rows.items()
            if (other, trial.device) == (name, device)
            for block, entry in row.entries.items()
            if block == 0 and "unavailable" in entry
        )
        return next(reasons, "")

    def add_faults(self, row: Row) -> None:
        """Note why a row is void: parity, exports, devices, feeds, or accuracy if it trained."""
        for other in self.rows.values():
            same = (other.name, other.trial.architecture, other.trial.device)
            if same == (row.name, row.trial.architecture, row.trial.device):
                for precision in ("float32", "tf32"):
                    allowed = other.parity_limits(precision)
                    for reason in parity.violations(other.parity(precision), allowed):
                        row.wrong_answers.append(f"{other.trial}: {reason}")
        for block, entry in row.entries.items():
            for name, route in entry.get("routes", {}).items():
                if route.get("difference", 0.0) > BOUND:
                    words = f"{route['difference']:.1e} from the network (at most {BOUND:g})"
                    row.wrong_answers.append(f"{name} differs in block {block} by {words}")
            for count, group in entry.get("devices", {}).items():
                why = ", each has batch statistics of its own" if self.has_state(row) else ""
                for key, bound, dtype in (
                    ("difference", PARALLEL_BOUND, "float64"),
                    ("timed_difference", TIMED_BOUND, "float32"),
                ):
                    if (off := group.get(key, 0.0)) > bound:
                        words = f"weights of {count} devices differ from one's by {off:.1e}"
                        row.wrong_answers.append(f"block {block}: {words} in {dtype}{why}")
            for name, feed in entry.get("feeds", {}).items():
                if wrong := feed.get("wrong", 0):
                    words = f"{wrong} of {feed['images']} images wrong or in another order"
                    row.wrong_answers.append(f"{name} fed {words} in block {block}")
                if (off := feed.get("difference", 0.0)) > feed.get("bound", 0.0):
                    words = f"by {off:.1e} from those after training on the expected images"
                    words += f" (at most {feed['bound']:.1e})"
                    row.wrong_answers.append(f"{name}: weights differ {words}, in block {block}")
        epoch = self.row(EPOCH, row.trial, row.name)
        if epoch is None:
            return
        found = [e["accuracy"] for e in epoch.entries.values() if "accuracy" in e]
        if not found:
            return
        row.accuracy = float(np.median(found))
        row.accuracy_bounds = self.bounds(row.trial.architecture, row.trial.batch_size)
        low, high, _ = row.accuracy_bounds
        bad = [value for value in found if not low <= value < high]
        if bad and row.trial.kind.learns:
            row.accuracy_faults.append(
                f"test accuracy after one epoch is {bad[0]:.4f}, not within [{low:.4f}, {high:.4f})"
            )

    def has_state(self, row: Row) -> bool:
        """Whether a row's network has running statistics."""
        return networks.load(row.trial.architecture).has_state

    def bounds(self, architecture: str, batch_size: int) -> Bounds:
        """The bounds of accepted accuracies: calibrated ones, or around the reference's."""
        if found := self.calibrated.get(self.plan.dataset, architecture, batch_size):
            return found
        place = [architecture, batch_size]
        expected = (r["expected"] for r in self.journal.records if "expected" in r)
        known = (Bounds(*one["bounds"]) for one in expected if one["place"] == place)
        return next(known, UNKNOWN)

    def test_id(self, row: Row) -> str:
        """The name of the test that judges a row, such as test_forward[mlp-b128-cpu-…]."""
        return RowId(row.trial, split(row.name)[0]).test

    def here(self) -> list[Row]:
        """The rows of this environment, which have tests."""
        return [row for row in self.rows.values() if not split(row.name)[1]]

    def suspects(self) -> int:
        """How many comparisons the confirmation measured, by the journal; 0 if there was none."""
        return (noted_confirmation(self.journal.records) or {"suspects": 0})["suspects"]

    def records(self, environment: str = "") -> dict[str, dict[str, Any]]:
        """An environment's valid rows by test name, as pytest-benchmark saves them."""
        return {
            self.test_id(row): {
                "extra_info": self.extra_info(row),
                "stats": {"data": row.samples()},
            }
            for row in self.rows.values()
            if row.valid and split(row.name)[1] == environment
        }

    def run(self, machine_info: dict[str, Any], environment: str = "") -> dict[str, Any]:
        """An environment's valid rows in the form of a saved run."""
        rows = self.records(environment).items()
        benchmarks = [{"name": name} | row for name, row in rows]
        return {"machine_info": machine_info, "benchmarks": benchmarks}

    def void_records(self) -> list[dict[str, Any]]:
        """This environment's void rows, kept apart from what may be compared, with the reasons."""
        return [
            {
                "name": self.test_id(row),
                "reasons": row.void,
                "extra_info": self.extra_info(row),
                "stats": {"data": row.samples()},
            }
            for row in self.here()
            if row.complete and row.void
        ]

    def not_measured(self) -> dict[str, str]:
        """Why planned rows of this environment have no complete set of samples, by test name."""
        return {self.test_id(row): row.fault for row in self.here() if not row.complete}

    def verdicts(self) -> dict[str, list[Judged]]:
        """The verdicts on this environment against each baseline, by its name."""
        new, judged = self.records(), {}
        for environment in self.plan.baselines:
            old = self.records(environment)
            reasons = {}
            for row in self.here():
                other = self.rows[row.trial, contestant(row.name, environment)]
                for side, place in ((row, "here"), (other, f"in {environment}")):
                    if reason := self.unusable(side):
                        reasons[self.test_id(row)] = f"{place}: {reason}"
            comparisons = compare(new, old, environment, self.plan.margin, reasons)
            judged[environment] = judge_all(comparisons, new, old, len(self.plan.baselines))
        return judged

    def unusable(self, row: Row) -> str:
        """Why a row cannot be compared, on one line; empty if it can."""
        if row.fault:
            return row.fault
        first = next(iter(row.entries.values()))
        known = first["facts"]["in_force"].get("environment", {})
        if self.plan.allocator == "steady" and not STEADY.items() <= known.items():
            return "its allocator is not steady: use --allocator installed for both"
        return ""

    def row(self, operation: Operation, trial: Trial, name: str) -> Row | None:
        """The row of another operation in the same place, if it was planned."""
        return self.rows.get((replace(trial, operation=operation.name), name))

    def moments(self, row: Row) -> dict[str, Any]:
        """The moment at which an epoch's samples end, and when its call returned.

        Samples of runs that were saved without `moment` end when the call returned.
        """
        if row.trial.kind is not EPOCH:
            return {}
        entries = row.entries.values()
        return {
            "moment": "trained",
            "returned_seconds": [entry.get("returned_seconds") for entry in entries],
            "returns_late": next(iter(entries)).get("returns_late", ""),
        }

    def particulars(self, row: Row) -> dict[str, Any]:
        """Fields that only some rows have, such as hosts, latencies and the moments of a start."""
        found: dict[str, Any] = {}
        entries = row.entries.values()
        if any("host" in entry for entry in entries):
            found["hosts"] = [entry.get("host", "") for entry in entries]
        for latencies, key in LATENCIES.items():
            if all(latencies in entry for entry in entries):
                every = [np.quantile(entry[latencies], QUANTILES) for entry in entries]
                found[key] = {
                    str(share): [float(f"{block[place]:.5g}") for block in every]
                    for place, share in enumerate(QUANTILES)
                }
        for key in ("start", "routes", "feeds", "leaks", "parts", "devices"):
            if all(key in entry for entry in entries):
                found[key] = [entry[key] for entry in entries]
        return found

    def extra_info(self, row: Row) -> dict[str, Any]:
        """Return the `extra_info` of a row; docs/reference.md lists its keys."""
        entries = row.entries
        implementation, environment = split(row.name)
        first = next(iter(entries.values()))
        return {
            "schema": SCHEMA,
            "session": self.journal.session,
            "trial": str(row.trial),
            "operation": row.trial.operation,
            "architecture": row.trial.architecture,
            "batch_size": row.trial.batch_size,
            "device": row.trial.device,
            "implementation": implementation,
            "environment": environment or self.plan.environment("").name,
            "versions": first["facts"]["versions"],
            "python": first["facts"]["python"],
            "in_force": first["facts"]["in_force"] | {"compilation": first["compilation"]},
            "cpu_ids": first["facts"].get("cpu_ids", []),
            "recipe": first["recipe"],
            "dataset": {"name": self.plan.dataset, "sha256": self.plan.dataset_sha256},
            "source": self.plan.source,
            **row.counters(),
            **self.moments(row),
            **self.particulars(row),
            "first_call_seconds": [entry["first_call_seconds"] for entry in entries.values()],
            "peak_memory_bytes": max(e.get("peak_memory_bytes", 0) for e in entries.values()),
            "peak_memory_bytes_by_block": [e.get("peak_memory_bytes", 0) for e in entries.values()],
            "peak_gpu_memory_bytes": max(
                e.get("peak_gpu_memory_bytes", 0) for e in entries.values()
            ),
            "foreign_gpu": {str(block): e.get("foreign_gpu") for block, e in entries.items()},
            "screened_blocks": self.plan.blocks,
            "margin": self.plan.margin,
            "suspects": self.suspects(),
            "parity": row.parity(),
            "parity_tf32": row.parity("tf32"),
            "parity_limits": {kind: row.parity_limits()[kind] for kind in row.parity()},
            "accuracy": row.accuracy,
            "accuracy_by_block": [e["accuracy"] for e in entries.values() if "accuracy" in e],
            "accuracy_bounds": row.accuracy_bounds and row.accuracy_bounds[:2],
            "accuracy_rule": row.accuracy_bounds and row.accuracy_bounds.rule,
            "misread": first.get("misread"),
        }
