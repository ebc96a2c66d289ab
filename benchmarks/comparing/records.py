"""Comparisons of rows in their saved form, which a session judges as well."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.comparing import leaks, verdicts
from benchmarks.comparing.hosts import Hosts
from benchmarks.comparing.learning import Learned, judge_accuracy, learned
from benchmarks.comparing.ratios import Blocks
from benchmarks.comparing.verdicts import Comparison, Status, Verdict
from benchmarks.trial import RowId
from mnist_models.accuracy import rounding

# A benchmark as pytest-benchmark saves it, with its samples.
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """A comparison with its verdict."""

    comparison: Comparison
    verdict: Verdict

    def record(self) -> dict[str, Any]:
        """The verdict as it is saved."""
        found = self.verdict.ratio
        return {
            "environment": self.comparison.environment,
            "metric": self.comparison.metric.name,
            "verdict": self.verdict.status.value,
            "ratio": found and found.value,
            "low": found and found.low,
            "high": found and found.high,
            "blocks": found and found.blocks,
            "detectable": self.verdict.detectable,
            "reason": self.verdict.reason,
        }


def compare(
    new: Mapping[str, Record],
    old: Mapping[str, Record],
    environment: str,
    margin: float,
    reasons: Mapping[str, str],
) -> list[Comparison]:
    """All comparisons of rows by test name: times, first calls, and peak memory by worker.

    `reasons` are why a name cannot be compared. A name that only one side has is not comparable.
    """
    found: list[Comparison] = []
    workers: dict[tuple[str, str], list[str]] = {}
    uneven: dict[tuple[str, str], str] = {}
    for name in dict.fromkeys((*new, *old, *reasons)):
        row = RowId.parse(name)
        worker = row.implementation, row.trial.device
        trial = str(row.trial)
        place = partial(Comparison, trial, row.implementation, environment)
        reason = reasons.get(name) or missing(name, new, old, environment)
        if reason := reason or uneven_rounds(new[name], old[name], environment):
            found.append(place(verdicts.time_metric(margin), reason=reason))
            if (name in new) != (name in old):
                uneven[worker] = f"its workers did not do the same: {trial} {reason}"
            continue
        ours, theirs = new[name]["extra_info"], old[name]["extra_info"]
        workers.setdefault(worker, []).append(name)
        stages = ours["screened_blocks"], ours["suspects"]
        foreign = foreign_shares(ours["foreign_cpu"], ours.get("foreign_gpu", {}))
        times = samples(new[name]), samples(old[name])
        machines = measured_on(ours)
        found.append(place(verdicts.time_metric(margin), *times, *stages, foreign, machines))
        # Other programs hardly change a first call, so contamination is not checked.
        calls = [one_a_block(side, "first_call_seconds") for side in (ours, theirs)]
        found.append(place(verdicts.FIRST_CALL, calls[0], calls[1], *stages, hosts=machines))
    for worker, names in workers.items():
        of_worker = memory(names, new, old, environment)
        found.append(replace(of_worker, reason=uneven.get(worker, "")))
    return found


def place_of(name: str) -> tuple[str, str]:
    """Return trial and implementation in a test's name."""
    row = RowId.parse(name)
    return str(row.trial), row.implementation


def missing(
    name: str, new: Mapping[str, Record], old: Mapping[str, Record], environment: str
) -> str:
    """Return which side lacks a row, as text; empty if none does."""
    for side, words in ((new, "here"), (old, f"in {environment}")):
        if name not in side:
            return f"not measured {words}"
    return ""


def uneven_rounds(new: Record, old: Record, environment: str) -> str:
    """Return why two rows of one session have no rounds in common; empty if they have."""
    ours, theirs = (Counter(row["extra_info"]["blocks"]) for row in (new, old))
    for block in ours.keys() & theirs.keys():
        if ours[block] != theirs[block]:
            return f"block {block} has {ours[block]} samples, {theirs[block]} in {environment}"
    return ""


