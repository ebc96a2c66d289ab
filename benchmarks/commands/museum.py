"""Known changes between releases, found again by the gate: `python -m benchmarks museum`."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console

from benchmarks.commands import experiments, gates
from benchmarks.comparing.changes import Change
from benchmarks.comparing.schema import words as problem
from benchmarks.comparing.verdicts import Status
from benchmarks.measuring import making, probes
from benchmarks.measuring.environments import EnvironmentProblem
from benchmarks.measuring.journal import JournalError
from benchmarks.measuring.making import Maker
from benchmarks.measuring.workers import WorkerError
from benchmarks.reporting.markdown import table
from benchmarks.trial import RowId
from mnist_models import data
from mnist_models.worker import source_hash

FILE = Path(__file__).parents[2] / "museum.toml"
PYTHON = "3.12"
NO_CHANGE, CHANGED = "no change", "CHANGED"
# The metric for changed defaults and results, which is no time.
NUMBERS = "numbers"
# Seconds that a session and its two environments take, roughly.
EACH = 120


class Exhibit(BaseModel):
    """Two releases of a package, and the expected verdict of the gate on one row's metric.

    `others` are the other packages of both environments. `expect` is a `Status`, or "no change":
    neither REGRESSED nor IMPROVED. For the metric "numbers" it is "CHANGED".
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    package: str
    old: str
    new: str
    others: dict[str, str] = Field(alias="with")
    row: str
    expect: str
    metric: str = "time"
    python: str = PYTHON
    why: str = ""
    tracker: str = ""

    def pins(self, release: str) -> dict[str, str]:
        """The environment with a release of the package."""
        return {"python": self.python, **self.others, self.package: release}

    @property
    def session(self) -> tuple[str, ...]:
        """The key of an exhibit's session; exhibits with the same key share one."""
        ends = making.title(self.pins(self.old)), making.title(self.pins(self.new))
        return (*ends, self.row, str(self.metric == NUMBERS))


class Seen(BaseModel):
    """The gate's verdicts on an exhibit; `failed` is why there are none. `seconds` is the total."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    expect: str
    # What was compared: `Exhibit.session`, and the digest of mnist_models.
    session: list[str] = []
    source: str = ""
    changes: list[Change] = []
    seconds: float = 0.0
    failed: str = ""

    def verdict(self, metric: str) -> Change | None:
        """The verdict on a metric, if there is one."""
        return next((one for one in self.changes if one.metric == metric), None)


class Museum(BaseModel):
    """All results, on one machine and one data set."""

    model_config = ConfigDict(strict=True, extra="forbid")

    machine: str
    dataset: str
    seen: list[Seen] = []


def exhibits(names: Sequence[str] = (), path: Path = FILE) -> list[Exhibit]:
    """The exhibits of these names, or all without names; raises ValueError."""
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["exhibit"]
    try:
        found = {one.name: one for one in map(Exhibit.model_validate, listed)}
    except ValidationError as error:
        raise ValueError(f"{path}: {problem(error.errors()[0])}") from None
    for name in names:
        if name not in found:
            raise ValueError(f"{name}: no such exhibit; choose from {', '.join(found)}")
    return [found[name] for name in dict.fromkeys(names or found)]


def museum(
    dataset: data.Dataset,
    chosen: Sequence[Exhibit],
    maker: Maker,
    output: Path,
    console: Console,
) -> Museum:
    """Compare the environments of every known change without a verdict in `output`; add it there.

    Raises ValueError for a file of another experiment.
    """
    found = Museum(machine=experiments.machine(), dataset=dataset.name)
    same, read = ("machine", "dataset"), Museum.model_validate_json
    found = experiments.continued(found, output, read, "museum", same)
    there = {(one.name, *one.session): one for one in found.seen}
    todo = [e for e in chosen if not settled(e, there.get((e.name, *e.session)))]
    if todo:
        most = max(making.size(exhibit.pins(exhibit.new)) for exhibit in todo)
        console.print(
            f"{len(todo)} exhibits: about {len(todo) * EACH / 60:.0f} min, and up to "
            f"{making.in_gigabytes(2 * most)} of disk in {maker.folder}"
        )
    for exhibit in todo:
        console.print(f"{exhibit.name}: {exhibit.package} {exhibit.old} → {exhibit.new}")
        alike = (
            seen
            for seen in found.seen
            if tuple(seen.session) == exhibit.session and settled(exhibit, seen)
        )
        twin = next(alike, None)
        one = twin or visit(dataset, exhibit, maker, console)
        one = one.model_copy(update={"name": exhibit.name, "expect": exhibit.expect})
        found.seen = [old for old in found.seen if old.name != one.name] + [one]
        experiments.write(found, output)
    return found


def visit(dataset: data.Dataset, exhibit: Exhibit, maker: Maker, console: Console) -> Seen:
    """Make both environments and let the gate compare them."""
    began, row = monotonic(), RowId.parse(exhibit.row)
    seen = Seen(
        name=exhibit.name,
        expect=exhibit.expect,
        session=list(exhibit.session),
        source=source_hash(),
    )
    old, new = exhibit.pins(exhibit.old), exhibit.pins(exhibit.new)
    try:
        before, after = maker.make(old, beside=[new]), maker.make(new, beside=[old])
        if exhibit.metric == NUMBERS:
            words = probes.numbers(before, after, row.implementation)
            seen.changes = [numbers_changed(row, before.name, after.name, words)]
        else:
            rows = [(row.trial, row.implementation)]
            results = gates.gate(dataset, after, [before], rows, maker.folder, console)
            seen.changes = gates.changes(results)
    except (EnvironmentProblem, JournalError, WorkerError) as error:
        seen.failed = str(error).splitlines()[0]
    seen.seconds = round(monotonic() - began, 1)
    return seen


def numbers_changed(row: RowId, old: str, new: str, words: list[str]) -> Change:
    """The result of `defaults --against`, as a verdict."""
    return Change(
        trial=str(row.trial),
        implementation=row.implementation,
        old=old,
        new=new,
        metric=NUMBERS,
        verdict=CHANGED if words else NO_CHANGE,
        reason="; ".join(words),
    )


def answered(exhibit: Exhibit, seen: Seen | None) -> bool:
    """Whether the gate reached a verdict on an exhibit's metric."""
    found = seen.verdict(exhibit.metric) if seen else None
    return found is not None and (found.told or exhibit.expect == found.verdict)


