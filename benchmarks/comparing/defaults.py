"""The differences between two probes of `mnist_models.defaults`: of frameworks or releases."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.linalg import norm

from mnist_models import weights
from mnist_models.defaults import TOPICS, Topic
from mnist_models.parity import relative

# Relative differences up to which answers in float32, and the spreads of draws, are the same.
ROUNDING, CHANCE = 1e-4, 0.2
SAID = {
    "inference": "outputs differ",
    "training": "outputs in training differ",
    "moving_mean": "the running mean differs",
    "moving_variance": "the running variance differs",
    "weights": "ten steps differ",
}
Probe = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """A topic's settings on both sides, and their effects as text; none if both are the same."""

    topic: str
    kind: str
    names: tuple[str, str]
    settings: tuple[str, str]
    effects: tuple[str, ...]


def decoded(probe: Probe) -> Probe:
    """A worker's answer, with its bytes as arrays."""
    return {
        name: found | {"answers": weights.from_bytes(found["answers"])}
        for name, found in probe.items()
    }


def between_frameworks(keras: Probe, pytorch: Probe) -> list[Difference]:
    """The differences in every topic that both frameworks have."""
    return [
        Difference(
            name,
            topic.kind,
            (keras[name]["name"], pytorch[name]["name"]),
            settings_of(topic, keras[name], pytorch[name]),
            tuple(effects(keras[name], pytorch[name])),
        )
        for name, topic in TOPICS.items()
        if not {"missing"} & {*keras[name], *pytorch[name]}
    ]


def settings_of(topic: Topic, keras: dict[str, Any], pytorch: dict[str, Any]) -> tuple[str, str]:
    """The topic's settings on both sides, as text."""
    sides = []
    for found, names in zip((keras, pytorch), zip(*topic.settings, strict=True), strict=False):
        has = found["settings"]
        sides.append(", ".join(f"{name}={has[name]}" for name in names if name in has))
    one, other = sides or ("", "")
    return one, other


def effects(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """The differences as text; of two figures, the first is that of `one`."""
    if (has := one.get("parameters")) != (lacks := other.get("parameters")):
        yield f"parameters: {has:,} / {lacks:,}"
    yield from apart(one, other)
    for name, drawn in one.get("start", {}).items():
        if name in other["start"] and not alike(drawn, other["start"][name]):
            title = f"starting {name.replace('_', ' ')}" if name else "draws"
            yield f"{title}: {spread(drawn)} / {spread(other['start'][name])}"


def apart(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """The answers that differ by more than rounding."""
    answers, others, before = one.get("answers", {}), other.get("answers", {}), ""
    for name in [*SAID, "loss"]:
        if name not in answers or name not in others:
            continue
        here, there = answers[name], others[name].astype(float)
        difference = relative(here, there, 0)
        if name == "inference" and here.dtype != others[name].dtype:
            yield f"outputs are {here.dtype} / {others[name].dtype}"
        if name == "loss" and not np.allclose(here, there, rtol=ROUNDING, equal_nan=True):
            yield f"the value is {figure(here)} / {figure(there)}"
        elif name == "weights" and abs(log(norm(here) / norm(there))) > CHANCE:
            yield f"ten steps go {norm(here) / norm(there):.2g} times as far"
        elif name != "loss" and difference > ROUNDING and share(difference) != before:
            before = share(difference)
            yield f"{SAID[name]} by {before}"


def between_releases(old: Probe, new: Probe) -> list[tuple[str, str, str]]:
    """(topic, kind, change as text) from one release of a framework to another."""
    found = []
    for name, topic in TOPICS.items():
        before, after = old.get(name, {"missing": ""}), new.get(name, {"missing": ""})
        if "missing" in before:
            changes = [] if "missing" in after else ["is new"]
        elif "missing" in after:
            changes = ["is gone"]
        else:
            changes = [*changed_settings(before, after), *effects(before, after)]
        found += [(name, topic.kind, change) for change in changes]
    return found


def changed_settings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """The changed defaults of parameters that both releases have."""
    old, new = before["settings"], after["settings"]
    for name in sorted(old.keys() & new.keys() - {"name"}):
        if old[name] != new[name]:
            yield f"{name}: {old[name]} / {new[name]}"


def alike(one: list[float], other: list[float]) -> bool:
    """Whether two draws have the same mean, spread and largest size, except for chance."""
    (mean, deviation, most), (its_mean, its_deviation, its_most) = one, other
    wide = CHANCE * max(deviation, its_deviation, 1e-9)
    same = abs(mean - its_mean) <= wide and abs(deviation - its_deviation) <= wide
    return same and max(most, its_most) <= (1 + 2 * CHANCE) * min(most, its_most) + 1e-9


def spread(drawn: list[float]) -> str:
    """Mean, standard deviation and largest size, or only the mean if nothing is drawn."""
    mean, deviation, most = drawn
    mean = 0.0 if abs(mean) < CHANCE * deviation else mean
    words = f"{mean:.2g} ± {deviation:.2g} up to {most:.2g}"
    return words if deviation > 1e-9 else f"{mean:.2g}"


def figure(value: np.ndarray) -> str:
    """A single answer as text."""
    return "refused" if np.isnan(value) else f"{float(value):.3g}"


def share(difference: float) -> str:
    """A relative difference as text."""
    return f"{difference:.0%}" if difference >= 0.01 else f"{difference:.1g}"
