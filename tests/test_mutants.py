"""Mutants: mistakes that people make, planted in the files themselves, do not go unnoticed."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import mnist_models
from benchmarks.measuring import workers
from benchmarks.measuring.pool import WorkerPool
from benchmarks.measuring.session import Session
from benchmarks.measuring.workers import WorkerError
from benchmarks.trial import Trial
from mnist_models import implementations, networks, parity
from mnist_models.conventions import Conventions
from mnist_models.operations import OPERATIONS
from mnist_models.recipe import BATCH_SIZE, DEFAULT
from tests.parity_workers import selected
from tests.scheduling import distributed
from tools.parity_table import FLOAT64_TOLERANCE, LIMIT, QUESTIONS, ParityWorker, differences

pytestmark = pytest.mark.slow


# The files that a mutant may stand in; by default the implementation's own.
FILES = ("in_keras", "in_pytorch")
BODY = "keras_trainer.py"
MAPPING = "pytorch_weights.py"
KERAS_MLP, KERAS_LENET = (f"networks/{name}/in_keras.py" for name in ("mlp", "lenet5"))
TORCH_MLP, TORCH_LENET = (f"networks/{name}/in_pytorch.py" for name in ("mlp", "lenet5"))
DEEP = ("lstm", "resnet", "transformer")
KERAS_LSTM, KERAS_RESNET, KERAS_TRANSFORMER = (f"networks/{name}/in_keras.py" for name in DEEP)
TORCH_LSTM, TORCH_RESNET, TORCH_TRANSFORMER = (f"networks/{name}/in_pytorch.py" for name in DEEP)
OF_NETWORKS = [f"networks/{name}/{file}.py" for name in networks.names() for file in FILES]


@dataclass(frozen=True)
class Mutant:
    """One text of a file replaced by another, and what gives it away.

    `found_by` is one of `parity.TOLERANCES`, on which a session insists before it measures; or one
    of the float64 `QUESTIONS`, for a mistake that the recipe hides from the session; or the name of
    the exception that it ends in.
    """

    old: str
    new: str
    found_by: str
    file: str = ""
    network: str = ""

    @property
    def architecture(self) -> str:
        """The network that shows it: that of the file, or else the smallest that will."""
        if self.network:
            return self.network
        if self.file.startswith("networks/"):
            return self.file.split("/")[1]
        return "lenet5" if self.file == MAPPING else "mlp"


HIDDEN, LAST = 'layers.Dense(units, activation="relu", ', "layers.Dense(10, "
KERAS_ADAM = "keras.optimizers.Adam(rate, beta_1, beta_2, epsilon)"
TAKEN_IN = "[weights[name] for name in"
ORDERED = "        images, labels = self.ordered("
KERAS = {
    "softmax before the loss": Mutant("from_logits=True", "from_logits=False", "loss", BODY),
    "softmax among the layers": Mutant(LAST, f'{LAST}activation="softmax", ', "logits", KERAS_MLP),
    "softmax twice": Mutant(
        "softmax(self.forward(images))",
        "softmax(keras.ops.softmax(self.forward(images)))",
        "probabilities",
        BODY,
    ),
    "ReLU left out": Mutant(HIDDEN, "layers.Dense(units, ", "logits", KERAS_MLP),
    "mean pooling": Mutant(
        "layers.MaxPooling2D(2),\n            layers.Conv2D(16",
        "layers.AveragePooling2D(2),\n            layers.Conv2D(16",
        "logits",
        KERAS_LENET,
    ),
    "no padding": Mutant(', padding="same"', "", "ValueError", KERAS_LENET),
    "no biases": Mutant(HIDDEN, f"{HIDDEN}use_bias=False, ", "ValueError", KERAS_MLP),
    "biases left at zero": Mutant(
        TAKEN_IN, TAKEN_IN.replace("[name]", "[name] * name.endswith('kernel')"), "logits", BODY
    ),
    "flatten order swapped": Mutant(
        "layers.Flatten()", 'layers.Flatten("channels_first")', "logits", KERAS_LENET
    ),
    "layers confused": Mutant(
        "layers.Flatten(),\n",
        'layers.Flatten(),\n            layers.Dense(400, name="hidden0"),\n',
        "ValueError",
        KERAS_LENET,
    ),
    "kernel transposed": Mutant(
        TAKEN_IN,
        TAKEN_IN.replace("[name]", "[name].T.reshape(weights[name].shape)"),
        "logits",
        BODY,
    ),
    "PyTorch's epsilon": Mutant(KERAS_ADAM, KERAS_ADAM.replace("epsilon", "1e-8"), "weights", BODY),
    "epsilon elsewhere": Mutant('"hat"', '"plain"', "weights", BODY),
    "beta_1 off": Mutant(KERAS_ADAM, KERAS_ADAM.replace("beta_1", "0.8"), "weights", BODY),
    "beta_2 off": Mutant(KERAS_ADAM, KERAS_ADAM.replace("beta_2", "0.99"), "weights", BODY),
    # zero_grad cannot be forgotten in Keras; its option to add gradients up comes closest.
    "gradients added up": Mutant(
        KERAS_ADAM,
        KERAS_ADAM.replace("epsilon", "epsilon, gradient_accumulation_steps=2"),
        "weights",
        BODY,
    ),
    "optimiser not reset": Mutant("variable.assign(fresh)", "pass", "weights", BODY),
    "labels shifted": Mutant("tensor(labels,", "tensor((labels + 1) % 10,", "loss", BODY),
    "last layer not trained": Mutant(
        "        self.model.compile(",
        "        self.model.layers[-1].trainable = False\n        self.model.compile(",
        "gradients",
        BODY,
    ),
    "a batch skipped": Mutant(
        ORDERED, f"        order = order[self.batch_size :]\n{ORDERED}", "epoch", BODY
    ),
    "last partial batch dropped": Mutant(
        ORDERED,
        f"        order = order[: -(len(order) % self.batch_size)]\n{ORDERED}",
        "epoch",
        BODY,
    ),
    "order not applied": Mutant(
        ORDERED, f"        order = np.sort(order)\n{ORDERED}", "epoch", BODY
    ),
    "order not applied to the labels": Mutant(
        "tf.gather(labels, order)", "tf.gather(labels, np.sort(order))", "epoch"
    ),
    "shuffled again": Mutant("shuffle=False", "shuffle=True", "epoch", BODY),
    "epsilon not passed on": Mutant(
        KERAS_ADAM, KERAS_ADAM.replace(", epsilon", ""), "float64 Adam", BODY
    ),
    "weights decay": Mutant(
        KERAS_ADAM,
        KERAS_ADAM.replace("Adam(rate", "AdamW(rate, 0.004"),
        "weights",
        BODY,
    ),
    "momentum not passed on": Mutant(", momentum=momentum", "", "float64 momentum", BODY),
}
LOGITS = "self.loss(self.model(images)"
GRID = "    grid = weight.grid or (1, 1, len(kernel))"
SPLIT = "order.split("
TORCH_ADAM = "lr=learning_rate, betas=(beta_1, beta_2), eps=epsilon"
MODEL = "        self.model = network.in_pytorch().to(self.device, self.dtype)\n"
TORCH = {
    "softmax before the loss": Mutant(LOGITS, f"{LOGITS}.softmax(dim=1)", "loss"),
    "softmax among the layers": Mutant(
        "self.logits(hidden)", "self.logits(hidden).softmax(dim=1)", "logits", TORCH_MLP
    ),
    "softmax twice": Mutant(
        "self.forward(images).softmax(dim=1)",
        "self.forward(images).softmax(dim=1).softmax(dim=1)",
        "probabilities",
    ),
    "ReLU left out": Mutant("images.flatten(1)).relu()", "images.flatten(1))", "logits", TORCH_MLP),
    "mean pooling": Mutant(
        "F.max_pool2d(self.conv1", "F.avg_pool2d(self.conv1", "logits", TORCH_LENET
    ),
    "no padding": Mutant(", padding=2", "", "RuntimeError", TORCH_LENET),
    "no biases": Mutant(
        "nn.Linear(28 * 28, units)", "nn.Linear(28 * 28, units, False)", "ValueError", TORCH_MLP
    ),
    "biases left at zero": Mutant(
        "converted(weights[name]", "converted(weights[name] * name.endswith('kernel')", "logits"
    ),
    "flatten order swapped": Mutant(
        "x.flatten(1)", "x.permute(0, 2, 3, 1).flatten(1)", "logits", TORCH_LENET
    ),
    "flatten order swapped in the mapping": Mutant(
        GRID, "    grid = (1, 1, len(kernel))", "logits", MAPPING
    ),
    "kernel transposed": Mutant(
        "lambda kernel, weight: kernel.transpose(3, 2, 0, 1)",
        "lambda kernel, weight: kernel.transpose(3, 2, 1, 0)",
        "logits",
        MAPPING,
    ),
    "PyTorch's epsilon": Mutant(", eps=epsilon", "", "weights"),
    "epsilon elsewhere": Mutant("Conventions(", 'Conventions("hat", ', "weights"),
    "beta_1 off": Mutant(TORCH_ADAM, TORCH_ADAM.replace("beta_1", "0.8"), "weights"),
    "beta_2 off": Mutant(TORCH_ADAM, TORCH_ADAM.replace("beta_2", "0.99"), "loss"),
    "zero_grad forgotten": Mutant("        self.optimizer.zero_grad()\n", "", "weights"),
    "optimiser not reset": Mutant("tensor.zero_()", "pass", "weights"),
    "labels shifted": Mutant("from_numpy(labels)", "from_numpy((labels + 1) % 10)", "loss"),
    "last layer not trained": Mutant(
        MODEL, f"{MODEL}        self.model.logits.requires_grad_(False)\n", "gradients"
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
ADD = "layers.ReLU()(x + shortcut)"
ATTEND = 'layers.MultiHeadAttention(4, 16, name=f"{name}_attention")(y, y)'
PRE_NORM = f"""\
    y = norm(f"{{name}}_norm1")(x)
    # Keras counts the features of one head, PyTorch those of all.
    y = {ATTEND}
    x = x + layers.Dropout(0.1)(y)
