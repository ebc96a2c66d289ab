"""Where on the way from one environment to another something changed, by the gate's own verdict.

The way is halved again and again: one session compares its middle with both of its ends, and every
half that changed is searched further. So several changes are found, unless they cancel out within
a half. A half is followed only where the gate confirmed a change, which it does by mistake in at
most `FAMILY` of sessions: a search that takes so many sessions on average names something wrongly
with at most `FAMILY` times their number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.comparing.changes import Change
from benchmarks.comparing.verdicts import FAMILY

# An environment: its packages with their versions, in a fixed order.
Place = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """A part of the way, and the verdicts on its end against its beginning."""

    old: Place
    new: Place
    changes: tuple[Change, ...]

    @property
    def called(self) -> list[Change]:
        """The times that changed."""
        return [one for one in self.changes if one.called and one.metric == "time"]

    @property
    def open(self) -> list[Change]:
        """The times of which the gate could say neither."""
        return [one for one in self.changes if not one.settled and one.metric == "time"]


@dataclass
class Found:
    """What a search ended with.

    `ends` are both ends, with all verdicts on them. `steps` changed and have nothing in between.
    `lost` changed, but neither of its halves did so surely: the change is somewhere within. `open`
    could not be decided and was not followed. `sessions` counts those that were repeated, too.
    """

    ends: Part
    steps: list[Part] = field(default_factory=list)
    lost: list[Part] = field(default_factory=list)
    open: list[Part] = field(default_factory=list)
    sessions: int = 1

    @property
    def error(self) -> float:
        """At most how probably anything of it was called changed by mistake."""
        return min(1.0, FAMILY * self.sessions)


def search(
    old: Place,
    new: Place,
    between: Callable[[Place, Place], Sequence[Place]],
    ask: Callable[[Place, Sequence[Place]], Sequence[Sequence[Change]]],
) -> Found:
    """Find every step of the way that changed a time.

    `between` tells what lies between two places, in order. `ask` holds a place against others in
    one session and returns the verdicts on it against each of them.
    """
    [changes] = ask(new, [old])
    found = Found(Part(old, new, tuple(changes)))
    todo = follow(found, [found.ends])
    while todo:
        whole = todo.pop(0)
        if not (inner := between(whole.old, whole.new)):
            found.steps.append(whole)
            continue
        middle = inner[len(inner) // 2]
        first, second = ask(middle, [whole.old, whole.new])
        found.sessions += 1
        halves = [
            Part(whole.old, middle, tuple(first)),
            Part(middle, whole.new, tuple(one.turned() for one in second)),
        ]
        todo += follow(found, halves)
        again = {one.trial for half in halves for one in half.called}
        if lost := tuple(one for one in whole.called if one.trial not in again):
            found.lost.append(Part(whole.old, whole.new, lost))
    return found


def follow(found: Found, parts: Sequence[Part]) -> list[Part]:
    """The parts to search further; what was not decided is noted."""
    undecided = (Part(part.old, part.new, tuple(part.open)) for part in parts if part.open)
    found.open += undecided
    return [part for part in parts if part.called]
