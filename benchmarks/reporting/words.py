"""Names and quantities as text for users."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.causes import Finding
from benchmarks.comparing import leaks, parts
from benchmarks.comparing.pair import Outcome, Pair
from benchmarks.comparing.ratios import LEAST_BLOCKS, Ratio
from mnist_models import operations
from mnist_models.profiles import PARTS

NOBODY = "nothing to compare with"
LABELS = {"keras_tensorflow": "Keras", "pytorch_eager": "PyTorch"}
# In the order in which reports show them.
OPERATIONS = {
    each.name: each.title for each in sorted(operations.OPERATIONS.values(), key=lambda o: o.rank)
}

# Figures of each way to ship or to feed, by its name, in each block.
Blocks = Sequence[Mapping[str, Mapping[str, Any]]]
# The share of time by which a call may return after its last step before this is reported.
LATE = 0.05
# Changes of an upgrade that are listed; `python -m benchmarks defaults --against` has all.
MOST_CHANGES = 3
# Where a prediction's quantiles were taken, by their key in a saved run.
PLACES = {"latency_seconds": "alone", "latency_busy_seconds": "beside a busy CPU"}
# The titles of the moments of a start.
MOMENTS = {
    "python": "Python runs",
    "imported": "framework imported",
    "built": "network and optimiser built",
    "stepped": "first training step done",
    "predicted": "first prediction done",
}


def label(implementation: str) -> str:
    """The name of an implementation for users."""
    return LABELS.get(implementation, implementation)


def numbers(implementation: str, changes: Sequence[str]) -> str:
    """A line on the defaults and results that an upgrade changed, MOST_CHANGES of them."""
    said = "; ".join(changes[:MOST_CHANGES]) or "no default and no result of a layer changed"
    if (more := len(changes) - MOST_CHANGES) > 0:
        said += f"; and {more} more"
    return f"numbers of {label(implementation)}: {said}"


def format_seconds(seconds: float) -> str:
    """A duration in the unit that reads best, with three digits."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, scale = next((u for u in units if abs(seconds) >= 0.9995 * u[1]), units[-1])
    scaled = seconds / scale
    return f"{scaled:.0f} {unit}" if scaled >= 1000 else f"{scaled:.3g} {unit}"


def returned_late(seconds: float, returned: Sequence[float | None], cause: str) -> str:
    """When the call of an epoch returned and why so late; empty if it returned in time.

    `seconds` is the median time until the weights were trained, `returned` each call's.
    """
    known = [one for one in returned if one is not None]
    if not known or median(known) <= (1 + LATE) * seconds:
        return ""
    why = f": {cause}; docs/fairness.md says how to avoid it" if cause else ""
    return f"the call returned after {format_seconds(median(known))}{why}"


def cause(implementation: str, found: Finding) -> str:
    """A line on a cause: the implementation, the share of its time, and the remedy, if any."""
    said = f"{label(implementation)}: {found.words}"
    return f"{said}; {found.remedy}" if found.remedy else said


def particulars(implementation: str, info: Mapping[str, Any]) -> list[str]:
    """Lines on what only some operations have, such as latencies, moments of a start, routes."""
    lines = []
    for key, place in PLACES.items():
        if quantiles := info.get(key):
            shares = (
                f"{100 * float(share):g}% within {format_seconds(median(seconds))}"
                for share, seconds in quantiles.items()
            )
            lines.append(f" {place}: {', '.join(shares)}")
    if starts := info.get("start"):
        moments = (
            f"{words} after {format_seconds(median(start[moment] for start in starts))}"
            for moment, words in MOMENTS.items()
        )
        lines.append(f": {', '.join(moments)}")
    for key, said in (("routes", shipped), ("feeds", fed)):
        if blocks := info.get(key):
            lines += [f" {name}: {said(name, blocks)}" for name in blocks[0]]
    if blocks := info.get("devices"):
        lines.append(f": {on_devices(blocks)}")
    if blocks := info.get("leaks"):
        lines.append(f": {kept(blocks)}")
    if blocks := info.get("parts"):
        lines.append(f": {taken_apart(blocks)}")
    return [label(implementation) + line for line in lines]