"""
KERAS_ADAMW = "keras.optimizers.AdamW(rate, decay, beta_1, beta_2, epsilon)"
PREDICTED, IN_TRAINING = "self.model.predict_on_batch(images)", "self.model(images, training=True)"
KERAS_DEEP = {
    # A functional model overrules a layer that is called with training=False, unlike Keras 2.
    "batch statistics of evaluation in training": Mutant(
        "epsilon=1e-5, name=name", "epsilon=1e-5, name=name, trainable=False", "loss", KERAS_RESNET
    ),
    "batch statistics of training in evaluation": Mutant(
        PREDICTED, IN_TRAINING, "logits", BODY, "resnet"
    ),
    "momentum as PyTorch counts it": Mutant("momentum=0.9", "momentum=0.1", "state", KERAS_RESNET),
    "Keras's momentum": Mutant("momentum=0.9, ", "", "state", KERAS_RESNET),
    "Keras's epsilon of batches": Mutant(", epsilon=1e-5", "", "logits", KERAS_RESNET),
    "no shortcut": Mutant(
        ADD, "layers.ReLU()(x + shortcut if stride != 1 else x)", "logits", KERAS_RESNET
    ),
    "ReLU before the addition": Mutant(ADD, "layers.ReLU()(x) + shortcut", "logits", KERAS_RESNET),
    "padding on the other side": Mutant(
        'x, padding = layers.ZeroPadding2D(1)(x), "valid"', "pass", "logits", KERAS_RESNET
    ),
    "largest for mean": Mutant("GlobalAverage", "GlobalMax", "logits", KERAS_RESNET),
    "unbiased running variance": Mutant(
        'adam_epsilon="hat"',
        'adam_epsilon="hat", running_variance="unbiased"',
        "float64 AdamW, 10 steps",
        BODY,
        "resnet",
    ),
    "gates in another order": Mutant(
        TAKEN_IN,
        TAKEN_IN.replace("weights[name]", "np.roll(weights[name], 128 * ('lstm' in name), -1)"),
        "logits",
        BODY,
        "lstm",
    ),
    "another activation": Mutant(
        "LSTM(128, ", 'LSTM(128, activation="relu", ', "logits", KERAS_LSTM
    ),
    "dropout within the LSTM": Mutant("LSTM(128, ", "LSTM(128, dropout=0.1, ", "loss", KERAS_LSTM),
    "last row first": Mutant("LSTM(128, ", "LSTM(128, go_backwards=True, ", "logits", KERAS_LSTM),
    "columns for rows": Mutant(
        "layers.LSTM", "layers.Permute((2, 1)),\n            layers.LSTM", "logits", KERAS_LSTM
    ),
    "normalised after": Mutant(
        PRE_NORM,
        PRE_NORM.replace('norm(f"{name}_norm1")(x)', "x").replace(
            "x + layers.Dropout(0.1)(y)", 'norm(f"{name}_norm1")(x + layers.Dropout(0.1)(y))'
        ),
        "logits",
        KERAS_TRANSFORMER,
    ),
    "keys not normalised": Mutant(
        ATTEND, ATTEND.replace("(y, y)", "(y, x)"), "logits", KERAS_TRANSFORMER
    ),
    "attention's scale": Mutant(
        ATTEND, ATTEND.replace("(y, y)", "(y * 4, y)"), "logits", KERAS_TRANSFORMER
    ),
    "a mask": Mutant(
        ATTEND,
        ATTEND.replace("(y, y)", "(y, y, use_causal_mask=True)"),
        "logits",
        KERAS_TRANSFORMER,
    ),
    "heads mixed up": Mutant(
        TAKEN_IN,
        TAKEN_IN.replace(
            "weights[name]",
            "(weights[name][:, ::-1] if name.endswith('query_kernel') else weights[name])",
        ),
        "logits",
        BODY,
        "transformer",
    ),
    "dropout left on": Mutant(PREDICTED, IN_TRAINING, "logits", BODY, "transformer"),
    "dropout never on": Mutant(
        "        rate = recipe.optimizer.learning_rate\n",
        "        rate = recipe.optimizer.learning_rate\n        self.disable_dropout()\n",
        "dropout",
        BODY,
        "transformer",
    ),
    "positions missing": Mutant(
        "x + self.embeddings", "x + 0 * self.embeddings", "logits", KERAS_TRANSFORMER
    ),
    "GELU by tanh": Mutant(
        'activation="gelu"',
        "activation=lambda x: keras.activations.gelu(x, approximate=True)",
        "logits",
        KERAS_TRANSFORMER,
    ),
    "Keras's epsilon of layers": Mutant("epsilon=1e-5, ", "", "logits", KERAS_TRANSFORMER),
    "no decay": Mutant(
        KERAS_ADAMW,
        "keras.optimizers.Adam(rate, beta_1, beta_2, epsilon)",
        "float64 AdamW",
        BODY,
    ),
    "no decay of biases": Mutant(
        KERAS_ADAMW,
        f'{KERAS_ADAMW}\n                optimizer.exclude_from_weight_decay(var_names=["bias"])',
        "float64 AdamW",
        BODY,
    ),
    "decay in the gradient": Mutant(
        KERAS_ADAMW,
        "keras.optimizers.Adam(rate, beta_1, beta_2, epsilon)\n"
        "                self.model.layers[1].kernel_regularizer = keras.regularizers.L2(decay)",
        "float64 AdamW",
        BODY,
    ),
    "Nesterov not passed on": Mutant(", nesterov=nesterov", "", "float64 Nesterov", BODY),
    "schedule not followed": Mutant("if recipe.cosine_steps:", "if False:", "float64 cosine", BODY),
}
SHORTCUT = "(y + self.shortcut(x)).relu()"
LSTM_KERNEL = 'LSTM = {\n    "kernel": transposed("weight_ih_l0"),'
TORCH_ATTEND = "self.attention(y, y, y, need_weights=False)"
TORCH_PRE_NORM = f"""\
        y = self.norm1(x)
        # The weights of attention, which are returned by default, cost the fused kernel.
        y, _ = {TORCH_ATTEND}
        x = x + self.dropout(y)
