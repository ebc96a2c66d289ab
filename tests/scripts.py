"""Runs the tasks of examples/ as scripts, on a few images."""

import json
import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from examples import measure
from mnist_models import data


def run_scripts(side: str, folder: Path) -> None:
    """Run each of a framework's files as `python -m` does; leave what they print in `folder`."""
    with np.load(folder / "digits.npz") as file:
        images, labels, test_images, test_labels = (array[:200] for array in file.values())
    few = data.Dataset("few", folder, images, labels, test_images, test_labels, "")
    printed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda: few)
        for task in measure.TASKS:
            with redirect_stdout(StringIO()) as out:
                runpy.run_path(str(measure.FOLDERS[side] / f"{task}.py"), run_name="__main__")
            printed[task] = out.getvalue()
    (folder / f"{side}_printed.json").write_text(json.dumps(printed))
