"""Mutants: mistakes that people make, planted in the files themselves, do not go unnoticed."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

import mnist_models
from benchmarks.measuring import workers
from benchmarks.measuring.plan import OPERATIONS, Trial
from benchmarks.measuring.session import Session
from benchmarks.measuring.workers import WorkerError
from mnist_models import implementations, parity
from mnist_models.architectures import ARCHITECTURES
from mnist_models.recipe import BATCH_SIZE, DEFAULT
from tests.conftest import distributed, selected
from tests.parity_table import FLOAT64_TOLERANCE, LIMIT, QUESTIONS, Witness, differences

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutant:
    """One text replaced by another, and what gives it away.

    `found_by` is one of `parity.TOLERANCES`, on which a session insists before it measures; or one
    of the float64 `QUESTIONS`, for a mistake that the recipe hides from the session; or the name of
    the exception that it ends in.
    """

    old: str
    new: str
    found_by: str
    architecture: str = "mlp"


ACTIVATION = 'activation="relu" if relu else None'
KERAS_ADAM = "keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon)"
TAKEN_IN = "[weights[name] for name in"
GATHERED = "        images, labels = tf.gather(images, order)"
KERAS = {
    "softmax before the loss": Mutant("from_logits=True", "from_logits=False", "loss"),
    "softmax among the layers": Mutant(
        ACTIVATION, ACTIVATION.replace("None", '"softmax"'), "logits"
    ),
    "softmax twice": Mutant(
        "softmax(self.forward(images))",
        "softmax(keras.ops.softmax(self.forward(images)))",
        "probabilities",
    ),
    "ReLU left out": Mutant(ACTIVATION, "activation=None", "logits"),
    "mean pooling": Mutant("MaxPooling2D", "AveragePooling2D", "logits", "lenet5"),
    "no padding": Mutant('"same" if padding else "valid"', '"valid"', "ValueError", "lenet5"),
    "no biases": Mutant("layers.Dense(units,", "layers.Dense(units, use_bias=False,", "ValueError"),
    "biases left at zero": Mutant(
        TAKEN_IN, TAKEN_IN.replace("[name]", "[name] * name.endswith('kernel')"), "logits"
    ),
    "flatten order swapped": Mutant(
        "keras.layers.Flatten()", 'keras.layers.Flatten("channels_first")', "logits", "lenet5"
    ),
    "kernel transposed": Mutant(
        TAKEN_IN,
        TAKEN_IN.replace("[name]", "[name].swapaxes(0, int(name == '0_convolution/kernel'))"),
        "logits",
        "lenet5",
    ),
    "PyTorch's epsilon": Mutant(KERAS_ADAM, KERAS_ADAM.replace("epsilon", "1e-8"), "weights"),
    "epsilon elsewhere": Mutant('"hat"', '"plain"', "weights"),
    "beta_1 off": Mutant(KERAS_ADAM, KERAS_ADAM.replace("beta_1", "0.8"), "weights"),
    "beta_2 off": Mutant(KERAS_ADAM, KERAS_ADAM.replace("beta_2", "0.99"), "weights"),
    # zero_grad cannot be forgotten in Keras; its option to add gradients up comes closest.
    "gradients added up": Mutant(
        KERAS_ADAM,
        KERAS_ADAM.replace("epsilon", "epsilon, gradient_accumulation_steps=2"),
        "weights",
    ),
    "optimiser not reset": Mutant("variable.assign(fresh)", "pass", "weights"),
    "labels shifted": Mutant("tf.constant(labels,", "tf.constant((labels + 1) % 10,", "loss"),
    "last layer not trained": Mutant(
        "        self.model.compile(",
        "        self.model.layers[-1].trainable = False\n        self.model.compile(",
        "gradients",
    ),
    "a batch skipped": Mutant(
        GATHERED, f"        order = order[self.batch_size :]\n{GATHERED}", "epoch"
    ),
    "last partial batch dropped": Mutant(
        GATHERED, f"        order = order[: -(len(order) % self.batch_size)]\n{GATHERED}", "epoch"
    ),
    "order not applied": Mutant(GATHERED, f"        order = sorted(order)\n{GATHERED}", "epoch"),
    "shuffled again": Mutant("shuffle=False", "shuffle=True", "epoch"),
    "epsilon not passed on": Mutant(
        KERAS_ADAM, KERAS_ADAM.replace(", epsilon", ""), "float64 Adam"
    ),
    "weights decay": Mutant(
        KERAS_ADAM,
        KERAS_ADAM.replace("Adam(learning_rate", "AdamW(learning_rate, 0.004"),
        "weights",
    ),
    "momentum not passed on": Mutant(", momentum=momentum", "", "float64 momentum"),
}
LOGITS = "self.loss(self.model(images)"
GRIDS = "        for name, grid in self.architecture.kernel_grids().items():\n"
SPLIT = "order.split("
TORCH_ADAM = "lr=learning_rate, betas=(beta_1, beta_2), eps=epsilon"
TORCH = {
    "softmax before the loss": Mutant(LOGITS, f"{LOGITS}.softmax(dim=1)", "loss"),
    "softmax among the layers": Mutant(
        "return nn.Sequential(*layers)", "return nn.Sequential(*layers, nn.Softmax(1))", "logits"
    ),
    "softmax twice": Mutant(
        "self.forward(images).softmax(dim=1)",
        "self.forward(images).softmax(dim=1).softmax(dim=1)",
        "probabilities",
    ),
    "ReLU left out": Mutant("layers.append(nn.ReLU())", "pass", "logits"),
    "mean pooling": Mutant("nn.MaxPool2d", "nn.AvgPool2d", "logits", "lenet5"),
    "no padding": Mutant(", padding=padding", "", "RuntimeError", "lenet5"),
    "no biases": Mutant("Linear(before[0], units", "Linear(before[0], units, False", "ValueError"),
    "biases left at zero": Mutant(
        "torch.tensor(array,", "torch.tensor(array * name.endswith('kernel'),", "logits"
    ),
    "flatten order swapped": Mutant(
        GRIDS,
        f"{GRIDS}            grid = (1, 1, len(weights[name])) if 'dense' in name else grid\n",
        "logits",
        "lenet5",
    ),
    "kernel transposed": Mutant(
        ".transpose(3, 2, 0, 1)", ".transpose(3, 2, 1, 0)", "logits", "lenet5"
    ),
    "PyTorch's epsilon": Mutant(", eps=epsilon", "", "weights"),
    "epsilon elsewhere": Mutant('"plain"', '"hat"', "weights"),
    "beta_1 off": Mutant(TORCH_ADAM, TORCH_ADAM.replace("beta_1", "0.8"), "weights"),
    "beta_2 off": Mutant(TORCH_ADAM, TORCH_ADAM.replace("beta_2", "0.99"), "loss"),
    "zero_grad forgotten": Mutant("        self.optimizer.zero_grad()\n", "", "weights"),
    "optimiser not reset": Mutant("tensor.zero_()", "pass", "weights"),
    "labels shifted": Mutant("from_numpy(labels)", "from_numpy((labels + 1) % 10)", "loss"),
    "last layer not trained": Mutant(
        "        self.model = build_model(architecture).to(self.device, self.dtype)\n",
        "        self.model = build_model(architecture).to(self.device, self.dtype)\n"
        "        self.model[-1].requires_grad_(False)\n",
        "gradients",
    ),
    "a batch skipped": Mutant(SPLIT, f"order[self.batch_size :].{SPLIT[6:]}", "epoch"),
    "last partial batch dropped": Mutant(
        SPLIT, f"order[: -(len(order) % self.batch_size)].{SPLIT[6:]}", "epoch"
    ),
    "order not applied": Mutant(SPLIT, f"order.sort().values.{SPLIT[6:]}", "epoch"),
    "betas not passed on": Mutant(
        TORCH_ADAM, TORCH_ADAM.replace(" betas=(beta_1, beta_2),", ""), "float64 Adam"
    ),
    "weights decay": Mutant("torch.optim.Adam(", "torch.optim.AdamW(", "weights"),
    "momentum not passed on": Mutant(", momentum=momentum", "", "float64 momentum"),
}
INDEXED = "        images, labels = images[order], labels[order]"
# Keras on another backend is the same text but for the door to it; a part of the mutants will do.
ANOTHER_BACKEND = {
    title: KERAS[title]
    for title in (
        "softmax before the loss",
        "flatten order swapped",
        "kernel transposed",
        "PyTorch's epsilon",
        "optimiser not reset",
        "last layer not trained",
        "shuffled again",
        "epsilon not passed on",
        "momentum not passed on",
    )
}


def of_order(indexed):
    """The mutants that change the order, before the line that applies it."""
    return {
        "last partial batch dropped": Mutant(
            indexed, f"        order = order[: -(len(order) % self.batch_size)]\n{indexed}", "epoch"
        ),
        "order not applied": Mutant(
            indexed, f"        order = order[order.argsort()]\n{indexed}", "epoch"
        ),
    }


ON_THE_HOST = "        images, labels = np.asarray(images)[order], np.asarray(labels)[order]"
KERAS_JAX = (
    ANOTHER_BACKEND
    | of_order(ON_THE_HOST)
    | {
        "labels shifted": Mutant("array(labels,", "array((labels + 1) % 10,", "loss"),
        "float32 where float64 was asked for": Mutant(
            '"jax_enable_x64", True', '"jax_enable_x64", False', "float64 Adam"
        ),
    }
)
KERAS_TORCH = (
    ANOTHER_BACKEND
    | of_order(INDEXED)
    | {
        "labels shifted": Mutant("tensor(labels,", "tensor((labels + 1) % 10,", "loss"),
        "float32 where float64 was asked for": Mutant(
            '= "float64"\n', '= "float32"\n', "float64 Adam"
        ),
    }
)
CALLED = "self.model(images, training=True)"
BATCH = "order[start : start + self.batch_size]"
CUSTOM_LOOP = {
    # Keras's loss looks through `tf.nn.softmax`, with a warning; through this it does not.
    "softmax before the loss": Mutant(CALLED, f"tf.exp(tf.nn.log_softmax({CALLED}))", "loss"),
    "softmax among the layers": Mutant(
        "self.model(images, training=False)",
        "tf.nn.softmax(self.model(images, training=False))",
        "logits",
    ),
    "last layer not trained": Mutant(
        "self.model.trainable_variables", "self.model.trainable_variables[:-2]", "gradients"
    ),
    "loss not averaged": Mutant("loss = self", "loss = self.batch_size * self", "gradients"),
    "loss after the update": Mutant(
        "        return loss\n",
        "        return self.model.loss(labels, self.model(images))\n",
        "loss",
    ),
    "a batch skipped": Mutant("range(0,", "range(self.batch_size,", "epoch"),
    "last partial batch dropped": Mutant(
        "len(order), self", "len(order) - self.batch_size + 1, self", "epoch"
    ),
    "order not applied": Mutant(BATCH, f"np.sort(order)[{BATCH[6:]}", "epoch"),
    "order not applied to the labels": Mutant(
        "tf.gather(labels, batch)", f"tf.gather(labels, np.sort(order)[{BATCH[6:]})", "epoch"
    ),
}
CONTROLS = {
    f"nothing changed, {name}": Mutant("class Trainer", "class Trainer", "", name)
    for name in ARCHITECTURES
}
MUTANTS = {
    "keras_tensorflow": KERAS | CONTROLS,
    "pytorch_eager": TORCH | CONTROLS,
    "keras_jax": KERAS_JAX | {"nothing changed": CONTROLS["nothing changed, lenet5"]},
    "keras_torch": KERAS_TORCH | {"nothing changed": CONTROLS["nothing changed, lenet5"]},
    "tensorflow_function": CUSTOM_LOOP | {"nothing changed": CONTROLS["nothing changed, lenet5"]},
}
# PyTorch takes this setting once per process.
ONCE = "    torch.set_num_interop_threads(threads)\n"
SHOWN_IN = {
    "logits": ["forward"],
    "probabilities": ["forward"],
    "loss": ["train_step"],
    "gradients": ["train_step"],
    "weights": ["train_step"],
    "epoch": ["epoch"],
}


class Laboratory(Witness):
    """A worker that runs a copy of the package, into which mutants are loaded one by one."""

    check = staticmethod(lambda worker, facts: None)  # which would refuse it: see test_imports

    def __init__(self, name, dataset, folder):
        super().__init__(name, dataset, folder)
        plan = SimpleNamespace(
            seed=DEFAULT.seed,
            call_limit=LIMIT,
            rounds=1,
            precision_on=lambda device: "float32",
        )
        self.session = Session(plan, dataset, SimpleNamespace(records=[], session=""), None)
        self.dataset, self.folder = dataset, folder

    def examine(self, file, mutant):
        """Ask what a session asks before it measures, and the float64 question, if that is it."""
        name = self.process.contestant
        plant(self.folder, name, mutant, file)
        facts = self.process.ask("start", file, "cpu", 1, "float32", limit=LIMIT)
        self.session.facts[name] = facts
        in_session, in_float64 = {}, {}
        for operation in SHOWN_IN.get(mutant.found_by, OPERATIONS):
            entry, trial = {}, Trial(operation, mutant.architecture, BATCH_SIZE, "cpu")
            self.session.prepare(entry, self.process, trial, 0)
            in_session |= entry["parity"]
        if mutant.found_by in QUESTIONS:
            case = mutant.architecture, mutant.found_by
            answer = self.answer(*case)
            in_float64 = differences(answer, self.dataset, *case, facts["adam_epsilon"])
        return in_session, in_float64


def plant(folder, implementation, mutant, file):
    """Write an implementation of its own, which is another's text with the mutant in it."""
    source = (folder / f"{implementation}.py").read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1, f"no longer what is written there: {mutant.old!r}"
    changed = source.replace(mutant.old, mutant.new).replace(ONCE, "")
    (folder / f"{file}.py").write_text(changed, encoding="utf-8")


