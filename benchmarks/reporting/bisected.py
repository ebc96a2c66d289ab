"""What a search found, in words that can be pasted into an issue tracker."""

from benchmarks.comparing.changes import Change
from benchmarks.comparing.search import Found, Part, Place
from benchmarks.comparing.verdicts import Status
from benchmarks.measuring.making import requirements
from benchmarks.reporting.words import format_seconds, label


def text(
    found: Found, numbers: list[list[str]], machine: str, dataset: str, implementation: str
) -> str:
    """Everything that was found, as Markdown; `numbers` are what else changed at each step."""
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
        parts = [f"{label(implementation)}: no change was found between the two ends."]
    parts.append(
        f"{found.sessions} sessions; that any of them called something changed that did not "
        f"change has a probability of at most {found.error:.0%}."
    )
    return "\n\n".join(parts)


def step(part: Part, numbers: list[str], machine: str, dataset: str, implementation: str) -> str:
    """One release, or one exchange, that changed something."""
    lines = [
        f"**{names(changed(part))}** changed {label(implementation)}, compared with "
        f"{names(changed(part, old=True))}:",
        "",
    ]
    lines += [f"- {told(one)}" for one in part.called]
    lines += [f"- {line}" for one in part.called for line in why(one)]
    lines += [f"- a number changed, too: {line}" for line in numbers]
    same = dict(part.new).items() - dict(changed(part)).items()
    rest = names(tuple(sorted(same)))
    lines += [
        "",
        f"Measured with {rest} on {machine}, one thread, data set '{dataset}', in blocks of fresh "
        "processes, both releases in turns. Intervals hold the ratio with at least 99 % "
        "confidence; a change counts beyond 2 %.",
        "",
        "```bash",
        made("old", part.old),
        made("new", part.new),
        f"python -m benchmarks bisect old new --implementation {implementation} "
        + " ".join(f'"{trial}"' for trial in dict.fromkeys(one.trial for one in part.called)),
        "```",
    ]
    return "\n".join(lines)


def made(folder: str, place: Place) -> str:
    """The command that makes an environment."""
    pins = dict(place)
    packages = " ".join(requirements(pins))
    return f"uv venv -p {pins['python']} {folder} && uv pip install -p {folder} {packages}"


def changed(part: Part, old: bool = False) -> Place:
    """The packages in which both ends differ, as they are at the one or the other."""
    here, there = (part.old, part.new) if old else (part.new, part.old)
    return tuple(sorted(set(here) - set(there)))


def names(place: Place) -> str:
    """Packages with their versions, for people."""
    return ", ".join(f"{name} {pin}" for name, pin in place)


def span(part: Part) -> str:
    """From where to where, for people."""
    return f"{names(changed(part, old=True))} and {names(changed(part))}"


def summary(changes: list[Change]) -> str:
    """Some changes in one line."""
    return "; ".join(map(told, changes))


def told(change: Change) -> str:
    """One verdict in words."""
    if not change.called or change.ratio is None:
        return f"`{change.trial}`: {change.verdict}" + (f", {change.reason}" * bool(change.reason))
    slower = change.verdict == Status.REGRESSED
    factors = change.ratio, change.low or change.ratio, change.high or change.ratio
    times, *ends = factors if slower else (1 / one for one in factors)
    low, high = sorted(ends)
    seconds = " → ".join(map(format_seconds, change.seconds))
    return (
        f"`{change.trial}` is {times:.2f}× {'slower' if slower else 'faster'} [{low:.2f}, "
        f"{high:.2f}]" + f", {seconds}" * bool(seconds)
    )


def why(change: Change) -> list[str]:
    """What the counters say of one side only: causes that came or went."""
    if len(change.causes) != 2:
        return []
    before, after = change.causes
    came = [f"since then: {one}" for one in after if one not in before]
    return came + [f"before: {one}" for one in before if one not in after]
