"""The defaults of Keras and PyTorch: `python -m benchmarks defaults`."""

import sys
from typing import Any

from benchmarks.measuring import environments
from benchmarks.measuring.probes import probe
from benchmarks.reporting import defaults as words
from mnist_models import implementations
from mnist_models.implementations import PAIR


def run(against: str | None, write: bool) -> int:
    """Print the installed versions' defaults, or how those of another environment differ.

    With `write`, the text is also written into docs/differences.md. Raises EnvironmentProblem.
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
    """The environment that --against names; raises EnvironmentProblem."""
    try:
        return environments.parse(text)
    except environments.EnvironmentProblem as error:
        said = str(error).replace("--baseline", "--against")
        raise environments.EnvironmentProblem(said) from None


def probed(environment: environments.Environment) -> dict[str, tuple[dict[str, str], Any]]:
    """Versions and probe of both of the pair; raises ValueError if one is not installed."""
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
