"""The right answers: those of `numpy_reference` in float64, computed once per question."""

from collections.abc import Callable
from math import inf
from typing import Any

from mnist_models import networks, parity, weights
from mnist_models.conventions import Conventions
from mnist_models.data import Dataset, preprocess
from mnist_models.implementations import numpy_reference
from mnist_models.recipe import Recipe

PARITY_BATCHES = 3


class Reference:
    """Compares workers' answers with its own, on the images of the data set."""

    def __init__(self, dataset: Dataset) -> None:
        self.images, self.labels = dataset.train_images, dataset.train_labels
        self.answers: dict[tuple[Any, ...], parity.Arrays] = {}

    def check(
        self,
        ask: Callable[..., bytes],
        question: str,
        architecture: str,
        plan: Recipe,
        conventions: Conventions,
        precision: str,
    ) -> dict[str, float]:
        """Worst difference of each kind in the best of a few attempts, each on other images.

        `ask` sends a request to the worker. A unit whose input is zero except for rounding may fall
        on the other side of ReLU than in the reference, so one disagreement proves nothing.
        """
        best: dict[str, float] = {}
        for attempt in range(parity.ATTEMPTS):
            if self.part(question, plan.batch_size, attempt).stop == 0:
                break
            answer = ask("observe", question, PARITY_BATCHES, attempt)
            found = self.judge(answer, question, architecture, plan, conventions, attempt)
            best = {kind: min(found[kind], best.get(kind, inf)) for kind in found}
            network = networks.load(architecture)
            allowed = parity.limits(network, conventions.rough_statistics, precision)
            if not parity.violations(best, allowed):
                break
        return best

    def part(self, question: str, batch_size: int, attempt: int) -> slice:
        """The images of an attempt at a question."""
        return parity.part(question, PARITY_BATCHES, batch_size, len(self.images), attempt)

    def judge(
        self,
        observed: bytes,
        question: str,
        architecture: str,
        plan: Recipe,
        conventions: Conventions,
        attempt: int = 0,
    ) -> dict[str, float]:
        """Worst relative differences of a worker's answer (`parity.differences`)."""
        key = (question, architecture, plan, conventions, attempt)
        if key not in self.answers:
            network = networks.load(architecture)
            trainer = numpy_reference.Trainer(network, plan, "cpu", "float64", conventions)
            if question in parity.OF_TRAINING:
                trainer.disable_dropout()
            trainer.set_weights(weights.initial(network, plan.seed))
            part = self.part(question, plan.batch_size, attempt)
            sample = preprocess(self.images[part]), self.labels[part]
            self.answers[key] = parity.observe(trainer, network, question, *sample, plan.batch_size)
        answer = weights.from_bytes(observed)
        return parity.differences(answer, self.answers[key], parity.LEFT_OUT)