def foreign_shares(
    cpu: Mapping[Any, float | None], gpu: Mapping[Any, float | None]
) -> dict[int, float | None]:
    """Return the larger of two shares that other programs used, of CPUs or GPU, by block."""
    known = {block: [s for s in (cpu[block], gpu.get(block)) if s is not None] for block in cpu}
    return {int(block): max(shares, default=None) for block, shares in known.items()}


def measured_on(extra_info: Mapping[str, Any]) -> Hosts:
    """Which host measured each block; empty if there was one machine."""
    return dict(zip(dict.fromkeys(extra_info["blocks"]), extra_info.get("hosts", ()), strict=False))


def samples(record: Record) -> Blocks:
    """Seconds per operation by block."""
    found: Blocks = {}
    for block, value in zip(record["extra_info"]["blocks"], record["stats"]["data"], strict=True):
        found.setdefault(block, []).append(value)
    return found


def one_a_block(extra_info: Mapping[str, Any], key: str) -> Blocks:
    """A value that each process has once."""
    blocks = dict.fromkeys(extra_info["blocks"])
    return {block: [value] for block, value in zip(blocks, extra_info[key], strict=True)}


def memory(
    names: Sequence[str], new: Mapping[str, Record], old: Mapping[str, Record], environment: str
) -> Comparison:
    """Peak memory of one implementation's workers, the largest over all their trials of a block.

    A block that lacks one of the trials does not count: it was cut off or measured for other rows.
    """

    def peaks(side: Mapping[str, Record]) -> Blocks:
        trials = [one_a_block(side[n]["extra_info"], "peak_memory_bytes_by_block") for n in names]
        whole = set.intersection(*(set(blocks) for blocks in trials))
        return {block: [max(blocks[block][0] for blocks in trials)] for block in sorted(whole)}

    first = names[0]
    info = new[first]["extra_info"]
    stages = info["screened_blocks"], info["suspects"]
    place = *place_of(first), environment
    return Comparison(*place, verdicts.PEAK_MEMORY, peaks(new), peaks(old), *stages)


def judge_all(
    comparisons: Iterable[Comparison],
    new: Mapping[str, Record],
    old: Mapping[str, Record],
    environments: int = 1,
) -> list[Judged]:
    """The verdicts, with those on accuracy and on what calls keep.

    `environments` is how many the session compares with: all its accuracies are tested together.
    """
    judged = [Judged(comparison, verdicts.judge(comparison)) for comparison in comparisons]
    epochs = [
        one.comparison
        for one in judged
        if one.comparison.metric.name == "time"
        and one.comparison.trial.startswith("epoch[")
        and one.verdict.status is not Status.NOT_COMPARABLE
    ]
    for epoch in epochs:
        ours, theirs = (side[epoch.test]["extra_info"] for side in (new, old))
        limits = rounding(ours["dataset"]["name"], ours["architecture"], ours["recipe"])
        sides = after_epoch(ours), after_epoch(theirs)
        verdict = judge_accuracy(*sides, limits, len(epochs) * environments, epoch.environment)
        place = epoch.trial, epoch.implementation, epoch.environment
        judged.append(Judged(Comparison(*place, verdicts.ACCURACY), verdict))
    return [*judged, *judge_kept(judged, new, old)]


def judge_kept(
    judged: Iterable[Judged], new: Mapping[str, Record], old: Mapping[str, Record]
) -> Iterator[Judged]:
    """The verdicts on what repeated calls keep."""
    for place in [one.comparison for one in judged if one.comparison.metric.name == "time"]:
        ours, theirs = (leaks.of(side.get(place.test)) for side in (new, old))
        for quantity, metric in leaks.METRICS.items() if ours and theirs else ():
            verdict = leaks.judge_leaks(ours, theirs, quantity, place.environment)
            yield Judged(replace(place, metric=metric, new={}, old={}), verdict)


def after_epoch(extra_info: Mapping[str, Any]) -> Learned:
    """Return what an epoch's row learned in its first block, which saves the misread images."""
    first = [*extra_info.get("accuracy_by_block", ()), extra_info["accuracy"]][0]
    return learned(first, extra_info.get("misread"))
