"""The parts of a training step: measured stage by stage, and by the framework's profiler.

Importing this imports no framework. in_keras.py and in_pytorch.py have what differs.
"""

import random
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_models.implementations import FILES, Unavailable

if TYPE_CHECKING:
    from mnist_models.worker import Worker

# The parts that a profiler reports, and all parts of a step.
PROFILED = ("forward", "backward", "optimiser")
PARTS = (*PROFILED, "rest")
# Rounds with one burst of each stage; steps under the profiler; kernels that are reported.
ROUNDS, STEPS, KERNELS = 30, 20, 10
WARM_UP = 5
# Of images and labels on the device.
Stage = Callable[[Any, Any], object]


def subtracted(worker: "Worker", iterations: int) -> dict[str, float]:
    """Seconds of each of PARTS, by what a stage takes longer than the one before.

    The stages are the forward pass with its loss, that with all gradients, that with the update,
    and the framework's own step. Each has a burst in every round, in random order. A part may come
    out below zero by what the clock cannot tell.
    """
    batches, stages = worker.prepared(), framework(worker).stages(worker.trainer)
    every = (*stages, worker.trainer.train_step)
    chance, found = random.Random(), np.empty((ROUNDS, len(every)))
    for number in range(ROUNDS):
        for place in chance.sample(range(len(every)), len(every)):
            found[number, place] = burst(worker, every[place], batches, iterations)
    forward, gradients, update, step = np.median(found, axis=0).tolist()
    differences = forward, gradients - forward, update - gradients, step - update
    return dict(zip(PARTS, differences, strict=True))


def burst(worker: "Worker", stage: Stage, batches: list[Any], iterations: int) -> float:
    """Seconds of a stage, from a fresh reset, after some that are not timed."""
    worker.trainer.reset()
    count = len(batches)

    def call(i: int) -> object:
        return stage(*batches[i % count])

    worker.clock(call, max(1, iterations // 2))
    return worker.clock(call, iterations)[0]


def profiled(worker: "Worker") -> tuple[dict[str, float], list[list[Any]]]:
    """Seconds of a step's parts, without the rest, and its kernels, by the framework's profiler.

    A kernel is [name, seconds a step, calls a step]; those that take most come first.
    """
    batches, module = worker.prepared(), framework(worker)
    # After some hundred steps TensorFlow no longer records what it has found to be cheap.
    trainer = worker.build(worker.network, worker.recipe, worker.device, worker.dtype)
    trainer.set_weights(worker.start_weights)
    for batch in batches[:WARM_UP]:
        trainer.train_step(*batch)
    parts, kernels = module.profiled(trainer, batches[:STEPS])
    steps = len(batches[:STEPS])
    shown = sorted(kernels.items(), key=lambda one: -one[1][0])[:KERNELS]
    return (
        {name: parts.get(name, 0.0) / steps for name in PROFILED},
        [[name, seconds / steps, calls / steps] for name, (seconds, calls) in shown],
    )


def framework(worker: "Worker") -> Any:
    """What differs between the frameworks; raises `Unavailable` for others."""
    name, *_ = worker.own()
    if name not in FILES:
        raise Unavailable(f"{name} is not taken apart")
    return import_module(f"{__name__}.{FILES[name]}")


def summed(events: Iterable[tuple[str, float]]) -> dict[str, tuple[float, int]]:
    """Seconds and calls by name."""
    found: dict[str, tuple[float, int]] = {}
    for name, seconds in events:
        before, calls = found.get(name, (0.0, 0))
        found[name] = before + seconds, calls + 1
    return found
