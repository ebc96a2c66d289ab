"""The search for the release that changed a time: `python -m benchmarks bisect`."""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import ceil, log2
from pathlib import Path
from time import monotonic

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from benchmarks.commands import experiments, gates, versions
from benchmarks.comparing.changes import Change
from benchmarks.comparing.search import Found, Part, Place, search
from benchmarks.measuring import environments, making, probes
from benchmarks.measuring.hosts import Host
from benchmarks.measuring.making import NIGHTLY, Maker, Pins
from benchmarks.reporting.bisected import text
from benchmarks.trial import Trial, known
from mnist_models import data, implementations
from mnist_models.worker import source_hash

# Other distributions that a package may come from.
OTHERS = {"tensorflow": ("tensorflow-cpu", NIGHTLY["tensorflow"]), "keras": (NIGHTLY["keras"],)}
# The words for the newest releases, and for nightly builds and candidates.
NEWEST = ("newest", "next")
# Seconds that a session with three environments takes, roughly.
EACH = 150
# Attempts at a session that other programs disturb, or in which a side fails.
ATTEMPTS = 2


class Asked(BaseModel):
    """One session: an environment against others, and the verdicts on it against each."""

    model_config = ConfigDict(strict=True, extra="forbid")

    new: str
    old: list[str]
    changes: list[list[Change]]
    seconds: float
    # How often it was measured, until it told anything; older files have it once.
    attempts: int = 1


class Bisection(BaseModel):
    """All sessions of the search for an implementation's change, on one machine and data set.

    `source` is the digest of mnist_models. `numbers` are the defaults and results that changed at
    each step that was found, by the names of its two ends. `answer` is the result as text.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    machine: str
    dataset: str
    source: str
    trials: list[str]
    asked: list[Asked] = []
    numbers: dict[str, list[str]] = {}
    answer: str = ""


def place(pins: Pins) -> Place:
    """Pins as a tuple, which can be a key."""
    return tuple(sorted(pins.items()))


def pins_of(text: str, implementation: str) -> dict[str, str]:
    """The versions of the packages that an implementation needs.

    `text` is an environment of the grid, the folder of one, a file of exact requirements, "newest"
    for the newest releases, or "next" for nightly builds and candidates.
    Raises ValueError and EnvironmentProblem.
    """
    needed = implementations.packages(implementation) & {*environments.PACKAGES}
    if text in NEWEST:
        found = {"python": versions.OWN}
        pre = text != NEWEST[0]
        return found | {one: making.newest(one, versions.OWN, pre) for one in sorted(needed)}
    path = Path(text).expanduser()
    if path.is_file():
        there = requirements(path)
    elif path.is_dir():
        try:
            there = environments.parse(text).versions
        except environments.EnvironmentProblem as problem:
            said = str(problem).removeprefix("--baseline ")
            raise environments.EnvironmentProblem(said) from None
    else:
        try:
            there = versions.pins(text)
        except versions.NoSuchEnvironment as problem:
            raise ValueError(
                f"{text}: no folder of a virtual environment, no file of requirements, none of "
                f"{' and '.join(NEWEST)}, and no environment of the grid ({problem})"
            ) from None
    found = {}
    for package in (*needed, "python"):
        sources = (*OTHERS.get(package, ()), package)
        for name, pin in ((name, there[name]) for name in sources if name in there):
            pin = pin.split("+")[0]
            found[package] = pin if name == package else f"{name} {pin}"
    found["python"] = ".".join(found.get("python", versions.OWN).split(".")[:2])
    if lacks := sorted(needed - {"numpy"} - found.keys()):
        raise ValueError(f"{text}: has no {' and no '.join(lacks)}, which {implementation} needs")
    return found


def alike(old: Pins, new: Pins) -> tuple[dict[str, str], dict[str, str]]:
    """Both ends, with only their common packages; the resolver chooses the others' versions."""
    common = [name for name in new if name in old]
    return {name: old[name] for name in common}, {name: new[name] for name in common}


def requirements(path: Path) -> dict[str, str]:
    """The exact versions in a file of requirements; raises ValueError where one is not exact."""
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text or text.startswith("-"):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        [*exact] = wanted.specifier
        if len(exact) != 1 or exact[0].operator != "==":
            raise ValueError(f"{path}, line {number}: {text}: give one exact version, as in a==1.2")
        found[wanted.name.lower()] = exact[0].version
    return found


class Way:
    """The environments between two others, which differ by packages, then by one's releases."""

    def __init__(self, maker: Maker, console: Console) -> None:
        self.maker, self.console = maker, console
        self.known: dict[Place, str] = {}
        self.listed: dict[tuple[str, str], list[str]] = {}

    def between(self, old: Place, new: Place) -> list[Place]:
        """The environments between two others that can be installed, in order."""
        before, after = dict(old), dict(new)
        changed = [name for name in after if before.get(name) != after[name]]
        if len(changed) > 1:
            return self.exchanged(before, after, changed)
        [package] = changed
        if package == "python":
            return []
        return self.released(package, before, after)

    def exchanged(self, before: Pins, after: Pins, changed: Sequence[str]) -> list[Place]:
        """Exchange one package after the other, or the smallest group that can be installed."""
        found, now, rest = [], dict(before), list(changed)
        while rest:
            sizes = range(1, len(rest))
            groups = (group for size in sizes for group in combinations(rest, size))
            # Distributions of one package would write over each other's files.
            together = {name for name in rest if " " in before[name] + after[name]}
            whole = (g for g in groups if not together & {*g} or together <= {*g})
            fitting = (g for g in whole if self.possible(now | {name: after[name] for name in g}))
            group = next(fitting, None)
            if group is None:
                break
            now |= {name: after[name] for name in group}
            rest = [name for name in rest if name not in group]
            if rest:
                found.append(place(now))
        return found

    def released(self, package: str, before: Pins, after: Pins) -> list[Place]:
        """The releases of a package between two of them."""
        try:
            low, high = sorted((Version(before[package]), Version(after[package])))
        except InvalidVersion:  # a nightly build is of another distribution
            return []
        key = package, after["python"]
        if key not in self.listed:
            self.listed[key] = making.releases(*key, pre=low.is_prerelease or high.is_prerelease)
        names = [name for name in self.listed[key] if low < Version(name) < high]
        if Version(before[package]) == high:
            names.reverse()
        places = (place({**after, package: name}) for name in names)
        return [one for one in places if self.possible(dict(one))]

    def possible(self, pins: Pins) -> bool:
        """Whether an environment can be installed; if not, the reason is printed once."""
        key = place(pins)
        if key not in self.known:
            self.known[key] = self.maker.resolves(pins)
            if self.known[key]:
                self.console.print(f"left out: {self.known[key]}")
        return not self.known[key]