def taken_apart(blocks: parts.Blocks) -> str:
    """The parts of a step and its longest kernel, as text."""
    pieces = (f"{part} {format_seconds(parts.seconds(blocks, part).value)}" for part in PARTS)
    said = f"{', '.join(pieces)}; the profiler {agreement(blocks)}"
    if kernels := parts.kernels(blocks):
        name, took, calls = kernels[0]
        said += f"; the longest kernel is {name}: {format_seconds(took)} in {calls:.0f} calls"
    return said


def agreement(blocks: parts.Blocks) -> str:
    """Whether the profiler agrees with the subtraction, as text."""
    points = 100 * parts.apart(blocks)
    word = "agrees within" if parts.apart(blocks) <= parts.AGREE else "differs by up to"
    return f"{word} {points:.0f} points"


def on_devices(blocks: Blocks) -> str:
    """Seconds of a step on each number of devices, and the worst difference from one device."""
    every = {count: median(block[count]["seconds"] for block in blocks) for count in blocks[0]}
    times = (f"{count} device(s) {format_seconds(seconds)}" for count, seconds in every.items())
    worst = max(group["difference"] for block in blocks for group in block.values())
    return f"{', '.join(times)}; off by {worst:.0e}"


def kept(blocks: leaks.Blocks) -> str:
    """The quantities that grow from call to call, as text; if none does, the calls made."""
    every = [(call, quantity) for call in blocks[0] for quantity in leaks.LEAST]
    states = {one: leaks.grows(blocks, *one) for one in every}
    growing = [
        f"{quantity} grows by {amount(blocks, call, quantity)} with each of {call}"
        for (call, quantity), state in states.items()
        if state
    ]
    unknown = [
        f"{quantity} of {call}" for (call, quantity), state in states.items() if state is None
    ]
    calls = ", ".join(f"{found['calls']:,} {call}" for call, found in blocks[0].items())
    said = growing or ([] if unknown else [f"nothing grows over {calls}"])
    if unknown:
        said.append(f"cannot tell about {', '.join(unknown)}")
    return "; ".join(said)


def amount(blocks: leaks.Blocks, call: str, quantity: str) -> str:
    """What a call keeps of a quantity, with its interval."""
    found = leaks.kept(blocks, call, quantity)
    ends = "" if found.low is None else f" [{found.low:,.3g}, {found.high:,.3g}]"
    return f"{found.value:,.3g}{ends}" + (" B" if quantity == "memory" else "")


def route(name: str, blocks: Blocks) -> tuple[str, ...] | str:
    """One way to ship, medians over blocks; or why there is none.

    Its size and that of the packages that it needs; seconds to export, to load, for one image and
    for a batch; the difference of its answers.
    """
    every = [block[name] for block in blocks]
    if why := next((one["missing"] for one in every if one.get("missing")), ""):
        return str(why)

    def middle(key: str) -> str:
        known = [one[key] for one in every if one.get(key) is not None]
        return format_seconds(median(known)) if known else "unknown"

    needs = every[0].get("environment_bytes")
    return (
        f"{every[0].get('bytes', 0) / 2**20:.2f} MiB",
        f"{needs / 2**20:,.0f} MiB" if needs else "unknown",
        *(middle("export_seconds"), middle("load_seconds")),
        *(middle("one_seconds"), middle("batch_seconds")),
        f"{max(one.get('difference', 0.0) for one in every):.0e}",
    )


def shipped(name: str, blocks: Blocks) -> str:
    """One way to ship, as text."""
    found = route(name, blocks)
    if isinstance(found, str):
        return found
    size, needs, export, load, one, batch, difference = found
    return (
        f"{size}, needs {needs} of packages, exported in {export}, loaded in {load}, one image "
        f"{one}, a batch {batch}, off by {difference}"
    )


