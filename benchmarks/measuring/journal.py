"""Every finished trial on disk at once, so that a killed session loses nothing.

A journal is a text file of one JSON object a line: the session's fingerprint, then trials, then
what was dropped, then, when all was judged and saved, the word that it is finished.
"""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(".benchmarks", "sessions")
# What the workers' compilers leave in a session's folder, of no use to another session.
CACHES = ("inductor", "triton")


class ResumeError(Exception):
    """There is nothing to resume, or what there is belongs to another plan; says which."""


class Journal:
    """The journal of one session; the session's folder also holds its workers' output."""

    def __init__(self, folder: Path, records: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.records = records

    @property
    def session(self) -> str:
        """The session's name: its UTC time and the controller's process number."""
        return self.folder.name

    def append(self, record: dict[str, Any]) -> None:
        """Write one record through to the disk."""
        self.records.append(record)
        with (self.folder / "journal.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Note that everything was judged and saved: such a session is not taken up again."""
        self.append({"finished": True})
        for cache in CACHES:
            shutil.rmtree(self.folder / cache, ignore_errors=True)


def create(root: Path, fingerprint: dict[str, Any]) -> Journal:
    """Begin a session under `root`."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    folder = root / FOLDER / name
    folder.mkdir(parents=True)
    journal = Journal(folder, [])
    journal.append({"fingerprint": fingerprint})
    return journal


def resume(root: Path, fingerprint: dict[str, Any]) -> Journal:
    """Take up the newest unfinished session under `root`.

    Raises ResumeError when there is none, or when its fingerprint is another one.
    """
    for path in sorted((root / FOLDER).glob("*/journal.jsonl"), reverse=True):
        records = read(path)
        if records and "finished" not in records[-1]:
            break
    else:
        raise ResumeError(f"nothing to resume: no unfinished session in {root / FOLDER}")
    differences = [
        f"{key} was {shorten(was)}, is now {shorten(fingerprint.get(key))}"
        for key, was in records[0]["fingerprint"].items()
        if was != fingerprint.get(key)
    ]
    if differences:
        raise ResumeError(
            f"session {path.parent.name} cannot be resumed: {'; '.join(differences)}. "
            "Run the same command that began it, or start afresh without --resume."
        )
    return Journal(path.parent, records)


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a journal; a last line that a kill cut short is removed from the file."""
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def shorten(value: Any, width: int = 60) -> str:
    """A value for a message."""
    text = json.dumps(value)
    return text if len(text) <= width else text[: width - 1] + "…"