"""
TORCH_ADAMW = "torch.optim.AdamW("
TORCH_DEEP = {
    "batch statistics of evaluation in training": Mutant(
        "        if not self.model.training:\n            self.model.train()",
        "        self.model.eval()",
        "loss",
        "",
        "resnet",
    ),
    "batch statistics of training in evaluation": Mutant(
        "            self.model.eval()", "            pass", "logits", "", "resnet"
    ),
    "momentum as Keras counts it": Mutant(
        "nn.BatchNorm2d(8)", "nn.BatchNorm2d(8, momentum=0.9)", "state", TORCH_RESNET
    ),
    "Keras's momentum": Mutant(
        "nn.BatchNorm2d(8)", "nn.BatchNorm2d(8, momentum=0.01)", "state", TORCH_RESNET
    ),
    "Keras's epsilon of batches": Mutant(
        "nn.BatchNorm2d(8)", "nn.BatchNorm2d(8, eps=1e-3)", "logits", TORCH_RESNET
    ),
    "no shortcut": Mutant(
        SHORTCUT,
        "(y if isinstance(self.shortcut, nn.Identity) else y + self.shortcut(x)).relu()",
        "logits",
        TORCH_RESNET,
    ),
    "ReLU before the addition": Mutant(
        SHORTCUT, "y.relu() + self.shortcut(x)", "logits", TORCH_RESNET
    ),
    "padding on the other side": Mutant(
        "self.conv1(x)", "self.conv1(x.roll((1, 1), (2, 3)))", "logits", TORCH_RESNET
    ),
    "largest for mean": Mutant("x.mean(dim=(2, 3))", "x.amax((2, 3))", "logits", TORCH_RESNET),
    "biased running variance": Mutant('="unbiased"', '="biased"', "state", "", "resnet"),
    "gates in another order": Mutant(
        LSTM_KERNEL,
        'LSTM = {\n    "kernel": Place(("weight_ih_l0",), '
        "lambda kernel, weight: np.roll(kernel, 128, 1).T, "
        "lambda kernel, weight: np.roll(kernel.T, -128, 1)),",
        "logits",
        MAPPING,
        "lstm",
    ),
    "the second bias trained": Mutant(".requires_grad_(False)", "", "weights", TORCH_LSTM),
    "steps before images": Mutant(", batch_first=True", "", "logits", TORCH_LSTM),
    "state not reset": Mutant(
        "outputs, _ = self.lstm(images.squeeze(1))",
        'outputs, state = self.lstm(images.squeeze(1), getattr(self, "state", None))\n'
        "        self.state = [part.detach().clone() for part in state]",
        "logits",
        TORCH_LSTM,
    ),
    "first output": Mutant("outputs[:, -1]", "outputs[:, 0]", "logits", TORCH_LSTM),
    "columns for rows": Mutant("images.squeeze(1)", "images.squeeze(1).mT", "logits", TORCH_LSTM),
    "normalised after": Mutant(
        TORCH_PRE_NORM,
        TORCH_PRE_NORM.replace("self.norm1(x)", "x").replace(
            "x + self.dropout(y)", "self.norm1(x + self.dropout(y))"
        ),
        "logits",
        TORCH_TRANSFORMER,
    ),
    "keys not normalised": Mutant(
        TORCH_ATTEND, TORCH_ATTEND.replace("y, y, y", "y, x, y"), "logits", TORCH_TRANSFORMER
    ),
    "attention's scale": Mutant(
        TORCH_ATTEND, TORCH_ATTEND.replace("y, y, y", "4 * y, y, y"), "logits", TORCH_TRANSFORMER
    ),
    "a mask": Mutant(
        TORCH_ATTEND,
        TORCH_ATTEND.replace(
            "need", "attn_mask=torch.ones(16, 16, dtype=torch.bool).triu(1), need"
        ),
        "logits",
        TORCH_TRANSFORMER,
    ),
    "heads mixed up": Mutant(
        "lambda kernel, weight: kernel.reshape(len(kernel), -1).T",
        "lambda kernel, weight: kernel.swapaxes(1, 2).reshape(len(kernel), -1).T",
        "logits",
        MAPPING,
        "transformer",
    ),
    "dropout left on": Mutant(
        "x + self.dropout(y)",
        "x + nn.functional.dropout(y, 0.1)",
        "logits",
        TORCH_TRANSFORMER,
    ),
    "dropout never on": Mutant("nn.Dropout(0.1)", "nn.Dropout(0.0)", "dropout", TORCH_TRANSFORMER),
    "positions missing": Mutant("x + self.positions.weight", "x", "logits", TORCH_TRANSFORMER),
    "GELU by tanh": Mutant("nn.GELU()", 'nn.GELU("tanh")', "logits", TORCH_TRANSFORMER),
    "Keras's epsilon of layers": Mutant(
        "self.norm2 = nn.LayerNorm(64)",
        "self.norm2 = nn.LayerNorm(64, eps=1e-3)",
        "logits",
        TORCH_TRANSFORMER,
    ),
    "no decay": Mutant("epsilon, weight_decay\n", "epsilon, 0.0\n", "float64 AdamW"),
    "no decay of biases": Mutant(
        TORCH_ADAMW,
        'parameters = [dict(params=[p]) | ({"weight_decay": 0.0} if p.ndim == 1 else {})'
        f" for p in self.model.parameters()]\n                self.optimizer = {TORCH_ADAMW}",
        "float64 AdamW",
    ),
    "decay in the gradient": Mutant(TORCH_ADAMW, "torch.optim.Adam(", "float64 AdamW"),
    "Nesterov not passed on": Mutant(", nesterov=nesterov", "", "float64 Nesterov"),
    "schedule not followed": Mutant("self.schedule.step()", "pass", "float64 cosine"),
}
# The other backends share the body: what may differ there, and two of the body's.
ANOTHER_BACKEND = {
    title: KERAS[title] for title in ("softmax before the loss", "optimiser not reset")
}


def of_order(old):
    """The mutants that change the order, in the line that applies it to the images."""
    assert old.endswith("[order]")
    return {
        "order not applied": Mutant(old, f"{old[:-1]}[order.argsort()]]", "epoch"),
    }


ON_THE_HOST = "np.asarray(images)[order]"
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
KERAS_TORCH = ANOTHER_BACKEND | {
    "order not applied": Mutant("from_numpy(order)", "from_numpy(np.sort(order))", "epoch"),
    "order not applied to the labels": Mutant("labels[places]", "labels[: len(places)]", "epoch"),
    "float32 where float64 was asked for": Mutant('= "float64"\n', '= "float32"\n', "float64 Adam"),
}
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
    f"nothing changed, {name}": Mutant("build(", "build(", "", f"networks/{name}/in_numpy.py")
    for name in networks.names()
}
MUTANTS = {
    "keras_tensorflow": KERAS | KERAS_DEEP | CONTROLS,
    "pytorch_eager": TORCH | TORCH_DEEP | CONTROLS,
    "keras_jax": KERAS_JAX | {"nothing changed": CONTROLS["nothing changed, lenet5"]},
    "keras_torch": KERAS_TORCH | {"nothing changed": CONTROLS["nothing changed, lenet5"]},
    "tensorflow_function": CUSTOM_LOOP | {"nothing changed": CONTROLS["nothing changed, lenet5"]},
}
# PyTorch takes this setting once per process.
ONCE = "    torch.set_num_interop_threads(cpus.across(threads))\n"
# What --quick times asks all questions; the other operations ask no more.
ASKED = [one.name for one in OPERATIONS.values() if one.at_a_glance]
SHOWN_IN = {
    "logits": ["forward"],
    "probabilities": ["forward"],
    "loss": ["train_step"],
    "gradients": ["train_step"],
    "weights": ["train_step"],
    "state": ["train_step"],
    "trained_logits": ["train_step"],
    "dropout": ["train_step"],
    "epoch": ["epoch"],
}


class Finding(NamedTuple):
    """The differences that a session sees, those that it refuses in words, and float64's."""

    in_session: dict[str, float]
    refused: list[str]
    in_float64: dict[str, float]


