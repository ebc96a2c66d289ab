"""How far every implementation is from the NumPy reference: `python -m tools.parity_table`."""

import argparse
import json
import struct
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measuring.workers import START_LIMIT, WorkerProcess, check_handshake
from benchmarks.reporting import markdown
from mnist_models import data, implementations, networks, parity, weights
from mnist_models.conventions import Conventions
from mnist_models.implementations import numpy_reference
from mnist_models.recipe import (
    DEFAULT,
    DYADIC_ADAM,
    DYADIC_ADAMW,
    DYADIC_MOMENTUM,
    DYADIC_NESTEROV,
    DYADIC_SGD,
    SGD,
    Adam,
    Recipe,
)

BATCH_SIZE = 16
STEPS = 100
# 100 batches of 16 or 14 of 128, and a partial one. Which digits are made depends on their number:
# with these, float32 takes the same side of every kink of ReLU and max-pooling as the reference.
TRAIN_IMAGES, TEST_IMAGES = 1800, 200
FLOAT64_TOLERANCE = 1e-12
LIMIT = 300.0

Arrays = dict[str, np.ndarray]
# By implementation, architecture and question: the worst difference, and the kind of its answer.
Rows = dict[str, dict[str, dict[str, list[Any]]]]
Answer = Future[Arrays]


@dataclass(frozen=True)
class Question:
    """One of `parity.observe`'s questions, about how many batches, and how the trainer is made."""

    asks: str
    optimizer: Adam | SGD
    dtype: str
    batches: int = 3
    cosine_steps: int = 0

    @property
    def recipe(self) -> Recipe:
        """How the trainer trains."""
        return Recipe(self.optimizer, BATCH_SIZE, cosine_steps=self.cosine_steps)


QUESTIONS = {
    "float64 momentum": Question("train_step", DYADIC_MOMENTUM, "float64", STEPS),
    "float64 Adam": Question("train_step", DYADIC_ADAM, "float64", STEPS),
    "float64 AdamW": Question("train_step", DYADIC_ADAMW, "float64", STEPS),
    "float64 Nesterov": Question("train_step", DYADIC_NESTEROV, "float64", STEPS),
    "float64 cosine": Question("train_step", DYADIC_MOMENTUM, "float64", STEPS, STEPS - 20),
    "float64 AdamW, 10 steps": Question("train_step", DYADIC_ADAMW, "float64", 10),
    "float32 forward": Question("forward", DEFAULT.optimizer, "float32"),
    "float32 gradients": Question("gradients", DYADIC_SGD, "float32"),
    "float32 Adam": Question("train_step", DEFAULT.optimizer, "float32"),
    "float32 epoch": Question("epoch", DEFAULT.optimizer, "float32"),
}
# What `python -m tools.parity_table` asks besides: the same after the first step and after ten.
EARLIER = {
    f"{title}, {steps} steps": replace(question, batches=steps)
    for title, question in QUESTIONS.items()
    for steps in (1, 10)
    if question.batches == STEPS
}
TABLE = QUESTIONS | EARLIER


class ParityWorker:
    """An implementation in its process, asked in the background, one request after the other."""

    check = staticmethod(check_handshake)

    def __init__(self, name: str, dataset: data.Dataset, folder: Path) -> None:
        self.process = WorkerProcess(name, "cpu", 1, folder)
        self.queue = ThreadPoolExecutor(1)
        self.asked: dict[tuple[str, str], Answer] = {}
        self.started = self.queue.submit(self.start, name, dataset)

    def start(self, name: str, dataset: data.Dataset) -> dict[str, Any]:
        """Start the worker; returns what it told in the handshake."""
        arguments = name, "cpu", 1, "float32"
        facts: dict[str, Any] = self.process.ask("start", *arguments, limit=START_LIMIT)
        self.check(self.process, facts)
        self.process.ask("read", str(dataset.folder), limit=LIMIT)
        return facts

    @property
    def conventions(self) -> Conventions:
        """The formulas that it computes by."""
        return Conventions(**self.facts["conventions"])

    @property
    def facts(self) -> dict[str, Any]:
        """What it told in the handshake; raises WorkerError when it could not start."""
        return self.started.result()

    def ask(self, architecture: str, question: str) -> Answer:
        """The answer to come about an architecture to one of QUESTIONS, asked once."""
        case = architecture, question
        if case not in self.asked:
            self.asked[case] = self.queue.submit(self.answer, *case)
        return self.asked[case]

    def answer(self, architecture: str, title: str) -> Arrays:
        """Ask one of QUESTIONS, and wait."""
        question = TABLE[title]
        start = weights.to_bytes(weights.initial(networks.load(architecture), DEFAULT.seed))
        recipe = question.recipe.record()
        self.process.ask("take", architecture, recipe, question.dtype, start, limit=LIMIT)
        answer = self.process.ask("observe", question.asks, question.batches, limit=LIMIT)
        return weights.from_bytes(answer)

    def dismiss(self) -> None:
        """End the worker."""
        self.queue.shutdown(wait=False, cancel_futures=True)
        self.process.kill()


