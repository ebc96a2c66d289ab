"""What causes are judged by: the counters of a saved row, averaged over its samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any, Self

from mnist_models.operations import OPERATIONS

# The kernel tells its share of a process's time in ticks of some milliseconds.
LEAST_MEASURED = 0.5


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
    """Means per operation of what `mnist_models.counters` counts, and of wall seconds.

    `off_cpu` is the median share of a sample's time in which the one thread was not on its CPU; 0
    with several threads, and where a GPU computes meanwhile. `measured` is the CPU time of all
    samples in seconds.
    `stolen` is the share of the CPUs' time that other machines took, `threads` how many threads
    ran, each at its worst block. `others` is the share that other programs and other machines took
    together, over all blocks. `step` is what the operation is called, in the singular.
    """

    seconds: float
    counted: Mapping[str, float]
    off_cpu: float = 0.0
    measured: float = inf
    stolen: float = 0.0
    threads: int = 0
    step: str = "step"
    environment: Mapping[str, str] | None = None
    others: float = 0.0

    def __getitem__(self, name: str) -> float:
        """A counter's mean; 0 where it was not counted."""
        return self.counted.get(name, 0.0)

    def share(self, name: str) -> float:
        """The share of the time that a counter of seconds is."""
        return self[name] / self.seconds if self.seconds > 0 else 0.0

    @property
    def kernel(self) -> float:
        """The share of the time that is the kernel's; 0 where too little was measured to tell."""
        return self.share("kernel_seconds") if self.measured >= LEAST_MEASURED else 0.0

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self | None:
        """The counts of a saved row; None for one that was saved before anything was counted."""
        info, seconds = row["extra_info"], row["stats"]["data"]
        if not (info.get("counted") and info.get("cpu_seconds")):
            return None
        return cls(
            mean(seconds),
            {name: mean(values) for name, values in info["counted"].items()},
            off_cpu(info, seconds),
            measured(info),
            max((share or 0.0 for share in info.get("stolen_cpu", {}).values()), default=0.0),
            max((count or 0 for count in info.get("threads_that_ran", ())), default=0),
            OPERATIONS[info["operation"]].title,
            info["in_force"].get("environment", {}),
            mean([share for share in info["foreign_cpu"].values() if share is not None]),
        )


def off_cpu(info: Mapping[str, Any], seconds: list[float]) -> float:
    """The median share of a sample's time that its one thread was off the CPU: spikes are rare."""
    if info["in_force"]["threads"] > 1 or info["device"] != "cpu":
        return 0.0
    pairs = zip(info["cpu_seconds"], seconds, strict=True)
    return median(1 - cpu / wall if wall > 0 else 0.0 for cpu, wall in pairs)


def measured(info: Mapping[str, Any]) -> float:
    """The CPU seconds of all samples together."""
    operations = (info.get("iterations", {}).get(str(block), 1) for block in info["blocks"])
    pairs = zip(info["cpu_seconds"], operations, strict=True)
    return sum(cpu * number for cpu, number in pairs)


def mean(values: list[float]) -> float:
    """The mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0
