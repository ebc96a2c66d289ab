"""Where a training step goes: by subtraction, by the profiler, and whether both agree."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks.comparing import parts
from benchmarks.measuring.workers import ROOT
from benchmarks.reporting import words
from benchmarks.trial import Trial
from mnist_models import implementations, profiles
from mnist_models.implementations import PAIR, Unavailable
from tests.test_statistics import make_results

KERAS, PYTORCH = PAIR
TRIAL = Trial("parts", "mlp", 128, "cpu")
BLOCK = {
    "subtracted": {"forward": 4e-3, "backward": 5e-3, "optimiser": 1e-3, "rest": 2e-3},
    "profiled": {"forward": 4.4e-3, "backward": 5.5e-3, "optimiser": 1.1e-3},
    "kernels": [["aten::mm", 3e-3, 20.0], ["aten::add", 1e-3, 8.0]],
}


def with_optimiser(seconds):
    return BLOCK | {"profiled": BLOCK["profiled"] | {"optimiser": seconds}}


def test_a_part_is_what_its_stage_takes_longer_than_the_one_before(monkeypatch):
    """From stages of known length; each round has a burst of each."""
    took = {"forward": 1.0, "gradients": 3.0, "update": 3.5, "step": 4.5}
    stages = [lambda images, labels, name=name: name for name in took]
    trainer = SimpleNamespace(reset=lambda: None, train_step=stages[-1])
    bursts = []

    def clock(call, iterations):
        bursts.append(call(0))
        return took[call(0)], 0.0

    worker = SimpleNamespace(trainer=trainer, prepared=lambda: [(0, 0)], clock=clock)
    module = SimpleNamespace(stages=lambda trainer: stages[:-1])
    monkeypatch.setattr(profiles, "framework", lambda worker: module)
    found = profiles.subtracted(worker, 4)
    assert found == {"forward": 1.0, "backward": 2.0, "optimiser": 0.5, "rest": 1.0}
    rounds = [tuple(bursts[start + 1 : start + 8 : 2]) for start in range(0, len(bursts), 8)]
    assert len(rounds) == profiles.ROUNDS
    assert {frozenset(one) for one in rounds} == {frozenset(took)}
    assert len(set(rounds)) > 10, "the stages always come in the same order"


def test_shares_are_of_what_both_ways_know():
    assert parts.shares([BLOCK] * 6, "subtracted") == pytest.approx(
        {"forward": 0.4, "backward": 0.5, "optimiser": 0.1}
    )
    assert parts.apart([BLOCK] * 6) == pytest.approx(0.0)


@pytest.mark.parametrize(("optimiser", "said"), [(1e-3, "agrees within"), (9e-3, "differs by up")])
def test_a_profiler_that_says_otherwise_is_told(optimiser, said):
    assert words.agreement([with_optimiser(optimiser)] * 6).startswith(said)


def test_the_kernels_of_most_blocks_are_told_those_that_take_most_first():
    rare = BLOCK | {"kernels": [["aten::rare", 9e-3, 1.0], *reversed(BLOCK["kernels"])]}
    found = parts.kernels([BLOCK] * 5 + [rare])
    assert found == [("aten::mm", 3e-3, 20.0), ("aten::add", 1e-3, 8.0)]


def test_the_parts_are_told():
    results = make_results({(TRIAL, PYTORCH): ([1.0] * 6, {"parts": BLOCK})})
    info = results.particulars(results.rows[TRIAL, PYTORCH])
    assert words.particulars(PYTORCH, info) == [
        "PyTorch: forward 4 ms, backward 5 ms, optimiser 1 ms, rest 2 ms; the profiler agrees "
        "within 0 points; the longest kernel is aten::mm: 3 ms in 20 calls"
    ]


def test_who_is_not_taken_apart_says_so():
    worker = SimpleNamespace(own=lambda: ("numpy_reference", "mlp", {}, "cpu", 1))
    with pytest.raises(Unavailable, match="numpy_reference is not taken apart"):
        profiles.framework(worker)


ASKED = """
import json, sys, time
from benchmarks.comparing import parts
from mnist_models import networks, recipe, weights, worker
made = worker.Worker()
made.start(sys.argv[1], "cpu", 1, "float32")
if sys.argv[3] == "slow":
    import torch
    torch.optim.Adam.step = lambda self, closure=None: time.sleep(0.02)
made.read(sys.argv[2])
start = weights.to_bytes(weights.initial(networks.load("mlp"), 0))
made.take("mlp", recipe.DEFAULT.record(), "float32", start)
made.first_call("parts")
for _ in range(10):
    found = made.sample("parts", 1)
    whole, step = sum(found["parts"]["subtracted"].values()), found["seconds"]
    if parts.apart([found["parts"]]) < parts.AGREE and abs(whole - step) < step / 2:
        break
print(json.dumps(found))
"""


def asked(name, dataset, how="installed"):
    """The first of ten samples in which all ways agree: the other tests' load spoils some."""
    if missing := implementations.missing(name):
        pytest.skip(f"not installed: {', '.join(missing)}")
    command = [sys.executable, "-c", ASKED, name, str(dataset.folder), how]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIR)
def test_each_of_the_pair_is_taken_apart(name, dataset):
    """All parts are there, and together they are about the step."""
    found = asked(name, dataset)
    subtracted, profiled = found["parts"]["subtracted"], found["parts"]["profiled"]
    assert tuple(subtracted) == profiles.PARTS
    assert tuple(profiled) == profiles.PROFILED
    assert all(seconds > 0 for seconds in profiled.values())
    assert sum(subtracted.values()) == pytest.approx(found["seconds"], rel=0.5)
    assert parts.apart([found["parts"]]) < 0.25
    kernels = found["parts"]["kernels"]
    assert len(kernels) == profiles.KERNELS
    assert any("mm" in name or "MatMul" in name for name, _, _ in kernels[:3])


@pytest.mark.slow
def test_a_planted_slow_optimiser_is_found_by_both_ways(dataset):
    found = asked(PYTORCH, dataset, "slow")["parts"]
    for how in ("subtracted", "profiled"):
        assert found[how]["optimiser"] == pytest.approx(0.02, rel=0.25), how
        assert found[how]["optimiser"] > 3 * found[how]["backward"], how