@cache
def expected(
    dataset: data.Dataset, architecture: str, question: str, conventions: Conventions
) -> Arrays:
    """The reference's own answer, always in float64."""
    asked, network = TABLE[question], networks.load(architecture)
    trainer = numpy_reference.Trainer(network, asked.recipe, "cpu", "float64", conventions)
    if asked.asks in parity.OF_TRAINING:
        trainer.disable_dropout()
    trainer.set_weights(weights.initial(network, DEFAULT.seed))
    total = len(dataset.train_labels)
    count = parity.part(asked.asks, asked.batches, BATCH_SIZE, total).stop
    images, labels = data.preprocess(dataset.train_images[:count]), dataset.train_labels[:count]
    return parity.observe(trainer, network, asked.asks, images, labels, BATCH_SIZE)


def differences(
    answer: Arrays,
    dataset: data.Dataset,
    architecture: str,
    question: str,
    conventions: Conventions,
) -> dict[str, float]:
    """Relative differences; in float32 without the elements that `parity` leaves out."""
    left_out = parity.LEFT_OUT if TABLE[question].dtype == "float32" else 0.0
    right = expected(dataset, architecture, question, conventions)
    return parity.differences(answer, right, left_out)


def few_digits(folder: Path) -> data.Dataset:
    """A small data set of IDX files, made from scikit-learn's digits."""
    folder.mkdir()
    for file, array in zip(data.FILES, data.make_digits(TRAIN_IMAGES, TEST_IMAGES), strict=True):
        header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
        (folder / file).write_bytes(header + array.tobytes())
    return data.read(folder)


def row(witness: ParityWorker, dataset: data.Dataset, architecture: str) -> dict[str, list[Any]]:
    """The kind that differs most in the answer to each question, and by how much."""
    found = {}
    for question in TABLE:
        answer = witness.ask(architecture, question).result()
        worst = differences(answer, dataset, architecture, question, witness.conventions)
        kind = max(worst, key=worst.__getitem__)
        found[question] = [float(f"{worst[kind]:.1e}"), kind]
    return found


def table(rows: Rows, questions: Sequence[str] = tuple(TABLE)) -> list[str]:
    """A Markdown table: for each network and implementation the worst answer to the questions."""
    networks_asked = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = []
    for name, asked in rows.items():
        worst = [
            max(asked[network][question] for question in questions) if network in asked else None
            for network in networks_asked
        ]
        lines.append([name, *(f"{one[0]:.0e} {one[1]}" if one else "" for one in worst)])
    return markdown.table(["", *networks_asked], lines)


def main() -> None:
    """Ask one implementation after the other, print the tables, and save what was found."""
    parser = argparse.ArgumentParser(prog="python -m tools.parity_table", description=__doc__)
    known = implementations.names()
    parser.add_argument("--implementation", action="append", choices=known, help="default: all")
    parser.add_argument(
        "--architecture", action="append", choices=networks.names(), help="likewise"
    )
    parser.add_argument("-o", "--output", type=Path, help="where what was found is saved")
    options = parser.parse_args()
    rows: Rows = {}
    # NumPy's threads would fight with the workers for the CPUs.
    with threadpool_limits(1), tempfile.TemporaryDirectory() as scratch:
        dataset = few_digits(Path(scratch, "few_digits"))
        for name in options.implementation or known:
            if lacks := implementations.missing(name):
                print(f"{name}: not installed: pip install {' '.join(lacks)}", file=sys.stderr)
                continue
            witness = ParityWorker(name, dataset, Path(scratch))
            try:
                for architecture in options.architecture or networks.names():
                    found = rows.setdefault(name, {})[architecture] = row(
                        witness, dataset, architecture
                    )
                    for question, (worst, kind) in found.items():
                        print(f"{name}, {architecture}, {question}: {worst:.1e} {kind}", flush=True)
            finally:
                witness.dismiss()
    print("", *table(rows), sep="\n")
    if options.output:
        options.output.write_text(json.dumps(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
