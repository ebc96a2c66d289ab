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
    "One framework after the other divides Keras's unchanged time in one block by PyTorch's in the "
    "next block. Its cells show how much each side's time varies between blocks. "
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


def matters(one: Moved) -> bool:
    """Whether a change surely moves a side's time or its answers, or the verdict."""
    if effects(one) or one.failed or not all(one.equal.values()):
        return True
    factors = [one.factor(who) for who in one.sides if one.knob != ONE_AFTER_THE_OTHER]
    return any(factor.winner is not None for factor in factors)


def table(found: Explained, brief: bool = False) -> str:
    """A table for each trial: each knob's factor for both, and its effect on the verdict.

    If `brief`, changes without an effect have no row, but are named below it.
    """
    lines: list[str] = []
    for trial, every in in_order(found).items():
        seconds = every[0].seconds
        before = ", ".join(f"{label(who)} {1000 * seconds[who]:.2f} ms" for who in PAIR)
        lines += [f"### {title(trial)}", "", f"Unchanged: {before}.", ""]
        heads = ("", "`--knob`", *map(label, PAIR), "the verdict")
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        shown = [one for one in every if matters(one)] if brief else every
        for one in shown:
            mark = "mistake: " if one.knob in MISTAKES else ""
            name = "" if one.knob in DERIVED else f"`{one.knob}`"
            cells = (mark + TITLES[one.knob], name, *(cell(one, who) for who in PAIR), effects(one))
            lines.append(f"| {' | '.join(cells)} |")
        if rest := [DERIVED.get(one.knob, f"`{one.knob}`") for one in every if one not in shown]:
            lines += ["", f"No effect that is surely beyond {MARGIN:.0%}: {', '.join(rest)}."]
        lines.append("")
    return "\n".join([*lines, about(found)])


def about(found: Explained) -> str:
    """How it was measured, and where."""
    sequence = any(one.knob == ONE_AFTER_THE_OTHER for one in found.moved)
    return (
        "Each figure is the time with the change divided by the time without it. Both were "
        f"measured in the same rounds, in {found.blocks} blocks of fresh processes. Each interval "
        f"has {CONFIDENCE:.0%} confidence. A star marks answers that are not the reference's. A "
        f"side is named faster only beyond {MARGIN:.0%}. {SEQUENCE if sequence else ''}"
        f"{place(found)}."
    )


def place(found: Explained) -> str:
    """Where it was measured."""
    listed = ", ".join(found.versions.values())
    return f"{found.machine}; {listed}; data set '{found.dataset}'; one thread"


def turned(found: Explained) -> list[str]:
    """Which changes reverse the verdict, as a list in Markdown with a line for each trial."""
    lines = []
    for trial, every in in_order(found).items():
        said = []
        for one in every:
            sides = [who for who in one.changed if one.effect(who) is Effect.ROUND]
            if sides:
                where = " or ".join("both" if who == "both" else label(who) for who in sides)
                said.append(f"{TITLES[one.knob]}, in {where}")
        if said:
            lines.append(f"- **{title(trial)}**: {'; '.join(said)}")
    return lines or ["- none"]


def limits(found: Ratio) -> tuple[float, float]:
    """The ends of an interval, or the value where there are too few blocks for one."""
    if found.low is None or found.high is None:
        return found.value, found.value
    return found.low, found.high
