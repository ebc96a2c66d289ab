"""The notebook: it runs on any data set, without a network, and its stored outputs are its own."""

import importlib.util
import platform
import re
import sys
from types import SimpleNamespace

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_output

from mnist_models import data
from mnist_models.implementations import PAIR, missing
from tests import test_docs
from tools.notebook import NOTEBOOK, code_cells, digest, execute, read

LARGEST = 700_000  # bytes
PATH = re.compile(r"(?<![\w./:<])/(?:[\w.+-]+/)+[\w.+-]*|\b[A-Z]:\\|site-packages")
RUNS = pytest.mark.skipif(
    any(map(missing, PAIR)), reason="needs both frameworks, or it would install them"
)


def printed(output):
    """The words of an output."""
    if output.output_type == "stream":
        return output.text
    return "".join(text for kind, text in output.get("data", {}).items() if kind[:5] == "text/")


def pictures(cell):
    """The pictures below a cell, in base 64."""
    found = (output.get("data", {}).get("image/png") for output in cell.outputs)
    return [picture for picture in found if picture and picture.startswith("iVBORw0KGgo")]


def faults(notebook):
    """All that is wrong with what a notebook stores, in words."""
    cells, found = code_cells(notebook), []
    if notebook.metadata.get("executed") != digest(notebook):
        found.append("outputs of other code: python -m tools.notebook write")
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("not executed from top to bottom")
    for cell, below in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if cell.cell_type != "code":
            continue
        said = "".join(map(printed, cell.outputs))
        found += [f"{cell.id}: {one.evalue}" for one in cell.outputs if one.output_type == "error"]
        found += [f"{cell.id}: {one.text}" for one in cell.outputs if one.get("name") == "stderr"]
        if re.search(r"^ *(print|display)\(", cell.source, re.MULTILINE) and not said:
            found.append(f"{cell.id}: nothing printed")
        if len(pictures(cell)) != cell.source.count("plt.show()"):
            found.append(f"{cell.id}: a picture is missing")
        if pictures(cell) and not (below and below.source.startswith("*Figure")):
            found.append(f"{cell.id}: a picture without words")
        found += [f"{cell.id}: names the path {path}" for path in PATH.findall(said)]
        if platform.node() and re.search(rf"\b{re.escape(platform.node())}\b", said):
            found.append(f"{cell.id}: names this machine")
    return found


def cell(notebook, name):
    (found,) = (cell for cell in notebook.cells if cell.id == name)
    return found


# As it is stored


def test_stored_outputs_are_those_of_the_stored_code():
    """In order, without errors, warnings or paths; what is printed or drawn is there."""
    assert faults(read()) == []


def test_stored_outputs_are_of_mnist():
    """And not of whatever stood in for it."""
    assert "'mnist'" in printed(cell(read(), "load").outputs[0])


def dangling(notebook):
    """Relative links that lead nowhere."""
    found = []
    texts = [part.source for part in notebook.cells if part.cell_type == "markdown"]
    for text in texts:
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            file, _, anchor = link.partition("#")
            target = (NOTEBOOK.parent / file).resolve()
            if not target.is_file() or (anchor and anchor not in test_docs.anchors(target)):
                found.append(link)
    return found


def test_links_of_the_notebook_lead_somewhere():
    """Every one to a file of the project and, after a #, to one of its headings."""
    assert dangling(read()) == []


@pytest.mark.parametrize("link", ["../docs/unfair.md", "../README.md#what-is-not-there"])
def test_dangling_links_are_noticed(link):
    """The check above can fail."""
    notebook = read()
    cell(notebook, "advice").source += f" [more]({link})"
    assert dangling(notebook) == [link]


def test_notebook_is_small():
    """A repository keeps every version of every picture."""
    assert NOTEBOOK.stat().st_size < LARGEST


def test_notebook_tells_nothing_of_where_it_ran():
    """Neither which Python, nor what the kernel was called there."""
    names = read().metadata
    assert set(names) == {"kernelspec", "language_info", "executed"}
    assert names.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert "version" not in names.language_info


def spoil_code(notebook):
    cell(notebook, "recipe").source += "  # as always"


def spoil_order(notebook):
    first, second, *_ = code_cells(notebook)
    first.execution_count, second.execution_count = 2, 1


def spoil_with_error(notebook):
    failed = new_output("error", ename="ValueError", evalue="wrong", traceback=[])
    cell(notebook, "recipe").outputs.append(failed)


