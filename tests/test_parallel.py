"""Several devices: they compute what one computes, and every planted fault is seen."""

import json
import os
import re
import subprocess
import sys
from time import monotonic
from types import SimpleNamespace

import pytest

from benchmarks.measuring.workers import ROOT
from benchmarks.reporting import words
from benchmarks.trial import Trial
from mnist_models import cpus, implementations, networks, parallel, recipe, weights
from mnist_models.implementations import PAIR, Unavailable
from mnist_models.parallel import BOUND, FRAMEWORKS, TIMED_BOUND, Parallel
from mnist_models.worker import Worker
from tests.test_statistics import make_results

KERAS, PYTORCH = PAIR
TRIAL = Trial("data_parallel", "mlp", 128, "cpu")
GROUPS = {
    "1": {"seconds": 0.004, "alone_seconds": 0.004, "difference": 0.0},
    "2": {"seconds": 0.006, "alone_seconds": 0.003, "difference": 1e-16},
}
ASKED = """
import json, sys
from mnist_models import networks, recipe, weights, worker
from mnist_models.parallel import Parallel
made = worker.Worker()
made.start(sys.argv[1], "cpu", 1, "float32")
made.read(sys.argv[2])
start = weights.to_bytes(weights.initial(networks.load(sys.argv[3]), 0))
made.take(sys.argv[3], recipe.DEFAULT.record() | {"batch_size": 16}, "float32", start)
group = Parallel(made)
cases = sys.argv[5:]
one = group.found(1) if sys.argv[4] else {}
found = dict(zip(cases, group.differences(2, *cases)))
more = group.found(2) | {"four": group.differences(4, "")[0]} if one else {}
print(json.dumps(more | {"cases": found}))
"""


@pytest.mark.parametrize(
    ("count", "batch_size", "most"),
    [(1, 128, 1), (2, 128, 2), (3, 128, 2), (6, 128, 4), (12, 128, 8), (96, 128, 8), (6, 48, 6)],
)
def test_every_device_has_an_equal_part_of_a_batch(count, batch_size, most):
    """On six CPUs five of the parts would be larger than the last one."""
    assert parallel.most_devices(count, batch_size) == most


def test_a_batch_that_cannot_be_halved_is_refused(monkeypatch):
    monkeypatch.setattr(cpus, "inherited", lambda: [0, 1])
    own = PYTORCH, "mlp", {"batch_size": 127}, "cpu", 1
    with pytest.raises(Unavailable, match="equal parts of a batch of 127 images"):
        Parallel(SimpleNamespace(own=lambda: own))


def asked(name, dataset, architecture, *cases, more=False):
    """What each case ends with on two devices; `more`: also the operation's figures, and four."""
    if missing := implementations.missing(name):
        pytest.skip(f"not installed: {', '.join(missing)}")
    if len(cpus.inherited()) < 2:
        pytest.skip("there is one CPU")
    command = [sys.executable, "-c", ASKED, name, str(dataset.folder), architecture]
    command += ["more" if more else "", *cases]
    # What is compiled without optimisation computes the same, in a third of the time.
    quick = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    ended = subprocess.run(
        command, cwd=ROOT, env=quick, capture_output=True, text=True, check=False, timeout=300
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return json.loads(ended.stdout.splitlines()[-1])


# A batch that does not divide among devices must be weighed, which Keras has no way to do.
PLANTED = {
    PYTORCH: ("summed", "same data", "unsynchronised start", "last batch lost", "uneven"),
    "keras_jax": ("last batch lost",),
    "tensorflow_function": ("summed", "last batch lost", "uneven"),
}
RIGHT = {PYTORCH: ("uneven, weighed",), "tensorflow_function": ("uneven, weighed",)}


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_two_devices_compute_what_one_computes(name, dataset):
    """So do four, which share these CPUs; and every planted fault is seen."""
    right = RIGHT.get(name, ())
    found = asked(name, dataset, "lenet5", *PLANTED[name], *right, more=True)
    assert found["difference"] <= BOUND
    assert found["four"] <= BOUND
    assert found["timed_difference"] <= TIMED_BOUND
    assert found["seconds"] > 0
    assert (found["alone_seconds"] is None) == (name != PYTORCH)
    seen = {fault: difference > BOUND for fault, difference in found["cases"].items()}
    assert seen == dict.fromkeys(PLANTED[name], True) | dict.fromkeys(right, False)


@pytest.mark.slow
def test_the_group_that_is_timed_is_compared_too(dataset, monkeypatch):
    """The planted fault is in its training in float32 alone."""
    if implementations.missing(PYTORCH) or len(cpus.inherited()) < 2:
        pytest.skip("needs PyTorch and two CPUs")
    run = Parallel.run

    def summed(self, devices, *trainings):
        cases = [(dtype, "summed" if dtype == "float32" else case) for dtype, case in trainings]
        return run(self, devices, *(cases if devices > 1 else trainings))

    monkeypatch.setattr(Parallel, "run", summed)
    worker = Worker()
    batch = recipe.DEFAULT.record() | {"batch_size": 16}
    worker.own = lambda: (PYTORCH, "mlp", batch, "cpu", 1)
    worker.images, worker.labels = dataset.train_images, dataset.train_labels
    worker.start_weights = weights.initial(networks.load("mlp"), 0)
    group = Parallel(worker)
    group.found(1)
    found = group.found(2)
    assert found["difference"] <= BOUND
    assert found["timed_difference"] > TIMED_BOUND


@pytest.mark.slow
def test_keras_on_jax_refuses_an_uneven_batch(dataset):
    with pytest.raises(RuntimeError, match="should evenly divide the shape"):
        asked("keras_jax", dataset, "mlp", "uneven")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "common"), [("keras_jax", True), (PYTORCH, False)])
