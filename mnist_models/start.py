"""The time from the start of a process to its first results.

    python -m mnist_models.start WHAT

prints the moments as its last line; WHAT is JSON. Importing this imports no framework.
"""

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from mnist_models import implementations, networks
from mnist_models.isolation import hide_others
from mnist_models.networks import IMAGE_SHAPE
from mnist_models.recipe import Recipe

ROOT = Path(__file__).parents[1]
# Version of what a start is and of its moments, which are saved with it.
PROTOCOL = 1
LIMIT = 120.0


@dataclass(frozen=True)
class Start:
    """Seconds from the start of a process to each moment, and CPU seconds of all of it.

    `python` runs; the framework is `imported` and configured; the trainer is `built` and compiled
    as far as it is before its first call; the first training step has `stepped`; the first forward
    pass has `predicted`.
    """

    moments: dict[str, float]
    cpu_seconds: float


def start(
    name: str,
    architecture: str,
    recipe: dict[str, Any],
    device: str,
    threads: int,
    precision: str = "float32",
) -> Start:
    """Start a process of its own and wait for its first results.

    Raises RuntimeError when it fails, subprocess.TimeoutExpired after LIMIT seconds.
    """
    what = json.dumps([name, architecture, recipe, device, threads, precision, monotonic()])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        # Without -P, the current folder's mnist_models would come first.
        [sys.executable, "-P", "-m", "mnist_models.start", what],
        env=variables(),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise RuntimeError(f"a fresh process of {name} failed:\n{ended.stderr[-2000:]}")
    moments = json.loads(ended.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start(moments, cpu)


def variables() -> dict[str, str]:
    """The environment variables of the process, which shares this one's folder for bytecode."""
    ours = os.environ | {"PYTHONPATH": str(ROOT)}
    ours |= {"PYTHONDONTWRITEBYTECODE": "1" if sys.dont_write_bytecode else ""}
    return ours | {"PYTHONPYCACHEPREFIX": sys.pycache_prefix or ""}


def main() -> None:
    """Import, build, step and predict; print when each was done."""
    running = monotonic()
    name, architecture, record, device, threads, precision, began = json.loads(sys.argv[1])
    hide_others(name)
    module = implementations.load(name)
    module.configure(threads)
    module.set_precision(precision)
    moments = {"python": running - began, "imported": monotonic() - began}
    recipe = Recipe.from_record(record)
    trainer = module.Trainer(networks.load(architecture), recipe, device, "float32")
    moments["built"] = monotonic() - began
    size = record["batch_size"]
    blank = np.zeros((size, *IMAGE_SHAPE), np.float32)
    images, labels = trainer.put(blank, np.zeros(size, np.uint8))
    trainer.train_step(images, labels)
    trainer.synchronize()
    moments["stepped"] = monotonic() - began
    trainer.forward(images)
    trainer.synchronize()
    moments["predicted"] = monotonic() - began
    print(json.dumps({moment: round(seconds, 4) for moment, seconds in moments.items()}))


if __name__ == "__main__":
    main()
