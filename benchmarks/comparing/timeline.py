"""A framework's releases over the years, each against a common anchor in the same rounds."""

from itertools import pairwise
from math import log
from statistics import median
from typing import Self

from pydantic import BaseModel, ConfigDict

from benchmarks.comparing.ratios import Ratio, of_logs

# A change between neighbours counts if it is at least LARGE, and its interval is beyond MARGIN.
LARGE, MARGIN = 0.05, 0.02


class Figures(BaseModel):
    """A row in one environment.

    `logs` are each block's log-ratio to the anchor, empty for the anchor itself; `seconds` is the
    median, `first_calls` are seconds by block, `memory` is the peak in bytes.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    seconds: float
    logs: list[float] = []
    first_calls: list[float] = []
    memory: int = 0


class Sitting(BaseModel):
    """One session: figures by release and row; `imports` are seconds of importing, by release."""

    model_config = ConfigDict(strict=True, extra="forbid")

    began: str
    seconds: float
    figures: dict[str, dict[str, Figures]]
    imports: dict[str, list[float]]


class Timeline(BaseModel):
    """All sessions. `releases` are in order, the last of them is the anchor.

    `pins` are what an environment holds, by release; `left_out` is why a release is missing.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    package: str
    machine: str
    dataset: str
    source: str
    releases: list[str]
    pins: dict[str, dict[str, str]]
    rows: list[str]
    sittings: list[Sitting] = []
    left_out: dict[str, str] = {}

    @property
    def anchor(self) -> str:
        """The release with which all others are compared."""
        return self.releases[-1]

    @classmethod
    def of(cls, text: str) -> Self:
        """The timeline in a file."""
        return cls.model_validate_json(text)

    def measured(self) -> list[str]:
        """The releases that were measured, in order, the anchor included."""
        there = {release for sitting in self.sittings for release in sitting.figures}
        return [release for release in self.releases if release in there]

    def figures(self, release: str, row: str) -> Figures | None:
        """The last measurement of a release's row, or None."""
        found = (s.figures[release].get(row) for s in self.sittings if release in s.figures)
        return next((one for one in [*found][::-1] if one), None)

    def to_anchor(self, release: str, row: str) -> Ratio | None:
        """Seconds of a release over those of the anchor."""
        found = self.figures(release, row)
        return of_logs(found.logs) if found and found.logs else None

    def step(self, old: str, new: str, row: str) -> Ratio | None:
        """Seconds of one release over those of another, from a session that had both."""
        for sitting in self.sittings:
            sides = [sitting.figures.get(release, {}).get(row) for release in (old, new)]
            before, after = (
                self.against_anchor(one, side) for one, side in zip((old, new), sides, strict=True)
            )
            if before is None or after is None:
                continue
            count = max(len(before), len(after))
            before, after = before or [0.0] * count, after or [0.0] * count
            return of_logs([a - b for a, b in zip(after, before, strict=False)])
        return None

    def against_anchor(self, release: str, figures: Figures | None) -> list[float] | None:
        """Log-ratios to the anchor; empty for the anchor itself, None if it was not measured."""
        if figures is None:
            return None
        return [] if release == self.anchor else figures.logs or None

    def import_seconds(self, release: str) -> float | None:
        """The median over all sessions; None if nothing was measured."""
        every = [seconds for one in self.sittings for seconds in one.imports.get(release, [])]
        return median(every) if every else None

    def changes(self) -> list[tuple[str, str, str, Ratio]]:
        """(old, new, row, ratio) of every large and sure change between neighbours."""
        found = []
        for row in self.rows:
            there = [release for release in self.measured() if self.figures(release, row)]
            for old, new in pairwise(there):
                ratio = self.step(old, new, row)
                if ratio and large(ratio):
                    found.append((old, new, row, ratio))
        return found


def large(found: Ratio) -> bool:
    """Whether a ratio is a change of LARGE or more, and surely one of more than MARGIN."""
    if found.low is None or found.high is None:
        return False
    sure = found.low > 1 + MARGIN or found.high < 1 / (1 + MARGIN)
    return sure and abs(log(found.value)) >= log(1 + LARGE)
