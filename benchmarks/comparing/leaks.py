"""Whether memory, threads or open files grow from call to call, and verdicts on changes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.comparing.growth import Estimate, estimate
from benchmarks.comparing.verdicts import Metric, Status, Verdict

# The growth from one reading to the next above which a quantity grows. The kernel gives memory in
# pages; a leak leaves whole threads and files.
LEAST = {"memory": 4096.0, "threads": 0.1, "files": 0.1}
UNITS = {"memory": "B", "threads": "", "files": ""}
METRICS = {name: Metric(f"{name} kept", unit, 0.0) for name, unit in UNITS.items()}
# For each block, what one call keeps, by the call's name: memory in bytes, threads, files.
Blocks = Sequence[Mapping[str, Mapping[str, float]]]


def kept(blocks: Blocks, call: str, quantity: str) -> Estimate:
    """What a call keeps of a quantity, with its interval over blocks."""
    return estimate([block[call][quantity] for block in blocks])


def grows(blocks: Blocks, call: str, quantity: str) -> bool | None:
    """Whether a quantity grows from call to call; None if this is undecided.

    The whole interval must lie above the quantity's limit in LEAST, or below it.
    """
    found, least = kept(blocks, call, quantity), LEAST[quantity] / blocks[0][call]["each"]
    if found.low is None or found.high is None:
        return None
    if found.low > least:
        return True
    return False if found.high <= least else None


def judge_leaks(new: Blocks, old: Blocks, quantity: str, environment: str) -> Verdict:
    """The verdict on the growth of a quantity, over all calls that both sides have.

    It is a change if the quantity grows on one side only. For one call and six blocks, chance puts
    both sides on opposite sides of the limit in at most one of 2,048 comparisons.
    """
    calls = [call for call in new[0] if call in old[0]] if new and old else []
    if not calls:
        return Verdict(Status.NOT_COMPARABLE, reason=f"no call in common with {environment}")
    states = {c: (grows(new, c, quantity), grows(old, c, quantity)) for c in calls}
    for status, change in ((Status.REGRESSED, (True, False)), (Status.IMPROVED, (False, True))):
        if changed := [call for call, state in states.items() if state == change]:
            reason = "; ".join(said(call, new, old, quantity) for call in changed)
            return Verdict(status, reason=reason)
    if open_ := [call for call, state in states.items() if None in state]:
        reason = "; ".join(said(call, new, old, quantity) for call in open_)
        return Verdict(Status.INCONCLUSIVE, reason=f"cannot tell whether it grows: {reason}")
    both = [call for call, state in states.items() if state == (True, True)]
    words = f"grows on both sides: {', '.join(both)}" if both else "grows on neither side"
    return Verdict(Status.EQUIVALENT, reason=words)


def said(call: str, new: Blocks, old: Blocks, quantity: str) -> str:
    """What a call keeps on both sides, as text."""
    ours, theirs = (kept(blocks, call, quantity).value for blocks in (new, old))
    unit = " bytes of memory" if quantity == "memory" else f" {quantity}"
    return f"each {call} keeps {ours:.3g}{unit}, was {theirs:.3g}"


def of(row: Mapping[str, Any] | None) -> Blocks:
    """What calls kept in the blocks of a saved row; empty if this was not measured."""
    found: Blocks = row["extra_info"].get("leaks", []) if row else []
    return found
