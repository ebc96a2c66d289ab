"""What causes are judged by: the counters of a saved row, averaged over its samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mnist_models.operations import OPERATIONS


@dataclass(frozen=True)
class Finding:
    """A cause that matters: the share of the time that it takes, what to say and what to do.

    `words` has no subject, so that a name can be put before it. `remedy` may be empty.
    """

    cause: str
    share: float
    words: str
    remedy: str = ""


@dataclass(frozen=True)
class Counts:
    """Means per operation of what `mnist_models.counters` counts, and of wall and CPU seconds.

    `stolen` is the share of the CPUs' time that other machines took, `threads` how many threads
    ran, each at its worst block. `others` is the share that other programs and other machines took
    together, over all blocks. `step` is what the operation is called, in the singular.
    """

    seconds: float
    cpu_seconds: float
    counted: Mapping[str, float]
    stolen: float = 0.0
    threads: int = 0
    allowed_threads: int = 1
    step: str = "step"
    environment: Mapping[str, str] | None = None
    device: str = "cpu"
    others: float = 0.0

    def __getitem__(self, name: str) -> float:
        """A counter's mean; 0 where it was not counted."""
        return self.counted.get(name, 0.0)

    def share(self, name: str) -> float:
        """The share of the time that a counter of seconds is."""
        return self[name] / self.seconds if self.seconds > 0 else 0.0

    @property
    def off_cpu(self) -> float:
        """The share of the time in which the one thread was not on its CPU.

        0 with several threads, and where a GPU computes meanwhile.
        """
        if self.allowed_threads > 1 or self.device != "cpu" or self.seconds <= 0:
            return 0.0
        return 1 - self.cpu_seconds / self.seconds

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self | None:
        """The counts of a saved row; None for one that was saved before anything was counted."""
        info, seconds = row["extra_info"], row["stats"]["data"]
        if not (info.get("counted") and info.get("cpu_seconds")):
            return None
        return cls(
            mean(seconds),
            mean(info["cpu_seconds"]),
            {name: mean(values) for name, values in info["counted"].items()},
            max((share or 0.0 for share in info.get("stolen_cpu", {}).values()), default=0.0),
            max((count or 0 for count in info.get("threads_that_ran", ())), default=0),
            info["in_force"]["threads"],
            OPERATIONS[info["operation"]].title,
            info["in_force"].get("environment", {}),
            info["device"],
            mean([share for share in info["foreign_cpu"].values() if share is not None]),
        )


def mean(values: list[float]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0
