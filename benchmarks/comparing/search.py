"""Where a time changed on the way from one environment to another, by the gate's own verdict.

The way is halved repeatedly. One session compares its middle with both of its ends, and every half
that changed is searched further. So several changes are found, unless they cancel out within a
half. A half is searched only if the gate confirmed a change, which it does by mistake in at most
`FAMILY` of sessions. A search that takes n sessions on average therefore reports a wrong change
with a probability of at most n · `FAMILY`.
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
        """The times that are undecided: neither a change nor equality is confirmed."""
        return [one for one in self.changes if not one.settled and one.metric == "time"]


@dataclass
class Found:
    """The result of a search.

    `ends` are both ends, with all verdicts on them. `steps` are parts that changed and have no
    environment in between. `lost` are parts that changed, but of which neither half surely did.
    `open` are undecided parts, which were not searched. `sessions` includes repeated ones.
    """

    ends: Part
    steps: list[Part] = field(default_factory=list)
    lost: list[Part] = field(default_factory=list)
    open: list[Part] = field(default_factory=list)
    sessions: int = 1

    @property
    def error(self) -> float:
        """An upper bound of the probability that any reported change is wrong."""
        return min(1.0, FAMILY * self.sessions)


def search(
    old: Place,
    new: Place,
    between: Callable[[Place, Place], Sequence[Place]],
    ask: Callable[[Place, Sequence[Place]], Sequence[Sequence[Change]]],
) -> Found:
    """Find every step of the way that changed a time.

    `between` returns the places between two others, in order. `ask` compares a place with others in
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
    """The parts to search further; undecided ones are added to `found.open`."""
    undecided = (Part(part.old, part.new, tuple(part.open)) for part in parts if part.open)
    found.open += undecided
    return [part for part in parts if part.called]
