"""Which changes affect the times, in Markdown: for the terminal and for docs/causes.md."""

from math import exp

from benchmarks.causes.knobs import KNOBS
from benchmarks.comparing.moves import ONE_AFTER_THE_OTHER, Effect, Explained, Moved
from benchmarks.comparing.ratios import CONFIDENCE, MARGIN, Ratio
from benchmarks.reporting.words import OPERATIONS, figure, label
from benchmarks.trial import Trial
from mnist_models.implementations import PAIR

DERIVED = {
    "first_call_included": "the first of 100 calls is included",
    ONE_AFTER_THE_OTHER: "one framework after the other",
}
SEQUENCE = (
    "One framework after the other is computed from the unchanged samples: Keras in one block over "
    "PyTorch in the next. Its cells have by how much each side varies from block to block. "
)
TITLES = {knob.name: knob.title for knob in KNOBS} | DERIVED
MISTAKES = {knob.name for knob in KNOBS if knob.mistake} | {*DERIVED}
ORDER = [*TITLES]


def title(trial: str) -> str:
    """A trial's title."""
    parsed = Trial.parse(trial)
    return f"{OPERATIONS[parsed.operation]}, {parsed.architecture}, batch {parsed.batch_size}"


def in_order(found: Explained) -> dict[str, list[Moved]]:
    """The effects in each trial, knobs before mistakes, in the order of their lists."""
    trials: dict[str, list[Moved]] = {}
    for one in sorted(found.moved, key=lambda o: (o.knob in MISTAKES, ORDER.index(o.knob))):
        trials.setdefault(one.trial, []).append(one)
    return trials


def cell(one: Moved, who: str) -> str:
    """The factor of a knob on a side's time, with a star if the answers are wrong."""
    if who in one.failed:
        return "failed"
    if who not in one.sides:
        return ""
    if one.knob == ONE_AFTER_THE_OTHER:
        return f"{exp(min(one.sides[who])):.2f} to {exp(max(one.sides[who])):.2f}"
    said = figure(one.factor(who))
    if not one.equal.get(who, True):
        said += " *" + (f" off by {one.off[who]:.0e}" if who in one.off else "")
    if accuracy := one.accuracies.get(who):
        said += f", accuracy {accuracy:.4f}"
    return said


def effects(one: Moved) -> str:
    """The effects on the verdict, each with the side that has the knob."""
    said = {who: effect for who in one.changed if (effect := one.effect(who)) is not Effect.SAME}
    names = {"both": "changed in both", **{who: f"changed in {label(who)}" for who in PAIR}}
    return "; ".join(f"{effect}, {names[who]}" for who, effect in said.items())


def table(found: Explained) -> str:
    """A table for each trial: each knob's factor for both, and its effect on the verdict."""
    lines: list[str] = []
    for trial, every in in_order(found).items():
        seconds = every[0].seconds
        before = ", ".join(f"{label(who)} {1000 * seconds[who]:.2f} ms" for who in PAIR)
        lines += [f"### {title(trial)}", "", f"Unchanged: {before}.", ""]
        heads = ("", "`--knob`", *map(label, PAIR), "the verdict")
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for one in every:
            mark = "mistake: " if one.knob in MISTAKES else ""
            name = "" if one.knob in DERIVED else f"`{one.knob}`"
            cells = (mark + TITLES[one.knob], name, *(cell(one, who) for who in PAIR), effects(one))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, about(found)])


def about(found: Explained) -> str:
    """Where and how it was measured."""
    listed = ", ".join(found.versions.values())
    sequence = any(one.knob == ONE_AFTER_THE_OTHER for one in found.moved)
    return (
        f"Time with the change over time without it, both in the same rounds of {found.blocks} "
        f"blocks of fresh processes, with intervals of {CONFIDENCE:.0%}. A star: the answers are "
        f"no longer the reference's. A verdict needs a difference of {MARGIN:.0%}. Intervals are "
        f"not corrected for their number. {SEQUENCE if sequence else ''}"
        f"{found.machine}; {listed}; data set '{found.dataset}'; one thread."
    )


def turned(found: Explained) -> list[str]:
    """Which changes reverse the verdict, where, as a list in Markdown."""
    lines = []
    for trial, every in in_order(found).items():
        for one in every:
            for who in one.changed:
                if one.effect(who) is Effect.ROUND:
                    where = "both" if who == "both" else label(who)
                    lines.append(f"- {title(trial)}: {TITLES[one.knob]}, in {where}")
    return lines or ["- none"]


def limits(found: Ratio) -> tuple[float, float]:
    """The ends of an interval, or the value where there are too few blocks for one."""
    if found.low is None or found.high is None:
        return found.value, found.value
    return found.low, found.high
