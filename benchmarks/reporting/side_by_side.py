"""Both frameworks' code in two columns: docs/side_by_side.md, and the report's section of it."""

import ast
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mnist_models import networks
from mnist_models.implementations import FOLDER

PAGE = Path(__file__).parents[2] / "docs" / "side_by_side.md"
COMMAND = "python -m benchmarks side_by_side --write"


HOME = FOLDER.parent
# The training code of each of the pair: the files whose functions are shown.
CODE = {
    "keras": ("implementations/keras_tensorflow.py", "keras_trainer.py"),
    "pytorch": ("implementations/pytorch_eager.py",),
}


class Section(NamedTuple):
    """A network or a task in both frameworks' code, a note, and a network's reference."""

    title: str
    note: str
    keras: str
    pytorch: str
    numpy: str = ""


# Title, the functions it shows, and what differs and why. A name in backticks is in the code.
CONTENTS = (
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
        ("train_epoch", "ordered"),
        "Keras's loop is `fit`, which also keeps the mean of the loss and has room for callbacks; "
        "PyTorch's users write theirs. The order is given, hence `shuffle=False`: otherwise `fit` "
        "draws its own. Both call `trained` after the last step, because `fit` may return later.",
    ),
    (
        "Evaluation",
        ("forward", "probabilities"),
        "`predict_on_batch` records nothing for gradients and returns a NumPy array; PyTorch needs "
        "`inference_mode` for the former and returns a tensor. Layers such as dropout compute "
        "something else in training: PyTorch's model is told so by `train` and `eval`.",
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
        "The shared layout is that of Keras. PyTorch keeps the output's axis first and flattens "
        "channels first, hence `converted` and `read` (pytorch_weights.py, weights.md). "
        "The command mnist_models convert does the same to each framework's own files.",
    ),
)
LEFT_OUT = {
    "versions": "names packages, computes nothing",
    "devices": "names devices, computes nothing",
    "configure": "sets threads for the measurement",
    "set_precision": "sets the precision for the measurement",
    "peak_gpu_memory": "reads a counter",
    "compilations": "reads a counter",
    "placement": "proves where a worker computes and in which layout",
    "device_of": "names the device of a tensor",
    "disable_dropout": "is for the proof alone: dropout draws, and a draw cannot be compared",
    "reset": "starts again without compiling again, which only a measurement needs",
    "synchronize": "waits for the device, which only a clock needs",
}


def source(file: str) -> str:
    """The text of a file of mnist_models."""
    return (HOME / file).read_text(encoding="utf-8")


def without_docstring(text: str) -> str:
    """A module's code after its docstring."""
    first, *_ = ast.parse(text).body
    return "\n".join(text.splitlines()[first.end_lineno :]).strip()


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


def of_network(name: str) -> Section:
    """A network's three files, and its package's docstring."""
    files = [f"networks/{name}/in_{manner}.py" for manner in ("keras", "pytorch", "numpy")]
    note = ast.get_docstring(ast.parse(source(f"networks/{name}/__init__.py"))) or ""
    return Section(name, note, *(without_docstring(source(file)) for file in files))


def sections() -> list[Section]:
    """The networks, then the tasks in the order in which a user meets them."""
    columns = {
        side: {name: code for file in files for name, code in functions(source(file)).items()}
        for side, files in CODE.items()
    }

    def code(side: str, names: Iterable[str]) -> str:
        return "\n\n".join(columns[side][name] for name in names if name in columns[side])

    return [of_network(name) for name in networks.names()] + [
        Section(title, note, code("keras", names), code("pytorch", names))
        for title, names, note in CONTENTS
    ]


def table(section: Section) -> Iterator[str]:
    """Two columns in HTML. The empty lines let GitHub read the code between them as Markdown."""
    yield from ("<table>", "<tr><th>Keras</th><th>PyTorch</th></tr>", "<tr>")
    for code in (section.keras, section.pytorch):
        yield from ('<td valign="top">', "", "```python", code, "```", "", "</td>")
    yield "</tr>"
    if section.numpy:
        yield from ('<tr><th colspan="2">NumPy, the reference</th></tr>', "<tr>")
        yield from ('<td colspan="2">', "", "```python", section.numpy, "```", "", "</td>", "</tr>")
    yield "</table>"


def markdown() -> str:
    """docs/side_by_side.md."""

    def link(file: str) -> str:
        return f"[{Path(file).name}](../mnist_models/{file})"

    keras, pytorch = (" and ".join(map(link, files)) for files in CODE.values())
    lines = [
        "# Keras and PyTorch side by side",
        "",
        f"<!-- Written by `{COMMAND}` from the files it shows. -->",
        "<!-- fmt: off -->",
        "",
        "All code on this page is proved to compute the same and is then timed. A network's files "
        "are in its folder in [networks](../mnist_models/networks). The training is that of "
        f"{keras} for Keras, and of {pytorch} for PyTorch. The numbers of the training are in "
        "[recipe.py](../mnist_models/recipe.py). [fairness.md](fairness.md) says what each "
        "difference means for the measurements.",
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
