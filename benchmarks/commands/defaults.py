"""What Keras and PyTorch do when nobody tells them otherwise: `python -m benchmarks defaults`."""

import sys
from typing import Any

from benchmarks.measuring import environments
from benchmarks.measuring.probes import probe
from benchmarks.reporting import defaults as words
from mnist_models import implementations
from mnist_models.implementations import PAIR


def run(against: str | None, write: bool) -> int:
    """Print what the installed versions do, or what another environment does otherwise.

    With `write`, docs/differences.md gets it. Raises EnvironmentProblem.
    """
    there = parsed(against) if against else None
    here = probed(environments.own())
    shown, block = words.frameworks(here), "frameworks"
    if there:
        shown, block = words.releases(probed(there), here, there.name), "releases"
    print(shown)
    if write:
        words.write(block, shown)
    return 0


def parsed(text: str) -> environments.Environment:
    """The environment that an --against means."""
    try:
        return environments.parse(text)
    except environments.EnvironmentProblem as error:
        said = str(error).replace("--baseline", "--against")
        raise environments.EnvironmentProblem(said) from None


def probed(environment: environments.Environment) -> dict[str, tuple[dict[str, str], Any]]:
    """Versions and probe of each of the pair that an environment has."""
    found = {}
    local = environment.name == environments.own().name
    for name in PAIR:
        if local and (lacks := implementations.missing(name)):
            print(f"{name}: not installed: pip install {' '.join(lacks)}", file=sys.stderr)
            continue
        found[name] = probe(environment, name)
    if len(found) < len(PAIR):
        raise ValueError("both frameworks are compared: install what is missing")
    return found
