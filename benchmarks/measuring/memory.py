"""How much memory the workers need, how much is free, and which to leave out if it is short."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.trial import split
from mnist_models import implementations

MEBIBYTE = 2**20
# Largest peaks of a worker by the package that it computes with, in MiB, rounded up: all operations
# of all six networks on MNIST, CPU, Python 3.12, November 2026 (`peak_memory_bytes` of the run in
# tools/recorded/run.json.gz). The images alone take 180 MiB.
PEAKS = {"tensorflow": 1700, "torch": 1300, "jax": 700, "numpy": 700}
# Limit and use of a control group, and the file cache in that use, which the kernel can free, in
# versions 2 and 1 of their file system. https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
GROUPS = Path("/sys/fs/cgroup")
FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def needed(contestants: Iterable[str]) -> int:
    """Bytes that the workers of these contestants take at most, all at once."""
    return sum(map(peak, contestants))


def peak(contestant: str) -> int:
    """Bytes that a contestant's worker takes at most, judged by the packages that it imports."""
    packages = implementations.packages(split(contestant)[0])
    return MEBIBYTE * max(
        (PEAKS[name] for name in packages if name in PEAKS), default=max(PEAKS.values())
    )


def available(groups: Path = GROUPS) -> int:
    """Return the bytes that new processes may take, within the limit of the container."""
    free = int(psutil.virtual_memory().available)
    for limit, use, statistics, cache in FILES:
        most, taken = read(groups / limit), read(groups / use)
        if most.isdecimal() and taken.isdecimal():
            figures = dict(line.split() for line in read(groups / statistics).splitlines())
            free = min(free, max(0, int(most) - int(taken) + int(figures.get(cache, 0))))
    return free


def read(path: Path) -> str:
    """The text of a file; empty where there is none."""
    with suppress(OSError):
        return path.read_text(encoding="ascii").strip()
    return ""


def too_many(contestants: Sequence[str], environments: Sequence[str], free: int) -> list[str]:
    """The contestants to leave out so that the others fit into `free` bytes together.

    The pair here is kept first, then the pair in each of the `environments`, then the other
    implementations. The pair here and in the first of the `environments` always stays.
    """

    def importance(name: str) -> tuple[bool, int, int]:
        implementation, environment = split(name)
        place = environments.index(environment) + 1 if environment else 0
        return (implementation not in implementations.PAIR, place, contestants.index(name))

    ranked = sorted(contestants, key=importance)
    first = {"", *environments[:1]}
    stay = [n for n in ranked if split(n)[0] in implementations.PAIR and split(n)[1] in first]
    kept = max(1, len(stay))
    while kept < len(ranked) and needed(ranked[: kept + 1]) <= free:
        kept += 1
    return ranked[kept:]


def gibibytes(count: int) -> str:
    """Bytes as text, in GiB."""
    return f"{count / 2**30:.1f} GiB"