class MutantWorker(ParityWorker):
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
        session = Session(plan, dataset, SimpleNamespace(records=[], session=""), None)
        self.pool = WorkerPool(session)
        self.dataset, self.folder = dataset, folder

    def examine(self, file, mutant):
        """Ask what a session asks before it measures, and the float64 question, if that is it."""
        name = self.process.contestant
        plant(self.folder, name, mutant, file)
        facts = self.process.ask("start", file, "cpu", 1, "float32", limit=LIMIT)
        self.pool.facts[name] = facts
        conventions = Conventions(**facts["conventions"])
        allowed = parity.limits(networks.load(mutant.architecture), conventions.rough_statistics)
        in_session, in_float64 = {}, {}
        for operation in SHOWN_IN.get(mutant.found_by, ASKED):
            entry, trial = {}, Trial(operation, mutant.architecture, BATCH_SIZE, "cpu")
            self.pool.prepare(entry, self.process, trial, 0)
            in_session |= entry["parity"]
        if mutant.found_by in QUESTIONS:
            case = mutant.architecture, mutant.found_by
            in_float64 = differences(self.answer(*case), self.dataset, *case, conventions)
        return Finding(in_session, parity.violations(in_session, allowed), in_float64)


# A mutant's file begins with this: it imports what it builds on anew, as it now stands.
AFRESH = """\
import sys
BUILT_ON = "keras_trainer", "keras_weights", "pytorch_weights"
sys.dont_write_bytecode = True
afresh = "mnist_models.networks.", *(f"mnist_models.{name}" for name in BUILT_ON)
for name in [name for name in sys.modules if name.startswith(afresh)]:
    vars(sys.modules["mnist_models"]).pop(name.partition(".")[2], None)
    del sys.modules[name]
"""