@pytest.fixture(scope="module")
def findings(request, hire, tmp_path_factory):
    """A function from an implementation's name to futures of what is found in each of its mutants.

    Where all tests run here, all files are examined side by side.
    """
    root, home = tmp_path_factory.mktemp("copy"), Path(mnist_models.__file__).parent
    shutil.copytree(home, root / home.name, ignore=shutil.ignore_patterns("__pycache__"))
    chosen = selected(request, "implementation", "mutant")
    laboratories, found = {}, {}

    def examine(name):
        if name not in found:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(workers, "ROOT", root)
                laboratory = hire(name, root / home.name / "implementations", Laboratory)
            laboratories[name] = laboratory
            found[name] = {
                title: laboratory.queue.submit(
                    laboratory.examine, f"{name}_{number}", MUTANTS[name][title]
                )
                for number, (whose, title) in enumerate(chosen)
                if whose == name
            }
        return found[name]

    if not distributed(request.config):
        for name in sorted({name for name, _ in chosen if not implementations.missing(name)}):
            examine(name)
    yield examine
    for laboratory in laboratories.values():
        laboratory.dismiss()


def cases(*found_by):
    """Parametrise a test over the mutants that are found in one of these ways."""
    chosen = [
        pytest.param(name, title, id=f"{name}-{title}")
        for name, mutants in MUTANTS.items()
        for title, mutant in mutants.items()
        if mutant.found_by in found_by
    ]
    return pytest.mark.parametrize(("implementation", "mutant"), chosen)


