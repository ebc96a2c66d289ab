"""What a worker computes with is what its row says: device, type, layout, precision."""

import os
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from time import sleep
from types import SimpleNamespace
from typing import ClassVar

import pytest

from benchmarks.measuring import gpu
from benchmarks.measuring.pool import WorkerPool
from benchmarks.measuring.results import Results
from benchmarks.measuring.session import Session
from benchmarks.measuring.workers import variables_of
from benchmarks.trial import Trial
from mnist_models import implementations
from mnist_models.conventions import TEXTBOOK
from mnist_models.implementations import PAIR, numpy_reference
from mnist_models.recipe import Adam
from mnist_models.worker import Worker
from tests.test_command_lines import LIMIT, fresh_copy, run
from tests.test_statistics import make_plan

LAYOUTS = {
    "pytorch_eager": "channels_first",
    "pytorch_compiled": "inductor's choice",
    "pytorch_channels_last": "channels_last",
}
STEP = Trial("train_step", "mlp", 16, "gpu")


def reference_module(trainer=numpy_reference.Trainer, **more):
    """The reference as an implementation that believes to be on a GPU."""
    functions = {name: getattr(numpy_reference, name) for name in ("configure", "versions")}
    found = {"devices": lambda: ["cpu", "gpu"], "set_precision": lambda precision: {}}
    return SimpleNamespace(**functions | found | {"Trainer": trainer} | more)


@pytest.mark.parametrize(
    ("placed", "words"),
    [
        ({"devices": ["mps"]}, "asked to compute on cpu, it computes on mps"),
        ({"devices": ["cpu", "cuda"]}, "it computes on cpu and gpu"),
        ({"dtypes": ["float16", "float32"]}, "it computes on float16 and float32"),
    ],
)
def test_a_worker_on_another_device_is_refused(placed, words):
    """Parameters and logits must all be on the device of the row, in its type."""

    class Elsewhere(numpy_reference.Trainer):
        def placement(self, images):
            return super().placement(images) | placed

        def __init__(self, architecture, recipe, device, dtype):
            super().__init__(architecture, recipe, device, dtype)

    worker = Worker()
    worker.module = reference_module(Elsewhere)
    with pytest.raises(RuntimeError, match=words):
        worker.placement("cpu")


@pytest.mark.parametrize("implementation", implementations.names())
def test_each_computes_in_the_layout_of_its_users(worker, implementation):
    """Read off the tensors of a forward pass, not off a setting."""
    facts = worker(implementation).facts
    assert facts["observed"]["devices"] == ["cpu"]
    assert facts["in_force"]["layout"] == LAYOUTS.get(implementation, "channels_last")