def copied(folder):
    """A copy of the package in a folder."""
    home = Path(mnist_models.__file__).parent
    shutil.copytree(home, folder / home.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / home.name


def plant(home, implementation, mutant, name):
    """Write the mutant into a copy of the package, and an implementation that runs it."""
    original = Path(mnist_models.__file__).parent
    for path in (BODY, MAPPING, *OF_NETWORKS):
        shutil.copy2(original / path, home / path)
    own = f"implementations/{implementation}.py"
    file = mutant.file or own
    source = (original / file).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1, f"no longer what is written there: {mutant.old!r}"
    changed = source.replace(mutant.old, mutant.new)
    if mutant.file:
        (home / file).write_text(changed, encoding="utf-8")
        changed = (original / own).read_text(encoding="utf-8")
    changed = AFRESH + changed.replace(ONCE, "")
    (home / f"implementations/{name}.py").write_text(changed, encoding="utf-8")


@pytest.fixture(scope="module")
def findings(request, start_worker, tmp_path_factory):
    """A function from an implementation's name to futures of what is found in each of its mutants.

    Where all tests run here, all files are examined side by side.
    """
    chosen = selected(request, "implementation", "mutant")
    workers_at_work, found = {}, {}

    def examine(name):
        if name not in found:
            home = copied(tmp_path_factory.mktemp("copy"))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(workers, "ROOT", home.parent)
                worker = start_worker(name, home, MutantWorker)
            workers_at_work[name] = worker
            found[name] = {
                title: worker.queue.submit(worker.examine, f"{name}_{number}", MUTANTS[name][title])
                for number, (whose, title) in enumerate(chosen)
                if whose == name
            }
        return found[name]

    if not distributed(request.config):
        for name in sorted({name for name, _ in chosen if not implementations.missing(name)}):
            examine(name)
    yield examine
    for worker in workers_at_work.values():
        worker.dismiss()


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
    found = finding(findings, implementation, mutant)
    network = networks.load(MUTANTS[implementation][mutant].architecture)
    only_some = {"state": network.has_state, "dropout": network.draws}
    asked = {kind for kind in parity.TOLERANCES if only_some.get(kind, True)}
    assert found.in_session.keys() == asked
    assert found.refused == []


@cases(*parity.TOLERANCES)
def test_a_session_refuses_the_mutant(findings, implementation, mutant):
    """Before it measures, a session sees a difference of the kind that is named beside a mutant."""
    found = finding(findings, implementation, mutant)
    found_by = MUTANTS[implementation][mutant].found_by
    assert any(fault.startswith(found_by) for fault in found.refused), found


@cases(*QUESTIONS)
def test_the_mutant_is_found_in_float64_alone(findings, implementation, mutant):
    """What a session's recipe or its tolerance hides, 100 steps in float64 show."""
    found = finding(findings, implementation, mutant)
    assert found.refused == []
    assert max(found.in_float64.values()) > FLOAT64_TOLERANCE


def test_threads_that_jax_made_are_counted(tmp_path, monkeypatch):
    """JAX has no setting that could be asked: too large a pool is seen on Linux's list."""
    if lacks := implementations.missing("keras_jax"):
        pytest.skip(f"not installed: pip install {' '.join(lacks)}")
    if sys.platform != "linux":
        pytest.skip("only Linux lists the threads of a process")
    more = Mutant("str(threads)", "str(threads + 2)", "RuntimeError")
    plant(copied(tmp_path), "keras_jax", more, "greedy")
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
