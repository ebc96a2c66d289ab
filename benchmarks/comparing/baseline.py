"""Which saved run a bare --benchmark-compare means: the pinned one, or the newest that is fit."""

from pathlib import Path

from benchmarks.comparing.saved import RunError, read

STORAGE = Path(".benchmarks")
# The file that names the pinned run. Without a suffix, pytest-benchmark does not read it as a run.
PIN = "baseline"
# The key of the reasons why a saved run must not become the baseline by default.
UNFIT = "unfit_as_baseline"


def find(run: str, storage: Path = STORAGE) -> Path:
    """A saved run by its path, its number such as 0007, or how its name starts; raises RunError."""
    if Path(run).is_file():
        return Path(run)
    found = sorted(storage.glob(f"*/{run}*.json"))
    if len(found) != 1:
        names = ", ".join(str(path) for path in found or sorted(storage.glob("*/*.json"))) or "none"
        many = "means several runs" if found else "no such run"
        raise RunError(f"{run}: {many}; choose one of: {names}")
    return found[0]


def pin(run: str, storage: Path = STORAGE) -> tuple[Path, list[str]]:
    """Make a run the baseline; returns its path and the reasons against it."""
    path = find(run, storage)
    reasons = read(path).get(UNFIT, [])
    storage.mkdir(parents=True, exist_ok=True)
    (storage / PIN).write_text(f"{path.absolute()}\n", encoding="utf-8")
    return path, reasons


def pinned(storage: Path = STORAGE) -> Path | None:
    """The pinned run, or None; raises RunError if its file is missing."""
    if not (storage / PIN).is_file():
        return None
    path = Path((storage / PIN).read_text(encoding="utf-8").strip())
    if not path.is_file():
        raise RunError(
            f"the pinned baseline {path} is gone; pin another with "
            "python -m benchmarks baseline set RUN, or delete " + str(storage / PIN)
        )
    return path


def default(storage: Path, machine: str) -> tuple[Path | None, list[str]]:
    """The run that a bare --benchmark-compare takes, and the skipped runs with their reasons."""
    if path := pinned(storage):
        return path, []
    passed: list[str] = []
    for path in sorted((storage / machine).glob("[0-9][0-9][0-9][0-9]_*.json"), reverse=True):
        try:
            reasons = read(path).get(UNFIT, [])
        except RunError as error:
            reasons = [f"unreadable: {error}"]
        if not reasons:
            return path, passed
        passed.append(f"{path.name}: {reasons[0]}")
    return None, passed