def test_batch_statistics_are_common_in_keras_and_each_device_s_own_in_pytorch(
    name, common, dataset
):
    """Which is why PyTorch's row is void, and what is said of it."""
    off = asked(name, dataset, "resnet", "")["cases"][""]
    assert (off <= BOUND) == common
    assert common or off > 1e-4


@pytest.mark.parametrize(
    ("architecture", "key", "more"),
    [
        ("mlp", "difference", "in float64"),
        ("mlp", "timed_difference", "in float32"),
        ("resnet", "difference", "in float64, each has batch"),
    ],
)
def test_devices_that_compute_something_else_void_the_row(architecture, key, more):
    trial = Trial("data_parallel", architecture, 128, "cpu")
    groups = GROUPS | {"2": GROUPS["2"] | {key: 0.02}}
    results = make_results({(trial, PYTORCH): ([1.0] * 6, {"devices": groups})})
    row = results.rows[trial, PYTORCH]
    assert not row.valid
    said = "block 0: weights of 2 devices differ from one's by 2.0e-02 "
    assert row.wrong_answers[0].startswith(said + more)


def test_the_figures_of_each_number_of_devices_are_told():
    results = make_results({(TRIAL, PYTORCH): ([1.0] * 6, {"devices": GROUPS})})
    info = results.particulars(results.rows[TRIAL, PYTORCH])
    assert words.particulars(PYTORCH, info) == [
        "PyTorch: 1 device(s) 4 ms, 2 device(s) 6 ms; off by 1e-16"
    ]


@pytest.mark.parametrize(
    ("name", "device", "count", "why"),
    [
        (KERAS, "cpu", 2, "does not run fit of Keras 3"),
        ("numpy_reference", "cpu", 2, "trains on one device alone"),
        (PYTORCH, "gpu", 2, "on CPUs alone"),
        (PYTORCH, "cpu", 1, "two devices need two"),
    ],
)
def test_who_cannot_says_why(name, device, count, why, monkeypatch):
    monkeypatch.setattr(cpus, "inherited", lambda: [*range(count)])
    worker = SimpleNamespace(own=lambda: (name, "mlp", {}, device, 1))
    with pytest.raises(Unavailable, match=why):
        Parallel(worker)


@pytest.mark.slow
def test_a_rank_that_fails_ends_its_group(monkeypatch):
    job = {"devices": 2, "folder": "/no/such/folder", "implementation": PYTORCH}
    with pytest.raises(RuntimeError, match=r"a rank of pytorch_eager failed:\n(.|\n)*no/such"):
        parallel.group(PYTORCH, job)


@pytest.mark.slow
@pytest.mark.parametrize("second", ["sys.exit('it fell')", "time.sleep(60)"])
def test_nobody_waits_for_a_rank_that_fails_or_hangs(monkeypatch, tmp_path, second):
    """The first rank would wait for ever."""
    fake = tmp_path / "mnist_models" / "parallel"
    fake.mkdir(parents=True)
    rank = f"second = json.loads(sys.argv[1])['rank']\nif second: {second}\ntime.sleep(60)\n"
    for folder in (fake, fake.parent):
        (folder / "__init__.py").touch()
    (fake / "__main__.py").write_text(f"import json, sys, time\n{rank}")
    monkeypatch.setattr(parallel, "variables", lambda: {"PYTHONPATH": str(tmp_path)})
    monkeypatch.setattr(parallel, "LIMIT", 3.0)
    began = monotonic()
    words = "it fell" if "fell" in second else "2 rank(s) of pytorch_eager did not end within 3 s"
    with pytest.raises(RuntimeError, match=re.escape(words)):
        parallel.group(PYTORCH, {"devices": 2})
    assert monotonic() - began < 30