def spoil_with_warning(notebook):
    warned = new_output("stream", name="stderr", text="FutureWarning: soon")
    cell(notebook, "recipe").outputs.append(warned)


def spoil_print(notebook):
    cell(notebook, "recipe").outputs.clear()


def spoil_picture(notebook):
    cell(notebook, "confusion").outputs[-1]["data"]["image/png"] = "nothing"


def spoil_caption(notebook):
    cell(notebook, "samples_caption").source = ""


def spoil_with_path(notebook):
    cell(notebook, "recipe").outputs[0].text = "read from /home/somebody/mnist"


def spoil_with_name(notebook):
    cell(notebook, "recipe").outputs[0].text = f"measured on {platform.node()}"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_code, "outputs of other code"),
        (spoil_order, "not executed from top to bottom"),
        (spoil_with_error, "recipe: wrong"),
        (spoil_with_warning, "recipe: FutureWarning"),
        (spoil_print, "recipe: nothing printed"),
        (spoil_picture, "confusion: a picture is missing"),
        (spoil_caption, "samples: a picture without words"),
        (spoil_with_path, "recipe: names the path /home/somebody/mnist"),
        (spoil_with_name, "recipe: names this machine"),
    ],
)
def test_spoilt_outputs_are_noticed(spoil, words):
    """Each of the checks above can fail."""
    notebook = read()
    spoil(notebook)
    (found,) = faults(notebook)
    assert words in found


# As it runs


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """Environment variables that leave nothing but `digits`, and nobody's settings."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_CACHE", str(folder))
        data.load("digits")  # made here once: the first to ask for it is told where
    nowhere = "http://127.0.0.1:9"
    return {
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "IPYTHONDIR": str(folder),
        "KERAS_HOME": str(folder),
        "MNIST_CACHE": str(folder),
        "MNIST_DATASET": "digits",
        "MNIST_DIR": "",
    }


@pytest.mark.slow
@RUNS
def test_notebook_runs_without_a_network(offline):
    """From top to bottom, on the data set that is always there, its timings included."""
    notebook = execute(read(), **offline)
    assert faults(notebook) == []
    assert "'digits'" in printed(cell(notebook, "load").outputs[0])
    summary = printed(cell(notebook, "summary").outputs[0])
    # Who is faster, or by how much somebody may be where no difference was found.
    said = re.findall(r"^(?:training step|forward pass): .+(?:\[|at most)", summary, re.MULTILINE)
    assert len(said) == 2


@pytest.mark.slow
@RUNS
def test_another_network_is_noticed(offline):
    """The notebook itself fails where the two do not compute the same."""
    notebook = read()
    names = [cell.id for cell in notebook.cells]
    notebook.cells = notebook.cells[: names.index("same_logits") + 1]
    model = cell(notebook, "torch_model")
    assert ".relu()" in model.source
    model.source = model.source.replace(".relu()", ".tanh()")
    with pytest.raises(CellExecutionError, match="PyTorch computes something else"):
        execute(notebook, **offline)


# Its first cell


def set_up(monkeypatch, folder, lacking=()):
    """Run the first cell in a folder, with some packages missing; returns the magics it used."""
    magics, find_spec = [], importlib.util.find_spec
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in lacking else find_spec(name)
    )
    shell = SimpleNamespace(run_line_magic=lambda *words: magics.append(words))
    code = TransformerManager().transform_cell(code_cells(read())[0].source)
    exec(code, {"get_ipython": lambda: shell})
    return magics


def test_notebook_finds_its_repository(monkeypatch):
    """Wherever in the repository it was started; it installs nothing where nothing is missing."""
    for folder in (NOTEBOOK.parent, NOTEBOOK.parents[1]):
        lacks = {name for each in PAIR for name in missing(each)}
        assert bool(set_up(monkeypatch, folder)) == bool(lacks)
        assert sys.path[0] == str(NOTEBOOK.parents[1])


def test_notebook_installs_what_is_missing(monkeypatch):
    """On a notebook service, where the frameworks are there and the benchmarks' needs are not."""
    ((magic, arguments),) = set_up(monkeypatch, NOTEBOOK.parent, lacking={"pytest_benchmark"})
    assert magic == "pip"
    assert arguments.endswith('[tensorflow,torch,bench]" matplotlib')


def test_notebook_without_its_repository_says_so(monkeypatch, tmp_path):
    """What is missing, and what to do."""
    with pytest.raises(FileNotFoundError, match="copy of the whole repository"):
        set_up(monkeypatch, tmp_path)
