"""Trials, rows and contestants, and their names, which only this file makes and parses.

A trial is written `train_step[mlp-b128-cpu]`, a test `test_train_step[mlp-b128-cpu-pytorch_eager]`,
a contestant `pytorch_eager`, or `pytorch_eager@torch2.9` in another environment.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mnist_models import networks
from mnist_models.operations import OPERATIONS, Operation

TRIAL = r"(\w+)\[(\w+)-b(\d+)-(\w+)"


@dataclass(frozen=True)
class Trial:
    """One operation on one network, batch size and device, which contestants run."""

    operation: str
    architecture: str
    batch_size: int
    device: str

    def __str__(self) -> str:
        return f"{self.operation}[{self.place}]"

    @property
    def place(self) -> str:
        """All except the operation, such as mlp-b128-cpu."""
        return f"{self.architecture}-b{self.batch_size}-{self.device}"

    @property
    def kind(self) -> Operation:
        """The operation itself."""
        return OPERATIONS[self.operation]

    @classmethod
    def parse(cls, text: str) -> "Trial":
        """The trial of this name; raises ValueError."""
        found = re.fullmatch(rf"{TRIAL}\]", text)
        if not found:
            raise ValueError(f"no trial: {text!r}; one is written like forward[mlp-b128-cpu]")
        operation, architecture, batch_size, device = found.groups()
        return cls(operation, architecture, int(batch_size), device)


@dataclass(frozen=True)
class RowId:
    """A trial and an implementation, in this environment ("") or in a baseline."""

    trial: Trial
    implementation: str
    environment: str = ""

    @property
    def test(self) -> str:
        """The name of the row's test, which is the same in all environments."""
        return f"test_{self.trial.operation}[{self.parameters}]"

    @property
    def parameters(self) -> str:
        """The part of a test's name in brackets."""
        return f"{self.trial.place}-{self.implementation}"

    @classmethod
    def parse(cls, test: str) -> "RowId":
        """The row whose test has this name; raises ValueError."""
        found = re.fullmatch(rf"test_{TRIAL}-(\w+)\]", test)
        if not found:
            example = "test_forward[mlp-b128-cpu-pytorch_eager]"
            raise ValueError(f"no timed test: {test!r}; one is called like {example}")
        operation, architecture, batch_size, device, implementation = found.groups()
        return cls(Trial(operation, architecture, int(batch_size), device), implementation)


def known(text: str) -> Trial:
    """The trial of this name; raises ValueError, also for names that this suite does not have."""
    trial = Trial.parse(text)
    for value, names in ((trial.operation, OPERATIONS), (trial.architecture, networks.names())):
        if value not in names:
            raise ValueError(f"{trial}: no {value}; choose from {', '.join(names)}")
    return trial


def contestant(implementation: str, environment: str = "") -> str:
    """The name of an implementation in an environment, or in this one."""
    return f"{implementation}@{environment}" if environment else implementation


def by_trial(rows: Iterable[tuple[Trial, str]]) -> str:
    """Rows as text: each trial once, with its contestants."""
    found: dict[Trial, list[str]] = {}
    for trial, name in rows:
        found.setdefault(trial, []).append(name)
    return "; ".join(f"{trial} {', '.join(names)}" for trial, names in found.items())


def split(contestant: str) -> tuple[str, str]:
    """Implementation and environment of a contestant; the environment is "" for this one."""
    implementation, _, environment = contestant.partition("@")
    return implementation, environment