def bisect(
    dataset: data.Dataset,
    ends: tuple[Pins, Pins],
    implementation: str,
    trials: Sequence[Trial],
    maker: Maker,
    output: Path,
    console: Console,
    hosts: Sequence[Host] = (),
) -> tuple[Found, Bisection]:
    """Search the environments between two others; every session is saved in `output`.

    If `hosts` are given, they measure. Raises EnvironmentProblem, HostLost if no host is left, and
    ValueError for a file of another experiment.
    """
    kept = Bisection(
        machine=", ".join(host.name for host in hosts) or experiments.machine(),
        dataset=dataset.name,
        source=source_hash(),
        trials=[str(t) for t in trials],
    )
    same, read = ("machine", "dataset", "source", "trials"), Bisection.model_validate_json
    kept = experiments.continued(kept, output, read, "bisect", same)
    way, attempts = Way(maker, console), list[int]()

    def ask(new: Place, old: Sequence[Place]) -> list[list[Change]]:
        names = [making.title(dict(one)) for one in (new, *old)]
        before = (one for one in kept.asked if [one.new, *one.old] == names)
        if (known := next(before, None)) is not None:
            attempts.append(known.attempts)
            return known.changes
        every = [dict(one) for one in (new, *old)]
        here, *others = (maker.make(pins, beside=every) for pins in every)
        rows = [(trial, implementation) for trial in trials]
        changes: list[list[Change]] = []
        for attempt in range(1, ATTEMPTS + 1):
            began = monotonic()
            console.print(f"comparing {names[0]} with {' and '.join(names[1:])}")
            results = gates.gate(dataset, here, others, rows, maker.folder, console, hosts=hosts)
            found = gates.changes(results)
            changes = [[one for one in found if one.old == other.name] for other in others]
            if all(one.told for one in found if one.metric == "time"):
                seconds = round(monotonic() - began, 1)
                asked = Asked(new=names[0], old=names[1:], changes=changes, seconds=seconds)
                asked.attempts = attempt
                kept.asked.append(asked)
                experiments.write(kept, output)
                break
        attempts.append(attempt)
        return changes

    old, new = map(place, alike(*ends))
    found = search(old, new, way.between, ask)
    found.sessions = sum(attempts)
    asked: dict[str, list[str]] = {}
    for part in found.steps:
        if (key := step_name(part)) not in kept.numbers:
            sides = [dict(one) for one in (part.old, part.new)]
            before, after = (maker.make(pins, beside=sides) for pins in sides)
            told = asked[key] = probes.told(before, after, implementation)
            # What is not known is asked again when the search goes on.
            if not any(line.startswith(probes.UNKNOWN) for line in told):
                kept.numbers[key] = told
                experiments.write(kept, output)
    numbers = [(asked | kept.numbers)[step_name(part)] for part in found.steps]
    refused = [reason for reason in way.known.values() if reason]
    about = kept.machine, kept.dataset, implementation
    kept.answer = text(found, numbers, refused, *about)
    experiments.write(kept, output)
    return found, kept


def step_name(part: Part) -> str:
    """Both ends of a step."""
    return " → ".join(making.title(dict(one)) for one in (part.old, part.new))


def cost(ends: tuple[Pins, Pins], maker: Maker) -> str:
    """The rough cost of a search, as text, before any environment is made."""
    old, new = ends
    packages = [name for name in new if old.get(name) != new[name]]
    sessions = 1 + ceil(log2(len(packages) + 1)) + 4
    return (
        f"{', '.join(f'{name} {old.get(name)} → {new[name]}' for name in packages)}: for one "
        f"change about {sessions} sessions and {sessions * EACH / 60:.0f} min, each with up to "
        f"three environments of at most {making.in_gigabytes(making.size(new))} in {maker.folder}"
    )


def chosen_trials(texts: Iterable[str]) -> list[Trial]:
    """The trials that are named; raises ValueError."""
    found = [known(text) for text in dict.fromkeys(texts)]
    return found or [Trial("train_step", "mlp", 128, "cpu")]


def nights(folder: Path) -> dict[str, list[Change] | str]:
    """The first session of each search in a folder, by the file's name; raises ValueError.

    A search without a session that has a result has its answer instead.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; bisect writes its searches with --output")
    found: dict[str, list[Change] | str] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            kept = Bisection.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} is no search: {str(error).splitlines()[0]}") from None
        told = [one for asked in kept.asked[:1] for one in asked.changes[0]]
        found[file.stem] = told or kept.answer.partition("\n")[0] or "interrupted"
    if not found:
        raise ValueError(f"{folder}: holds no search; bisect writes them, with --output")
    return found
