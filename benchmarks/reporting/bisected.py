"""The result of a search, as Markdown that can be pasted into an issue tracker."""

from benchmarks.comparing.changes import Change
from benchmarks.comparing.search import Found, Part, Place
from benchmarks.comparing.verdicts import FAMILY, Status
from benchmarks.measuring.making import requirements
from benchmarks.reporting.words import format_seconds, label

# The words for more and less: of times, and of memory.
WORDS = (("slower", "faster"), ("larger", "smaller"))


def text(
    found: Found,
    numbers: list[list[str]],
    refused: list[str],
    machine: str,
    dataset: str,
    implementation: str,
) -> str:
    """Everything that was found, as Markdown.

    `numbers` are the changed defaults and results of each step. `refused` is why environments on
    the way were left out.
    """
    parts = [
        step(part, others, machine, dataset, implementation)
        for part, others in zip(found.steps, numbers, strict=True)
    ]
    for part in found.lost:
        parts.append(
            f"Between {span(part)} something changed ({summary(part.called)}), but neither half of "
            "the way did so surely: it changed in several small steps, or up and down."
        )
    for part in found.open:
        parts.append(f"Not decided between {span(part)}: {summary(part.open)}.")
    if not parts:
        parts = [f"{label(implementation)}: no time changed between {span(found.ends)}."]
    if others := [one for one in found.ends.changes if one.called and one.metric != "time"]:
        parts.append(
            f"Also changed between {span(found.ends)}, but not searched further: {summary(others)}."
        )
    if refused:
        parts.append("Left out, because they cannot be installed: " + "; ".join(refused) + ".")
    parts.append(
        f"{found.sessions} session{'s' * (found.sessions > 1)}. Each reports a change that is not "
        f"real with a probability of at most {FAMILY:.0%}; all of them together with at most "
        f"{found.error:.0%}, where a search takes so many on average."
    )
    return "\n\n".join(parts)


def step(part: Part, numbers: list[str], machine: str, dataset: str, implementation: str) -> str:
    """A section on one release, or one exchange, that changed something."""
    called = [one for one in part.changes if one.called]
    lines = [
        f"**{names(changed(part))}** changed {label(implementation)}, compared with "
        f"{names(changed(part, old=True))}:",
        "",
    ]
    lines += [f"- {told(one)}" for one in called]
    lines += [f"- {line}" for one in called for line in why(one)]
    lines += [f"- a number changed, too: {line}" for line in numbers]
    same = dict(part.new).items() - dict(changed(part)).items()
    rest = names(tuple(sorted(same)))
    trials = " ".join(f'"{trial}"' for trial in dict.fromkeys(one.trial for one in part.called))
    lines += [
        "",
        f"Measured with {rest} on {machine}, one thread, data set '{dataset}', in blocks of fresh "
        "processes, both releases in turns. A change counts beyond 2 %; intervals are those of the "
        "median of the blocks that confirmed it.",
        "",
        "```bash",
        made("old", part.old),
        made("new", part.new),
        f"python -m benchmarks bisect old new --implementation {implementation} {trials}",
        "```",
    ]
    return "\n".join(lines)


def made(folder: str, place: Place) -> str:
    """The command that makes an environment."""
    pins = dict(place)
    packages = " ".join(requirements(pins))
    return f"uv venv -p {pins['python']} {folder} && uv pip install -p {folder} {packages}"


def changed(part: Part, old: bool = False) -> Place:
    """The packages in which both ends differ, as they are at the new end, or the `old` one."""
    here, there = (part.old, part.new) if old else (part.new, part.old)
    return tuple(sorted(set(here) - set(there)))


def names(place: Place) -> str:
    """Packages with their versions, as text. A pin may name another distribution of a package."""
    return ", ".join(pin if " " in pin else f"{name} {pin}" for name, pin in place)


def span(part: Part) -> str:
    """Both ends of a part, as text."""
    return f"{names(changed(part, old=True))} and {names(changed(part))}"


def summary(changes: list[Change]) -> str:
    """Some changes in one line."""
    return "; ".join(map(told, changes))


def told(change: Change) -> str:
    """One verdict as text."""
    what = f"`{change.trial}`"
    if change.metric != "time":
        what = f"the {change.metric} of {what}"
    if not change.called or change.ratio is None:
        return f"{what}: {change.verdict}" + (f", {change.reason}" * bool(change.reason))
    more = change.verdict == Status.REGRESSED
    words = WORDS[change.metric == "peak memory"]
    factors = change.ratio, change.low or change.ratio, change.high or change.ratio
    times, *ends = factors if more else (1 / one for one in factors)
    low, high = sorted(ends)
    seconds = " → ".join(map(format_seconds, change.seconds))
    figures = f"{times:.2f}× {words[not more]} [{low:.2f}, {high:.2f}]"
    return f"{what} is {figures}" + f", {seconds}" * bool(seconds)


def why(change: Change) -> list[str]:
    """The causes that the counters show on one side only, as text."""
    if len(change.causes) != 2:
        return []
    before, after = change.causes
    came = [f"since then: {one}" for one in after if one not in before]
    return came + [f"before: {one}" for one in before if one not in after]