@pytest.mark.slow
@pytest.mark.skipif(bool(implementations.missing(PAIR[1])), reason="PyTorch is not installed")
def test_a_single_channel_keeps_pytorchs_strides():
    """A permuted channel of size 1 has a stride of 1, with which convolutions are channels last."""
    code = (
        "import numpy; from mnist_models.implementations.pytorch_eager import *;"
        "from mnist_models import networks; from mnist_models.recipe import DEFAULT;"
        "images = Trainer(networks.load('lenet5'), DEFAULT, 'cpu', 'float32').put("
        "numpy.zeros((4, 28, 28, 1), 'float32'), numpy.zeros(4, 'uint8'))[0];"
        "print(images.stride(), images[torch.arange(2)].stride())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert found.stdout.strip() == "(784, 784, 28, 1) (784, 784, 28, 1)"


def wait_in_jax(channel):
    import jax

    from mnist_models import networks
    from mnist_models.implementations import keras_jax
    from mnist_models.recipe import DEFAULT

    trainer = keras_jax.Trainer(networks.load("mlp"), DEFAULT, "cpu", "float32")

    for variable in (trainer.model.variables[0], trainer.model.optimizer.variables[2]):
        value = jax.numpy.ones(variable.shape)
        for _ in range(50):
            value = value @ (value.T @ value)
        variable.assign(value)
        under_way = not variable.value.is_ready()
        trainer.synchronize()
        channel.send([under_way, variable.value.is_ready()])


@pytest.mark.parametrize("implementation", ["keras_jax"])
def test_waiting_leaves_nothing_under_way(worker, implementation):
    """JAX returns before it has computed: the clock must wait for weights and optimiser alike."""
    witness = worker(implementation)
    (gateway,) = witness.process.group
    channel = witness.queue.submit(gateway.remote_exec, wait_in_jax).result()
    assert [channel.receive(LIMIT) for _ in range(2)] == [[True, True]] * 2


# A source, because execnet takes no function with closures.
TRAINED = """
import numpy as np
from mnist_models import implementations, networks
from mnist_models.recipe import DEFAULT

module = implementations.load({implementation!r})
trainer = module.Trainer(networks.load("mlp"), DEFAULT, "cpu", "float32")
data = trainer.put(np.ones((300, 28, 28, 1), "float32"), np.zeros(300, "uint8"))
seen = []

def look():
    trainer.synchronize()
    seen.append(trainer.get_weights())

look()
trainer.train_epoch(*data, np.arange(300), look)
look()
end = seen.pop()
changes = [max(float(abs(one[name] - end[name]).max()) for name in end) for one in seen]
channel.send(changes)
"""


@pytest.mark.parametrize("implementation", implementations.names())
def test_the_last_steps_weights_are_there_when_an_epoch_is_trained(worker, implementation):
    """The moment that the clock takes comes once, and nothing is trained after it."""
    witness = worker(implementation)
    (gateway,) = witness.process.group
    source = TRAINED.format(implementation=implementation)
    channel = witness.queue.submit(gateway.remote_exec, source).result()
    before, *trained = channel.receive(LIMIT)
    assert before > 0
    assert trained == [0]


@cache
def prepared(trainer, dataset, precision, exporting=0.0):
    """Results of a training step on a pretended GPU, asked of a worker in this process.

    Before its first call it spends so many seconds on what the call does not time.
    """
    worker = Worker()
    worker.module, worker.device, worker.threads = reference_module(trainer), "gpu", 1
    worker.wall, worker.cpu = 0.0, 0.0
    worker.trainers, worker.batches, worker.whole = {}, {}, {}
    worker.read(str(dataset.folder))
    plan = replace(make_plan({STEP: (PAIR[0],)}, blocks=1), precision=precision)
    journal = SimpleNamespace(records=[{"fingerprint": {}}], session="made up")
    pool = WorkerPool(Session(plan, dataset, journal, None))
    pool.facts[PAIR[0]] = {"conventions": asdict(TEXTBOOK), "versions": {}}

    def ask(method, *arguments, limit):
        if method == "first_call":
            sleep(exporting)
        return getattr(worker, method)(*arguments)

    process = SimpleNamespace(contestant=PAIR[0], ask=ask)
    entry = {}
    pool.prepare(entry, process, STEP, 0)
    journal.records.append({"block": 0, "trial": str(STEP), "results": {PAIR[0]: entry}})
    return Results(plan, journal).rows[STEP, PAIR[0]]


class Reference(numpy_reference.Trainer):
    """The reference under the signature of an implementation."""

    changed: ClassVar[dict[str, float]] = {}

    def __init__(self, architecture, recipe, device, dtype):
        if isinstance(recipe.optimizer, Adam):
            recipe = replace(recipe, optimizer=replace(recipe.optimizer, **self.changed))
        super().__init__(architecture, recipe, device, dtype)


@pytest.mark.parametrize("changed", [{"beta_1": 0.8}, {"epsilon": 1e-5}], ids=str)
def test_tf32_hides_no_wrong_recipe(dataset, changed):
    """TF32's limits are wide enough for such faults; the same code is checked in float32, too."""
    wrong = type("Wrong", (Reference,), {"changed": changed})
    row = prepared(wrong, dataset, "tf32")
    assert not any("TF32" in fault for fault in row.wrong_answers)
    assert any("weights: off by" in fault for fault in row.wrong_answers)
    assert prepared(Reference, dataset, "tf32").wrong_answers == []


def test_both_precisions_are_recorded(dataset):
    """`parity` is that of float32, whatever is timed."""
    row = prepared(Reference, dataset, "tf32")
    assert row.parity().keys() == {"loss", "weights", "trained_logits", "gradients"}
    assert row.parity("tf32").keys() == {"loss", "weights", "trained_logits"}
    assert prepared(Reference, dataset, "float32").parity("tf32") == {}


def test_what_the_first_block_exports_is_no_time_of_later_blocks(dataset, monkeypatch):
    """The budget would drop what fits; what every block does again is time of later blocks."""
    [entry] = prepared(Reference, dataset, "float32", exporting=0.3).entries.values()
    assert entry["once_seconds"] < 0.3
    monkeypatch.setattr(type(STEP.kind), "exports", True)
    [entry] = prepared(Reference, dataset, "float32", exporting=0.4).entries.values()
    assert entry["first_call_seconds"] < 0.4 < entry["once_seconds"]


# A pretended driver


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A function that puts an nvidia-smi on the PATH that prints this, or fails."""

    def pretend(script):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        gpu.has_gpu.cache_clear()

    yield pretend
    gpu.has_gpu.cache_clear()


@pytest.mark.slow
def test_gpu_that_auto_chose_and_nobody_sees_fails(driver, tmp_path_factory):
    """`--device auto` asks for the GPU where a driver shows one: nothing measured is no success."""
    driver("echo 'GPU 0: Pretended'")
    copy = fresh_copy(tmp_path_factory)
    session = run(
        copy, "benchmarks", "--device", "auto", "-k", "forward and mlp", PATH=os.environ["PATH"]
    )
    assert session.returncode == 1, session.stdout
    assert "it sees no gpu, only cpu" in " ".join(session.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("exit 9", False),
        ("sleep 30", False),
        ("echo no devices were found", False),
        ("echo 'GPU 0: Pretended'", True),
    ],
)
def test_driver_that_does_not_answer_is_no_gpu(driver, monkeypatch, script, found):
    """Whether it fails, hangs or finds nothing."""
    monkeypatch.setattr(gpu, "LIMIT", 0.5)
    driver(script)
    assert gpu.has_gpu() == found


@pytest.mark.slow
@pytest.mark.parametrize(("printed", "share"), [("37", 0.37), ("[N/A]", None), ("", None)])
def test_others_on_the_gpu_are_seen(driver, monkeypatch, printed, share):
    """The share of the GPU that computes while the workers wait."""
    monkeypatch.setattr(gpu, "WINDOW", 0.0)
    driver(f"echo '{printed}'")
    assert gpu.foreign_use() == share


@pytest.mark.slow
def test_the_gpu_that_is_watched_is_the_workers(driver, monkeypatch):
    """Of eight, the session may see two; workers use the first of these."""
    monkeypatch.setattr(gpu, "WINDOW", 0.0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver("""case "$1 $2" in "--id 5") echo 50;; *) echo 10; echo 20;; esac""")
    assert gpu.foreign_use() == 0.1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,2")
    assert gpu.foreign_use() == 0.5


@pytest.mark.parametrize(("device", "keras"), [("cpu", "cpu"), ("gpu", "cuda")])
def test_users_settings_do_not_choose_the_device(tmp_path, device, keras):
    """Keras on PyTorch would follow KERAS_TORCH_DEVICE, and choose MPS on Apple's processors."""
    variables = variables_of(device, 1, tmp_path, "")
    assert variables["KERAS_TORCH_DEVICE"] == keras
    assert ("XLA_PYTHON_CLIENT_PREALLOCATE" in variables) == (device == "gpu")


def test_a_baseline_leaves_a_gpus_threads_alone():
    """One thread is steadier on a CPU; a GPU must be fed."""
    plan = replace(make_plan({}), threads=1, gpu_threads=7)
    assert (plan.threads_on("cpu"), plan.threads_on("gpu")) == (1, 7)