def settled(exhibit: Exhibit, seen: Seen | None) -> bool:
    """Whether an exhibit need not be measured again, as after a failure or a disturbed session."""
    if seen is None or seen.failed:
        return False
    time = seen.verdict("time")
    compared = time is None or time.told  # else other metrics were not asked about
    return (seen.verdict(exhibit.metric) is None and compared) or answered(exhibit, seen)


def right(exhibit: Exhibit, seen: Seen) -> bool:
    """Whether the gate's verdict is the expected one."""
    found = seen.verdict(exhibit.metric)
    if found is None:
        return False
    if exhibit.expect == NO_CHANGE:
        return not found.called and found.verdict != Status.NOT_COMPARABLE
    return found.verdict == exhibit.expect


def shown(chosen: Sequence[Exhibit], museum: Museum) -> str:
    """Expected and actual verdicts, as a Markdown table and a summary."""
    by_name = {one.name: one for one in museum.seen}
    heads = ("", "releases", "row", "expected", "seen", "ratio", "seconds")
    rows = [line(exhibit, by_name[exhibit.name]) for exhibit in chosen if exhibit.name in by_name]
    told = [(e, by_name[e.name]) for e in chosen if answered(e, by_name.get(e.name))]
    real = [one for one in told if one[0].expect != NO_CHANGE]
    reported = [right(*one) for one in real if one[0].tracker]
    own = [right(*one) for one in real if not one[0].tracker]
    controls = [right(*one) for one in told if one[0].expect == NO_CHANGE]
    counts = f"The suite found {sum(reported)} of {len(reported)} changes that others had reported"
    counts += f", and {sum(own)} of {len(own)} that it had found first" if own else ""
    wrong = len(controls) - sum(controls)
    counts += f". It reported a change in {wrong} of {len(controls)} pairs of releases without one"
    if silent := len(chosen) - len(told):
        counts += f"; {silent} {'is' if silent == 1 else 'are'} not known"
    counts += "."
    return "\n".join([*table(heads, rows), "", counts])


def line(exhibit: Exhibit, seen: Seen) -> list[str]:
    """An exhibit's line of the table."""
    found = seen.verdict(exhibit.metric)
    ratio = ""
    if found and found.ratio is not None:
        ends = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
        ratio = f"{found.ratio:.3f}{ends}"
    said = found.verdict if found else f"failed: {seen.failed}"
    if found and found.reason:
        said += f": {found.reason}"
    return [
        ("" if right(exhibit, seen) else "✗ ") + exhibit.name,
        f"{exhibit.package} {exhibit.old} → {exhibit.new}",
        f"`{exhibit.row}`" + ("" if exhibit.metric == "time" else f", {exhibit.metric}"),
        exhibit.expect,
        said,
        ratio,
        f"{seen.seconds:.0f}",
    ]
