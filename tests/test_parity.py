"""Parity: every implementation does the arithmetic of the NumPy referee, and the referee is right."""

from contextlib import suppress
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy.signal import correlate

from mnist_models import numpy_layers, parity, weights
from mnist_models.architectures import ARCHITECTURES
from mnist_models.data import preprocess
from mnist_models.implementations import PAIR, names, numpy_reference
from mnist_models.recipe import DEFAULT, DYADIC_ADAM, DYADIC_SGD, Recipe
from tests.conftest import selected
from tests.parity_table import FLOAT64_TOLERANCE, QUESTIONS, differences

BATCH = 4
TENSORS = [(a.name, tensor) for a in ARCHITECTURES.values() for tensor in a.weight_shapes()]
RNG_SEED = 7


@pytest.fixture(scope="module")
def answers(request, worker):
    """All that the selected tests want to know, asked at once: the workers answer side by side."""
    asked = {}
    for key in selected(request, "implementation", "architecture", "question"):
        with suppress(pytest.skip.Exception):
            asked[*key] = worker(key[0]).ask(*key[1:])
    return asked


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("implementation", names())
def test_implementation_agrees_with_the_referee(
    worker, answers, dataset, implementation, architecture, question
):
    """In float64 to 12 digits after 100 steps, in float32 within `parity.TOLERANCES`."""
    epsilon = worker(implementation).facts["adam_epsilon"]
    answer = answers[implementation, architecture, question].result()
    found = differences(answer, dataset, architecture, question, epsilon)
    if QUESTIONS[question].dtype == "float64":
        assert max(found.values()) <= FLOAT64_TOLERANCE, found
    else:
        assert parity.violations(found) == []
