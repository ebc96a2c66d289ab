"""Every finished trial is written to disk at once, so that a killed session loses none.

A journal is a text file with one JSON object a line: the session's fingerprint, then trials and
dropped rows, and `finished` when all was judged and saved. The process that writes it holds the
lock of the session's folder, which the kernel releases when the process ends.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

FOLDER = Path(".benchmarks", "sessions")
FILE, LOCK = "journal.jsonl", "lock"
# Folders of the workers' compilers and exports within a session; no other session uses them.
EXPORTS = "exports"
CACHES = ("inductor", "triton", EXPORTS)
# Seconds to wait for a lock. A process that only looks holds it for a moment.
PATIENCE = 1.0


class JournalError(Exception):
    """A journal cannot be written, read or resumed; the message says which, why, and what to do."""


class Journal:
    """The journal of one session; the session's folder also holds its workers' output."""

    def __init__(self, folder: Path, records: list[dict[str, Any]], lock: FileLock) -> None:
        self.folder, self.records, self.lock = folder, records, lock
        # Several hosts measure side by side.
        self.writing = Lock()

    @property
    def session(self) -> str:
        """The session's name: its UTC time and the controller's process number."""
        return self.folder.name

    def append(self, record: dict[str, Any]) -> None:
        """Write one record through to the disk, or raise JournalError and write none of it."""
        with self.writing:
            self.write(record)

    def write(self, record: dict[str, Any]) -> None:
        """The same, for a caller that holds `writing`."""
        path, line = self.folder / FILE, json.dumps(record).encode() + b"\n"
        self.records.append(record)
        try:
            with path.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                try:
                    while line:
                        line = line[file.write(line) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            self.records.pop()
            raise unwritable(path, error) from error

    def finish(self) -> None:
        """Note that everything was judged and saved, so that the session is not resumed."""
        self.append({"finished": True})
        self.clear_caches()

    def clear_caches(self, caches: Iterable[str] = CACHES) -> None:
        """Remove what workers of this session compiled and exported."""
        for cache in caches:
            shutil.rmtree(self.folder / cache, ignore_errors=True)

    def close(self) -> None:
        """Let other processes resume the session."""
        self.lock.release()


def create(root: Path, fingerprint: dict[str, Any]) -> Journal:
    """Begin a session under `root`; JournalError when it cannot be written."""
    try:
        folder = new_folder(root / FOLDER, f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}")
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=PATIENCE)
    except OSError as error:
        raise unwritable(root / FOLDER, error) from error
    journal = Journal(folder, [], lock)
    journal.append({"fingerprint": fingerprint, "controller": controller()})
    return journal


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder of this name, numbered if it exists: containers may share process numbers."""
    again = 1
    while True:
        folder = parent / (name if again == 1 else f"{name}-{again}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            again += 1
        else:
            return folder


def resume(root: Path, fingerprint: dict[str, Any]) -> Journal:
    """Resume the newest session of this fingerprint that is neither finished nor still running.

    Nothing is changed before one is found. Raises JournalError if there is none under `root`, with
    the differences of the newest other session, and if a journal is damaged.
    """
    passed: list[str] = []
    other: JournalError | None = None
    for folder in unfinished(root):
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            passed.append(f"session {folder.name} is still running ({holder(folder)})")
            continue
        except OSError as error:
            passed.append(f"session {folder.name} cannot be locked ({error.strerror})")
            continue
        journal = None
        try:
            records, whole = read(folder / FILE)  # again, now that no other process writes it
            if "finished" not in records[-1]:
                try:
                    check(folder, records[0]["fingerprint"], fingerprint)
                except JournalError as error:
                    other = other or error
                    continue
                os.truncate(folder / FILE, whole)
                journal = Journal(folder, records, lock)
                journal.append({"controller": controller()})
                return journal
        except OSError as error:
            raise unwritable(folder / FILE, error) from error
        finally:
            if journal is None:
                lock.release()
    if other and not passed:
        raise other
    if passed:
        raise JournalError(
            f"nothing to resume: {'; '.join(passed)}. Wait until it ends, or end it first; "
            "without --resume another session begins."
        )
    raise JournalError(f"nothing to resume: no unfinished session in {root / FOLDER}")


def check(folder: Path, was: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise JournalError when two fingerprints differ."""
    differences = [
        f"{key} was {value(was, key)}, is now {value(now, key)}"
        for key in was | now
        if value(was, key, None) != value(now, key, None)
    ]
    if differences:
        raise JournalError(
            f"session {folder.name} cannot be resumed: {'; '.join(differences)}. "
            "Run the same command that began it, or start afresh without --resume."
        )


def unfinished(root: Path) -> Iterator[Path]:
    """Folders of the unfinished sessions under `root`, the newest first."""
    for path in sorted((root / FOLDER).glob(f"*/{FILE}"), reverse=True):
        records, _ = read(path)
        if records and "finished" not in records[-1]:
            yield path.parent


def others(journal: Journal) -> list[str]:
    """The other sessions that run in the same checkout now, as text."""
    found = []
    for lock in sorted(journal.folder.parent.glob(f"*/{LOCK}")):
        if lock.parent == journal.folder:
            continue
        try:
            with FileLock(lock, timeout=0):
                pass
        except Timeout:
            found.append(f"session {lock.parent.name} ({holder(lock.parent)})")
        except OSError:  # another user's, which may be running or not
            continue
    return found


def controller() -> str:
    """This process, as text."""
    return f"process {os.getpid()} on {platform.node()}"


def holder(folder: Path) -> str:
    """The process that wrote a session's journal last, as text."""
    records: list[dict[str, Any]] = []
    with suppress(JournalError):  # it has only begun, or is damaged
        records, _ = read(folder / FILE)
    named = (record["controller"] for record in reversed(records) if "controller" in record)
    return next(named, "process unknown")


class Facts(BaseModel):
    """The part of a worker's handshake that results need."""

    versions: dict[str, str]
    python: str
    in_force: dict[str, Any]


class Measured(BaseModel):
    """The entry of a contestant in a trial; times are in seconds."""

    cost: float
    facts: Facts
    recipe: dict[str, Any]
    compilation: str
    first_call_seconds: float
    samples: list[tuple[float, ...]]
    parity: dict[str, float]
    parity_tf32: dict[str, float] = {}
    foreign_cpu: float | None
    iterations: int = 1
    peak_memory_bytes: int = 0
    accuracy: float = 0.0
    returned_seconds: float | None = None


class Failed(BaseModel):
    """The entry of a contestant that failed."""

    cost: float
    error: str


class Unavailable(BaseModel):
    """The entry of a contestant that cannot run here."""

    cost: float
    unavailable: str


class Expected(BaseModel):
    """The accuracy that an epoch of a place (network, batch size) should reach."""

    place: tuple[str, int]
    bounds: tuple[float, float, str]


class Record(BaseModel):
    """One line of a journal. The fields that it has show its kind."""

    fingerprint: dict[str, Any] = {}
    block: int = 0
    trial: str = ""
    host: str = ""
    results: dict[str, Measured | Failed | Unavailable] = {}
    seconds: float = 0.0
    spent: float = 0.0
    dropped: list[tuple[str, str]] = []
    confirmation: dict[str, int] = {}
    expected: Expected | None = None


def read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a journal, and their bytes. A last line that a kill has cut is not read.

    Raises JournalError when the file cannot be read, or when a whole line is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from error
    whole = content.rfind(b"\n") + 1
    records: list[dict[str, Any]] = []
    for line_number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            Record.model_validate_json(line, strict=True)
            records.append(json.loads(line))
            check_place(records)
        except ValueError as error:  # pydantic's is one, too
            raise JournalError(
                f"{path}, line {line_number}: damaged ({first_problem(error)}); to start afresh, "
                f"leave --resume out; for --resume to pass this session over, delete {path.parent}"
            ) from error
    return records, whole


def check_place(records: list[dict[str, Any]]) -> None:
    """Raise ValueError when the last of the records cannot follow the others."""
    *before, last = records
    if not records[0].get("fingerprint"):
        raise ValueError("it does not begin with a fingerprint")
    if "results" not in last:
        return
    place = last.get("block"), last.get("trial")
    if any((record.get("block"), record.get("trial")) == place for record in before):
        raise ValueError(f"block {place[0]} of {place[1]} is there twice")
    planned = records[0]["fingerprint"].get("trials", {}).get(last.get("trial"), ())
    if strange := last["results"].keys() - set(planned):
        raise ValueError(f"{place[1]} of {', '.join(strange)} is not in the fingerprint")


def first_problem(error: ValueError) -> str:
    """Return what is wrong, and where in the record."""
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors()[0]
    return ": ".join(filter(None, [".".join(map(str, problem["loc"])), problem["msg"]]))


def unwritable(path: Path, error: OSError) -> JournalError:
    """The error for a session's folder that cannot be written."""
    return JournalError(
        f"{path}: {error.strerror}; what was measured before is safe: "
        "mend this (a full disk needs space), then run the same command with --resume"
    )


def value(fingerprint: dict[str, Any], key: str, width: int | None = 60) -> str:
    """A fingerprint's value as text of at most `width` characters, or of any length for None."""
    text = json.dumps(fingerprint[key]) if key in fingerprint else "not recorded"
    return text if width is None or len(text) <= width else text[: width - 1] + "…"


def noted_confirmation(records: Iterable[Mapping[str, Any]]) -> dict[str, int] | None:
    """The planned confirmation (`suspects`, `blocks`, `rounds`); None before it is planned."""
    return next((record["confirmation"] for record in records if "confirmation" in record), None)


def confirming_blocks(records: Iterable[Mapping[str, Any]]) -> int:
    """How many blocks the planned confirmation has at most; 0 without one."""
    return (noted_confirmation(records) or {"blocks": 0})["blocks"]
