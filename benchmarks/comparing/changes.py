"""The verdicts of a gate session on two environments, as experiments save them."""

from pydantic import BaseModel, ConfigDict

from benchmarks.comparing.records import Judged
from benchmarks.comparing.verdicts import CALLED, Status


class Change(BaseModel):
    """The verdict on one metric of one row, of `new` against `old`, which name environments.

    If times were compared, `seconds` are the medians of both sides, old before new, and `causes`
    the causes that the counters of each side show.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    trial: str
    implementation: str
    old: str
    new: str
    metric: str
    verdict: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    blocks: int | None = None
    reason: str = ""
    seconds: list[float] = []
    causes: list[list[str]] = []

    def turned(self) -> "Change":
        """The verdict on `old` against `new`."""
        words = {Status.REGRESSED: Status.IMPROVED, Status.IMPROVED: Status.REGRESSED}
        return self.model_copy(
            update={
                "old": self.new,
                "new": self.old,
                "verdict": words.get(Status(self.verdict), Status(self.verdict)).value,
                "ratio": inverse(self.ratio),
                "low": inverse(self.high),
                "high": inverse(self.low),
                "seconds": self.seconds[::-1],
                "causes": self.causes[::-1],
            }
        )

    @property
    def called(self) -> bool:
        """Whether the gate confirmed a change."""
        return self.verdict in CALLED

    @property
    def told(self) -> bool:
        """Whether both sides were measured, without disturbance by other programs."""
        return self.verdict not in (Status.NOT_COMPARABLE, Status.CONTAMINATED)

    @property
    def settled(self) -> bool:
        """Whether the gate confirmed either a change or equality."""
        return self.called or self.verdict == Status.EQUIVALENT


def change(judged: Judged, new: str) -> Change:
    """A verdict as it is saved; figures have five digits."""
    record = judged.record()
    return Change(
        trial=judged.comparison.trial,
        implementation=judged.comparison.implementation,
        old=judged.comparison.environment,
        new=new,
        metric=record["metric"],
        verdict=record["verdict"],
        blocks=record["blocks"],
        reason=record["reason"],
        ratio=digits(record["ratio"]),
        low=digits(record["low"]),
        high=digits(record["high"]),
    )


def inverse(value: float | None) -> float | None:
    """One over a ratio."""
    return digits(1 / value) if value else value


def digits(value: float | None) -> float | None:
    """A number to five digits, far below the noise."""
    return None if value is None else float(f"{value:.5g}")
