"""The notebook, executed: `python -m tools.notebook write` stores its outputs anew."""

import argparse
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from mnist_models import data

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "keras_vs_pytorch.ipynb"
LIMIT = 900  # seconds for one cell
# What TensorFlow logs before its log can be turned down.
EARLY_LOG = re.compile(r"(WARNING: All log messages before absl|I0000 ).*\n")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def read() -> Any:
    """The notebook as it is stored."""
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    """Its cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def digest(notebook: Any) -> str:
    """SHA-256 of all code: outputs that are stored with another one belong to other code."""
    code = "\n\n".join(cell.source for cell in code_cells(notebook))
    return hashlib.sha256(code.encode()).hexdigest()


def execute(notebook: Any, **variables: str) -> Any:
    """Run a notebook in place, as if opened where it lies, with environment variables set.

    Raises CellExecutionError when a cell does.
    """
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    client.execute(env=os.environ | variables)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.get("name") == "stderr":
                output.text = EARLY_LOG.sub("", output.text)
        cell.outputs = [output for output in cell.outputs if output.get("text") != ""]
    # Nothing about the machine: its Python, its name for the kernel.
    language = {"name": "python", "pygments_lexer": "ipython3"}
    notebook.metadata = {"kernelspec": KERNEL, "language_info": language}
    notebook.metadata["executed"] = digest(notebook)
    return notebook


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebook", description=__doc__)
    parser.add_argument("action", choices=["write"], help="execute on MNIST, store the outputs")
    parser.parse_args()
    try:
        data.load("mnist")
    except data.DataError as error:
        parser.error(str(error))
    nbformat.write(execute(read(), MNIST_DATASET="mnist"), NOTEBOOK)


if __name__ == "__main__":
    main()
