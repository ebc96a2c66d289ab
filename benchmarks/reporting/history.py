"""A package's releases side by side, as tables."""

from collections.abc import Iterator
from statistics import median

from benchmarks.comparing.ratios import Ratio
from benchmarks.comparing.timeline import LARGE, MARGIN, Timeline
from benchmarks.reporting.markdown import table
from benchmarks.reporting.words import figure, format_bytes, format_seconds
from benchmarks.trial import RowId


def text(timeline: Timeline, brief: bool = False) -> str:
    """Times against the anchor and what else releases cost; unless `brief`, the large changes.

    What was left out, or is not measured yet, is always named.
    """
    if not timeline.measured():
        return "nothing was measured"
    parts = [times(timeline), costs(timeline), *([] if brief else [changes(timeline)])]
    parts += [missing(timeline), [about(timeline)]]
    return "\n\n".join("\n".join(part) for part in parts if part)


def heading(row: str) -> str:
    """A row as a column's heading."""
    trial = RowId.parse(row).trial
    return f"{trial.architecture} {trial.kind.title}"


def times(timeline: Timeline) -> list[str]:
    """A table of times over those of the anchor, a line for each release."""

    def line(release: str) -> Iterator[str]:
        yield release
        for row in timeline.rows:
            found = timeline.figures(release, row)
            if release == timeline.anchor and found:
                yield format_seconds(found.seconds)
            else:
                yield cell(timeline.to_anchor(release, row))

    heads = [timeline.package, *map(heading, timeline.rows)]
    return table(heads, map(line, timeline.measured()))


def cell(found: Ratio | None) -> str:
    """A ratio to the anchor, in bold where it surely differs."""
    if found is None:
        return ""
    sure = (found.low or 0) > 1 + MARGIN or (found.high or 2) < 1 / (1 + MARGIN)
    return f"**{found.value:.2f}**" if sure else f"{found.value:.2f}"


def costs(timeline: Timeline) -> list[str]:
    """A table of import, first calls and memory, and of what an environment holds."""

    def line(release: str) -> Iterator[str]:
        yield release
        imported = timeline.import_seconds(release)
        yield format_seconds(imported) if imported else ""
        for row in timeline.rows[:1]:
            found = timeline.figures(release, row)
            yield format_seconds(median(found.first_calls)) if found and found.first_calls else ""
        memory = [f.memory for row in timeline.rows if (f := timeline.figures(release, row))]
        yield format_bytes(max(memory, default=0))
        pins = timeline.pins[release]
        yield ", ".join(f"{name} {pin}" for name, pin in pins.items() if name != timeline.package)

    first = [f"first call, {heading(row)}" for row in timeline.rows[:1]]
    heads = [timeline.package, "import", *first, "peak memory", "beside it"]
    return table(heads, map(line, timeline.measured()))


def changes(timeline: Timeline) -> list[str]:
    """Large and sure changes between neighbours, as a list."""
    title = f"Changes of {LARGE:.0%} or more, with an interval more than {MARGIN:.0%} from 1:"
    lines = [
        f"- {timeline.package} {old} → {new}, {heading(row)}: {figure(found)}"
        for old, new, row, found in timeline.changes()
    ]
    if not lines:
        return [f"No release changed a time by {LARGE:.0%} or more."]
    return [title, "", *lines]


def missing(timeline: Timeline) -> list[str]:
    """Releases without a line in the tables, as a list."""
    lines = [f"- left out: {name}: {why}" for name, why in timeline.left_out.items()]
    known = {*timeline.measured(), *timeline.left_out}
    if rest := [release for release in timeline.releases if release not in known]:
        lines.append(f"- not measured yet: {', '.join(rest)}")
    return lines


def about(timeline: Timeline) -> str:
    """An explanation of the figures."""
    return (
        f"Times are divided by those of {timeline.package} {timeline.anchor}, measured in the same "
        f"rounds. Bold: the whole 95 % interval is more than {MARGIN:.0%} away from 1. "
        f"{timeline.machine}; data set '{timeline.dataset}'; one thread."
    )