def feed(name: str, blocks: Blocks) -> tuple[str, str, str] | str:
    """Images a second of one way to feed: alone, with the training, and the share of feeding.

    Medians over blocks; or why there are none. The share is of the epoch's time. The first and the
    last are empty for a way that only feeds training.
    """
    every = [block[name] for block in blocks]
    if why := next((one["missing"] for one in every if one.get("missing")), ""):
        return str(why)
    images = every[0]["images"]
    training = median(one["training_seconds"] for one in every)
    if every[0]["alone_seconds"] is None:
        return "", f"{images / training:,.0f}", ""
    alone = median(one["alone_seconds"] for one in every)
    return f"{images / alone:,.0f}", f"{images / training:,.0f}", f"{100 * alone / training:.0f}%"


def fed(name: str, blocks: Blocks) -> str:
    """One way to feed, as text."""
    found = feed(name, blocks)
    if isinstance(found, str):
        return found
    alone, training, share = found
    rest = f", {alone} images/s alone ({share} of the time)" if alone else ""
    return f"{training} images/s in training{rest}"


def format_bytes(size: float) -> str:
    """A number of bytes, in MiB."""
    return f"{size / 2**20:,.0f} MiB"


def without_onednn(implementations: Iterable[str]) -> str:
    """Return a note on implementations that compute without oneDNN; empty if there are none."""
    names = ", ".join(sorted({label(name) for name in implementations}))
    return names and f"without oneDNN: {names}; see docs/fairness.md"


def verdict(first: str, second: str, pair: Pair) -> str:
    """Return the verdict on two implementations as text: the faster one, or why there is none.

    If no difference was found, it is the most that the interval allows on either side.
    """
    names, found = (label(first), label(second)), pair.ratio
    match pair.outcome:
        case Outcome.VOID:
            return f"{pair.outcome}: " + "; ".join(f"{names[which]} is void" for which in pair.void)
        case Outcome.HOSTS_DISAGREE:
            return f"{pair.outcome}: {of_hosts(first, second, pair)}"
        case Outcome.CONTAMINATED:
            blocks = f"other programs used the CPUs in {pair.disturbed} of {found.blocks} blocks"
            return f"{pair.outcome}: {blocks}; {quotient(first, second, found)}"
        case Outcome.TOO_FEW:
            blocks = f"{found.blocks} of {LEAST_BLOCKS} blocks"
            return f"{pair.outcome}: {blocks}, {quotient(first, second, found)}"
        case Outcome.NO_DIFFERENCE:
            assert found.low is not None
            assert found.high is not None
            most = max(1.0, 1 / found.low), max(1.0, found.high)
            allowed = " or ".join(f"{n} {m:.2f}×" for n, m in zip(names, most, strict=True))
            return f"{pair.outcome}: at most {allowed} faster"
        case Outcome.FASTER:
            times, low, high = factors(found)
            return f"{names[found.winner == 1]} is {times:.2f}× faster [{low:.2f}, {high:.2f}]"


def of_hosts(first: str, second: str, pair: Pair) -> str:
    """The ratio on each host, as text: seconds of the first over those of the second."""
    every = (
        f"{host} {found.value:.2f} ({found.blocks} blocks)" for host, found in pair.hosts.items()
    )
    return f"{label(first)}/{label(second)} on {', on '.join(every)}" if pair.hosts else ""


def tax(first: str, second: str, pair: Pair) -> str:
    """Return the ratio of two implementations that surely differ; else the verdict as text."""
    if pair.outcome is Outcome.FASTER:
        return quotient(first, second, pair.ratio)
    return verdict(first, second, pair)


def quotient(first: str, second: str, found: Ratio) -> str:
    """Seconds of the first over seconds of the second, with the interval where there is one."""
    return f"{label(first)}/{label(second)} {figure(found)}"


def figure(found: Ratio) -> str:
    """A ratio with its interval, where there is one."""
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def factors(found: Ratio) -> tuple[float, float, float]:
    """How many times faster the winner is, with the interval's ends."""
    assert found.low is not None
    assert found.high is not None
    if found.winner == 0:
        return 1 / found.value, 1 / found.high, 1 / found.low
    return found.value, found.low, found.high
