"""By how much a knob changes a time, and whether it reverses the verdict."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.comparing.ratios import Ratio, of_logs
from benchmarks.comparing.schema import words

# Log-ratios by block.
Logs = list[float]
# A mistake that is computed from the unchanged samples: Keras in one block, PyTorch in the next.
# Its `sides` are the variation of each side from block to block, which is no effect.
ONE_AFTER_THE_OTHER = "one_after_the_other"


class Effect(StrEnum):
    """The effect on the verdict on the pair. The value is printed."""

    SAME = ""
    ROUND = "reverses the verdict"
    LOST = "removes the winner"
    WON = "gives a winner"


class Moved(BaseModel):
    """One knob in one trial: log-ratios of each block.

    `sides` are changed over unchanged, by implementation. `pair` is Keras over PyTorch, both
    unchanged. `changed` is Keras over PyTorch with the knob, by the implementation that has it, or
    "both". `seconds` are each side's unchanged medians. `equal` is whether its answers with the
    knob still agree with the reference, and `off` their largest relative difference. `accuracies`
    are those of epochs with the knob. `failed` is why a side could not be measured.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    knob: str
    trial: str
    sides: dict[str, Logs]
    pair: Logs
    changed: dict[str, Logs]
    seconds: dict[str, float]
    equal: dict[str, bool] = {}
    off: dict[str, float] = {}
    accuracies: dict[str, float] = {}
    failed: dict[str, str] = {}

    def factor(self, side: str) -> Ratio:
        """Seconds with the knob over seconds without it."""
        return of_logs(self.sides[side])

    def surely_moved(self, side: str) -> bool:
        """Whether the whole interval of a side's factor lies on one side of 1."""
        found = self.factor(side)
        if found.low is None or found.high is None:
            return False
        return found.low > 1 or found.high < 1

    def effect(self, who: str) -> Effect:
        """The effect on the verdict on the pair, with the knob in `who`.

        There is none unless a side surely changed, because a verdict near its limit changes by
        chance.
        """
        sides = self.sides if who == "both" else [who]
        if self.knob != ONE_AFTER_THE_OTHER and not any(map(self.surely_moved, sides)):
            return Effect.SAME
        before, after = of_logs(self.pair).winner, of_logs(self.changed[who]).winner
        if before == after:
            return Effect.SAME
        if after is None:
            return Effect.LOST
        return Effect.WON if before is None else Effect.ROUND


class Explained(BaseModel):
    """A whole experiment, with its machine and its versions."""

    model_config = ConfigDict(strict=True, extra="forbid")

    dataset: str
    blocks: int
    rounds: int
    machine: str
    versions: dict[str, str]
    # The digest of the measured source; older files lack it.
    source: str = ""
    moved: list[Moved] = []
    skipped: dict[str, str] = {}


def read(text: str) -> Explained:
    """An experiment from its file; raises ValueError with the first fault."""
    try:
        return Explained.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(words(error.errors(include_url=False, include_context=False)[0])) from None