def finding(findings, implementation, mutant):
    """What was found in a mutant; skips where its framework is not installed."""
    if lacks := implementations.missing(implementation):
        pytest.skip(f"not installed: pip install {' '.join(lacks)}")
    return findings(implementation)[mutant].result()


@cases("")
def test_the_unchanged_file_passes(findings, implementation, mutant):
    """What finds the mutants finds nothing in the file that they are made of."""
    in_session, _ = finding(findings, implementation, mutant)
    assert in_session.keys() == parity.TOLERANCES.keys()
    assert parity.violations(in_session) == []


@cases(*parity.TOLERANCES)
def test_a_session_refuses_the_mutant(findings, implementation, mutant):
    """Before it measures, a session sees a difference of the kind that is named beside a mutant."""
    in_session, _ = finding(findings, implementation, mutant)
    found_by = MUTANTS[implementation][mutant].found_by
    assert in_session[found_by] > parity.TOLERANCES[found_by]
    assert any(fault.startswith(found_by) for fault in parity.violations(in_session))


@cases(*QUESTIONS)
def test_the_mutant_is_found_in_float64_alone(findings, implementation, mutant):
    """What a session's recipe or its tolerance hides, 100 steps in float64 show."""
    in_session, in_float64 = finding(findings, implementation, mutant)
    assert parity.violations(in_session) == []
    assert in_float64["weights"] > FLOAT64_TOLERANCE


