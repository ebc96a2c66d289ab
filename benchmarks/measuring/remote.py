"""The answers of workers on another host, and whether they are valid."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any
from zipfile import BadZipFile

from pydantic import ValidationError

from benchmarks.measuring.hosts import HostLost
from benchmarks.measuring.journal import Record
from benchmarks.measuring.workers import WorkerError, WorkerProcess

# The longest valid sample, in seconds.
LONGEST = 1e6
# Exceptions from reading an invalid answer.
NONSENSE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    BadZipFile,
)
# Seconds for a worker to report the load of its machine.
TELL_LIMIT = 60.0


class FarMeter:
    """Like `load.Meter`, from the CPU times that workers on another host report."""

    def __init__(
        self, workers: Mapping[str, WorkerProcess], names: Sequence[str], operation: str
    ) -> None:
        self.workers = {name: workers[name] for name in names if name in workers}
        self.operation = operation
        self.before = self.told()
        self.after: dict[str, dict[str, float]] | None = None

    def told(self) -> dict[str, dict[str, float]]:
        """CPU times by worker (`Worker.load`); empty if a worker does not report them."""
        found = {}
        for name, worker in self.workers.items():
            try:
                found[name] = worker.ask("load", self.operation, limit=TELL_LIMIT)
            except WorkerError:
                return {}
        return found

    def foreign(self) -> float | None:
        """Share of the CPUs' time that other programs and machines took; None if unknown."""
        return self.share("busy", ours=True)

    def stolen(self) -> float | None:
        """Share of the CPUs' time that the hypervisor gave to other machines; None if unknown."""
        return self.share("stolen")

    def share(self, what: str, ours: bool = False) -> float | None:
        """Share of the CPUs' time that was `what`, less the workers' if `ours`; None if unknown."""
        self.after = self.told() if self.after is None else self.after
        common = self.before.keys() & self.after.keys()
        if not common:
            return None
        spent = {
            key: {name: self.after[name][key] - self.before[name][key] for name in common}
            for key in ("wall", what, "own")
        }
        one = max(common)
        seconds = spent["wall"][one]
        if not seconds > 0:
            return None
        less = sum(spent["own"].values()) if ours else 0.0
        return max(0.0, (spent[what][one] - less) / seconds)


def check_answers(record: Mapping[str, Any]) -> None:
    """Raise HostLost if a host's answer is no measurement; none of it is saved."""
    try:
        Record.model_validate(record)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise HostLost(f"its answer is invalid: {place}: {problem['msg']}") from None
    for name, entry in record["results"].items():
        times = [second for sample in entry.get("samples", ()) for second in sample]
        times += [entry["first_call_seconds"]] if "first_call_seconds" in entry else []
        for seconds in times:
            if not (isfinite(seconds) and 0 <= seconds < LONGEST):
                raise HostLost(f"its answer is invalid: {name} took {seconds} s")
