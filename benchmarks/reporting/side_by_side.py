"""The pair in two columns, cut out of its files: docs/side_by_side.md, and sections for reports."""

import ast
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mnist_models.implementations import FOLDER, PAIR

PAGE = Path(__file__).parents[2] / "docs" / "side_by_side.md"
COMMAND = "python -m benchmarks side_by_side --write"


class Section(NamedTuple):
    """One task in both frameworks' code, and what differs."""

    title: str
    note: str
    keras: str
    pytorch: str


# Title, the functions it shows, and what differs and why. A name in backticks is in the code.
CONTENTS = (
    (
        "Model",
        ("build_model",),
        "Keras works out each layer's input and takes ReLU as an argument of the layer; PyTorch is "
        "told what comes in (`before`) and has ReLU as a layer of its own. Neither ends in "
        "softmax, because both losses take logits.",
    ),
    (
        "Optimiser and loss",
        ("__init__",),
        "Keras hands both to `compile`, where it also decides how the training step is compiled; "
        "in PyTorch they are objects that the loop calls. `SparseCategoricalCrossentropy` expects "
        "probabilities unless told otherwise, `CrossEntropyLoss` always takes logits.",
    ),
    (
        "Training step",
        ("train_step",),
        "In Keras one call does it all and returns the loss as a number, for which it waits for "
        "the device; in PyTorch every part is a line of its own and the loss is a tensor. Leave "
        "out `zero_grad`, and the gradients of all steps add up.",
    ),
    (
        "Epoch",
        ("train_epoch",),
        "Keras's loop is `fit`, which also keeps the mean of the loss and has room for callbacks; "
        "PyTorch's users write theirs. The order is given, hence `shuffle=False`: otherwise `fit` "
        "draws its own. Both call `trained` after the last step, because `fit` may return later.",
    ),
    (
        "Evaluation",
        ("forward", "probabilities"),
        "`predict_on_batch` records nothing for gradients and returns a NumPy array; PyTorch needs "
        "`inference_mode` for the former and returns a tensor. With dropout or batch "
        "normalisation, which these networks have not, PyTorch's model would have to be told, too.",
    ),
    (
        "Data in and out",
        ("put", "fetch"),
        "Images come as (n, height, width, channels), which is Keras's own layout; PyTorch's "
        "convolutions take channels first, hence `reshape`. TensorFlow chooses the device by "
        "itself, in PyTorch every tensor is sent there with `to`.",
    ),
    (
        "Saving and loading",
        ("get_weights", "set_weights"),
        "The shared layout is that of Keras, so only PyTorch's kernels have to be turned: it keeps "
        "the output's axis first and flattens channels first. As NumPy arrays the weights of one "
        "can be loaded into the other; each framework's own files cannot.",
    ),
)
LEFT_OUT = {
    "versions": "names packages, computes nothing",
    "devices": "names devices, computes nothing",
    "configure": "sets threads for the measurement",
    "set_precision": "sets the precision for the measurement",
    "peak_gpu_memory": "reads a counter",
    "placement": "proves where a worker computes and in which layout",
    "reset": "starts again without compiling again, which only a measurement needs",
    "synchronize": "waits for the device, which only a clock needs",
}


def source(name: str) -> str:
    """The file of an implementation, which is read and not run."""
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def functions(text: str) -> dict[str, str]:
    """The functions of a module and of its classes by name, each with the comments above it."""
    module, lines = ast.parse(text), text.splitlines()
    parents: list[ast.Module | ast.ClassDef] = [module]
    parents += [node for node in module.body if isinstance(node, ast.ClassDef)]
    found = {}
    for parent in parents:
        end = parent.lineno if isinstance(parent, ast.ClassDef) else 0
        for node in parent.body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = textwrap.dedent("\n".join(lines[end : node.end_lineno])).strip()
            end = node.end_lineno or end
    return found


def sections() -> list[Section]:
    """The tasks in the order in which a user meets them."""
    keras, pytorch = (functions(source(name)) for name in PAIR)

    def code(column: dict[str, str], names: Iterable[str]) -> str:
        return "\n\n".join(column[name] for name in names)

    return [
        Section(title, note, code(keras, names), code(pytorch, names))
        for title, names, note in CONTENTS
    ]


def table(section: Section) -> Iterator[str]:
    """Two columns in HTML. The empty lines let GitHub read the code between them as Markdown."""
    yield from ("<table>", "<tr><th>Keras</th><th>PyTorch</th></tr>", "<tr>")
    for code in (section.keras, section.pytorch):
        yield from ('<td valign="top">', "", "```python", code, "```", "", "</td>")
    yield from ("</tr>", "</table>")


def markdown() -> str:
    """docs/side_by_side.md."""
    keras, pytorch = (f"[{name}.py](../mnist_models/implementations/{name}.py)" for name in PAIR)
    lines = [
        "# Keras and PyTorch side by side",
        "",
        f"<!-- Written by `{COMMAND}` from the two files. -->",
        "<!-- fmt: off -->",
        "",
        f"The pair, task by task: all code is that of {keras} and {pytorch}, the files that are "
        "proved to compute the same and then timed. The networks' numbers are in "
        "[architectures.py](../mnist_models/architectures.py), the training's in "
        "[recipe.py](../mnist_models/recipe.py); what each difference means for the measurements "
        "is in [fairness.md](fairness.md).",
    ]
    for section in sections():
        lines += ["", f"## {section.title}", "", section.note, "", *table(section)]
    lines += ["", "## Left out", ""]
    lines += [f"- `{name}` {reason}" for name, reason in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"


def run(write: bool) -> int:
    """`python -m benchmarks side_by_side`: write the page, or print it."""
    if write:
        PAGE.write_text(markdown(), encoding="utf-8")
    else:
        print(markdown(), end="")
    return 0
