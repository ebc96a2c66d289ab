"""Comparisons of runs from different times, with the drift removed; SUSPECT at most."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import exp
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from pydantic_core import from_json

from benchmarks.comparing import verdicts
from benchmarks.comparing.machines import cpu_name, vectors
from benchmarks.comparing.ratios import Ratio, block_log_ratios, interval
from benchmarks.comparing.records import (
    Judged,
    Record,
    compare,
    judge_all,
    missing,
    place_of,
    samples,
)
from benchmarks.comparing.schema import SavedRun, TabledRun, fault
from benchmarks.comparing.verdicts import Comparison, Status, Verdict
from benchmarks.trial import RowId, Trial
from mnist_models.operations import EPOCH, TRAIN_STEP

REFERENCE = "numpy_reference"
ONE_SESSION = "measure both in one session with --baseline"
OTHER_SOURCE = (
    f"the source of mnist_models differs, and {REFERENCE}'s own may be what changed: {ONE_SESSION}"
)
NO_RUN = "is no saved run of this suite"
SAVE = "give a file that pytest benchmarks --benchmark-autosave saved, with its samples"
# A saved run as pytest-benchmark writes it: machine_info, benchmarks, and more.
Run = Mapping[str, Any]


class RunError(Exception):
    """A file is no saved run of this suite; the message says which and why."""


def load(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises RunError."""
    try:
        if not path.is_file() and path.exists():
            raise RunError(f"{path}: is no file; give a file that pytest saved")
        run = from_json(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; give a file that pytest saved") from error
    except ValueError as error:
        raise RunError(f"{path}: {NO_RUN}: no JSON ({error}); {SAVE}") from None
    if not isinstance(run, dict):
        raise RunError(f"{path}: {NO_RUN}: no JSON object; {SAVE}")
    return run


def read(path: Path, tabled: bool = False) -> dict[str, Any]:
    """A saved run with all fields that are read later; raises RunError, which names a fault.

    With `tabled`, the fields of pytest-benchmark's own table are checked, too.
    """
    run = load(path)
    if wrong := fault(run, TabledRun if tabled else SavedRun):
        raise RunError(f"{path}: {NO_RUN}: {wrong}; {SAVE}")
    return run


def by_name(run: Run) -> dict[str, Record]:
    """The rows of a run by test name."""
    return {row["name"]: row for row in run["benchmarks"]}


def compare_runs(old: Run, new: Run, old_name: str, margin: float) -> list[Judged]:
    """The verdicts on two runs: paired if they are of one session, else by `across_time`."""
    ours, theirs = by_name(new), by_name(old)
    sessions = [
        {row["extra_info"].get("session") for row in rows.values()} for rows in (ours, theirs)
    ]
    if sessions[0] == sessions[1] and len(sessions[0]) == 1:
        comparisons = compare(ours, theirs, old_name, margin, {})
        if not asked_then(ours, theirs, margin):
            comparisons = [replace(one, suspects=0) for one in comparisons]
        rows = [row["extra_info"] for side in (ours, theirs) for row in side.values()]
        compared = {v["environment"] for row in rows for v in row.get("verdicts", ())}
        return judge_all(comparisons, ours, theirs, max(1, len(compared)))
    machines = new["machine_info"], old["machine_info"]
    names = list(dict.fromkeys((*ours, *theirs)))
    # The reference removes the drift of the other rows; it is no result itself.
    names = [name for name in names if place_of(name)[1] != REFERENCE] or names
    return [across_time(name, ours, theirs, machines, old_name, margin) for name in names]


def asked_then(ours: Mapping[str, Record], theirs: Mapping[str, Record], margin: float) -> bool:
    """Whether the session itself compared these two environments at this margin.

    The blocks of a confirmation were chosen for one comparison, and prove nothing for another.
    """
    rows = [row["extra_info"] for side in (ours, theirs) for row in side.values()]
    its_own = any("verdicts" in row for row in rows)
    return its_own and all(row.get("margin") == margin for row in rows)


def across_time(
    name: str,
    ours: Mapping[str, Record],
    theirs: Mapping[str, Record],
    machines: tuple[Mapping[str, Any], Mapping[str, Any]],
    old_name: str,
    margin: float,
) -> Judged:
    """One row of two runs that were measured at different times."""
    comparison = Comparison(*place_of(name), old_name, verdicts.time_metric(margin))
    if reason := missing(name, ours, theirs, old_name):
        return Judged(comparison, Verdict(Status.NOT_COMPARABLE, reason=reason))
    if found := differences(ours[name]["extra_info"], theirs[name]["extra_info"], *machines):
        return Judged(comparison, Verdict(Status.NOT_COMPARABLE, reason="; ".join(found)))
    reference = reference_of(name, ours, theirs)
    for row in (name, reference):
        if not missing(row, ours, theirs, old_name):
            sides = replace(comparison, new=samples(ours[row]), old=samples(theirs[row]))
            if reason := sides.fault:
                return Judged(comparison, Verdict(Status.NOT_COMPARABLE, reason=reason))
    new, old = (relative_to_reference(name, reference, side) for side in (ours, theirs))
    if comparison.implementation == REFERENCE:
        reason = "it is what the machine's drift is measured by"
    elif not (new and old):
        reason = f"{REFERENCE} was not measured in both, so that drift cannot be removed"
    else:
        reason = no_yardstick(ours[reference], theirs[reference], machines)
    if reason:
        plain = np.median(ours[name]["stats"]["data"]) / np.median(theirs[name]["stats"]["data"])
        told = Ratio(float(plain), None, None, 0)
        return Judged(comparison, Verdict(Status.INCONCLUSIVE, told, reason=reason))
    verdict = suspect(unpaired(new, old), margin)
    if ours[name]["extra_info"].get("source") != theirs[name]["extra_info"].get("source"):
        verdict = replace(verdict, reason="; ".join(filter(None, (verdict.reason, OTHER_SOURCE))))
    return Judged(comparison, verdict)


def no_yardstick(
    ours: Record, theirs: Record, machines: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> str:
    """Why two rows of the reference cannot remove the machine's drift; empty if they can.

    Both must run the same code. Otherwise a faster NumPy would look like a faster machine.
    """
    here, there = (side["extra_info"] for side in (ours, theirs))
    versions = [
        ("NumPy", *(info.get("versions", {}).get("numpy") for info in (there, here))),
        ("Python", there.get("python"), here.get("python")),
    ]
    found = [f"{what} was {then}, is {now}" for what, then, now in versions if then != now]
    if found := [*found, *differences(here, there, *machines)]:
        return f"{REFERENCE} cannot remove the drift: {', '.join(found)}; {ONE_SESSION}"
    return ""


def differences(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    our_machine: Mapping[str, Any],
    their_machine: Mapping[str, Any],
) -> list[str]:
    """Return the differences that forbid a comparison: all but the framework's version."""

    def facts(info: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
        # How a model is compiled is the framework's own choice, and may change with its version.
        in_force = {k: v for k, v in info["in_force"].items() if k != "compilation"}
        cpu = machine.get("cpu", {})
        moment = {}
        if info["operation"] == EPOCH.name:
            # Runs without this field were timed until `fit` returned.
            moment = {"moment": info.get("moment", "returned")}
        return {
            "schema": info.get("schema"),
            "CPU": f"{cpu_name(cpu)}, {cpu.get('count')} cores",
            "vector instructions": vectors(cpu),
            "data set": f"{info['dataset']['name']} {info['dataset']['sha256'][:8]}",
            "recipe": info["recipe"],
            **moment,
            **in_force,
        }

    here, there = facts(ours, our_machine), facts(theirs, their_machine)
    return [
        f"{key} was {there.get(key)}, is {here.get(key)}"
        for key in dict.fromkeys((*here, *there))
        if here.get(key) != there.get(key)
    ]


def reference_of(name: str, ours: Mapping[str, Record], theirs: Mapping[str, Record]) -> str:
    """The reference's row in the same trial; for an epoch without one, its training-step row.

    An epoch consists of training steps, so a slower machine slows both down. Changes between the
    two within a block differ from block to block, and widen the interval.
    """
    row = replace(RowId.parse(name), implementation=REFERENCE)
    if row.trial.kind is EPOCH and missing(row.test, ours, theirs, ""):
        row = replace(row, trial=replace(row.trial, operation=TRAIN_STEP.name))
    return row.test


def incomparable(old: Run, new: Run) -> set[str]:
    """Names of rows, the reference's included, that differ in more than the framework's version."""
    ours, theirs = by_name(new), by_name(old)
    machines = new["machine_info"], old["machine_info"]
    return {
        name
        for name in ours.keys() & theirs.keys()
        if differences(ours[name]["extra_info"], theirs[name]["extra_info"], *machines)
    }


def relative_to_reference(name: str, reference: str, rows: Mapping[str, Record]) -> list[float]:
    """Each block's median log-ratio of a row to the reference; empty without the reference.

    Samples are paired by round. An epoch and training steps are paired only by block.
    """
    if reference not in rows or not rows[reference]["stats"].get("data"):
        return []
    row, other = samples(rows[name]), samples(rows[reference])
    if place_of(name)[0] == place_of(reference)[0]:
        return block_log_ratios(row, other)
    return [
        float(np.median(np.log(row[block])) - np.median(np.log(other[block])))
        for block in sorted(row.keys() & other.keys())
    ]


def unpaired(new: list[float], old: list[float]) -> Ratio:
    """Ratio of medians of two independent samples of logarithms.

    Its interval joins the ends of both medians' exact intervals, so it covers with at least
    1 - 2 · (1 - CONFIDENCE).
    """
    value = exp(float(np.median(new) - np.median(old)))
    blocks = min(len(new), len(old))
    here, there = interval(new), interval(old)
    if here is None or there is None:
        return Ratio(value, None, None, blocks)
    return Ratio(value, exp(here[0] - there[1]), exp(here[1] - there[0]), blocks)


def suspect(found: Ratio, margin: float) -> Verdict:
    """Return SUSPECT at most, because the two runs were not measured in the same rounds."""
    if found.low is None or found.high is None:
        reason = f"{found.blocks} blocks are too few for an interval"
        return Verdict(Status.INCONCLUSIVE, found, reason=reason)
    if found.low > 1 + margin:
        return Verdict(Status.SUSPECT, found, reason="slower than it was, if this is confirmed")
    if found.high < 1 / (1 + margin):
        return Verdict(Status.SUSPECT, found, reason="faster than it was, if this is confirmed")
    if found.low >= 1 / (1 + margin) and found.high <= 1 + margin:
        return Verdict(Status.EQUIVALENT, found)
    return Verdict(Status.INCONCLUSIVE, found, reason="the interval is wider than the margin")


def environment_of(run: Run) -> str:
    """The name of the environment that a run was measured in."""
    names = {row["extra_info"].get("environment") for row in run["benchmarks"]} - {None}
    return ", ".join(sorted(names)) or "ENV"


def named(runs: Sequence[tuple[Path, Run]]) -> dict[str, Run]:
    """Saved runs by environment and file, with enough folders to distinguish them."""
    names: list[str] = []
    files = len({(environment_of(run), path) for path, run in runs})
    for depth in range(1, 1 + max((len(path.parts) for path, _ in runs), default=0)):
        names = [
            f"{environment_of(run)} ({PurePath(*path.with_suffix('').parts[-depth:]).as_posix()})"
            for path, run in runs
        ]
        if len(set(names)) == files:
            break
    return dict(zip(distinct(names), (run for _, run in runs), strict=True))


def distinct(names: Iterable[str]) -> list[str]:
    """The names, each once: the second of a name is called 'name (2)', the third 'name (3)'."""
    found: list[str] = []
    for name in names:
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{name} ({number})"
        found.append(free)
    return found


def confirm_command(judged: list[Judged], environment: str) -> str:
    """The command that tests whether suspects are real; empty without suspects.

    A name that tox cannot give, such as "a; b", is replaced by ENV for the user to fill in.
    """
    suspects = [one.comparison for one in judged if one.verdict.status is Status.SUSPECT]
    if not suspects:
        return ""
    folder = f".tox/{environment}" if re.fullmatch(r"\w[\w.-]*", environment) else "ENV"
    words = ["pytest", "benchmarks", "-k"]
    trials = [Trial.parse(c.trial) for c in suspects]
    words += [" or ".join(dict.fromkeys(trial.operation for trial in trials))]
    for implementation in sorted({c.implementation for c in suspects}):
        words += ["--implementation", implementation]
    for architecture in sorted({trial.architecture for trial in trials}):
        words += ["--architecture", architecture]
    return shlex.join([*words, "--baseline", folder])