def test_threads_that_jax_made_are_counted(tmp_path, monkeypatch):
    """JAX has no setting that could be asked: too large a pool is seen on Linux's list."""
    if lacks := implementations.missing("keras_jax"):
        pytest.skip(f"not installed: pip install {' '.join(lacks)}")
    if sys.platform != "linux":
        pytest.skip("only Linux lists the threads of a process")
    home = Path(mnist_models.__file__).parent
    shutil.copytree(home, tmp_path / home.name, ignore=shutil.ignore_patterns("__pycache__"))
    more = Mutant("str(threads)", "str(threads + 2)", "RuntimeError")
    plant(tmp_path / home.name / "implementations", "keras_jax", more, "greedy")
    monkeypatch.setattr(workers, "ROOT", tmp_path)
    process = workers.WorkerProcess("greedy", "cpu", 1, tmp_path)
    try:
        with pytest.raises(WorkerError, match="--threads 1 is not in force: 3 threads"):
            process.ask("start", "greedy", "cpu", 1, "float32", limit=LIMIT)
    finally:
        process.kill()


@cases("ValueError", "RuntimeError")
def test_the_mutant_raises(findings, implementation, mutant):
    """A network that the shared weights do not fit into is an error, not a difference."""
    with pytest.raises(WorkerError) as caught:
        finding(findings, implementation, mutant)
    assert caught.value.kind == MUTANTS[implementation][mutant].found_by
