"""An epoch has two moments: its weights are trained, and its call has returned."""

import subprocess
import sys
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from benchmarks.reporting.words import returned_late
from mnist_models import implementations
from mnist_models.worker import Worker
from tests.test_statistics import EPOCH, KERAS, PYTORCH, SMOOTH, make_results, shown

ROOT = Path(implementations.__file__).parents[2]
WAIT = 0.1


class Late:
    """A trainer whose call waits after its last step, as `fit` on TensorFlow does."""

    def __init__(self, calls=1):
        self.calls = calls

    def train_epoch(self, images, labels, order, trained):
        for _ in range(self.calls):
            trained()
        sleep(WAIT)

    def synchronize(self):
        pass


def run(trainer):
    worker = Worker()
    worker.trainer, worker.dtype = trainer, "float32"
    worker.whole = {worker.dtype: (None, None)}
    return worker.run_epoch(np.arange(3))


def test_an_epoch_ends_with_its_last_step():
    """What the call does after the last step is in the second moment, not in the sample."""
    (seconds, _), returned = run(Late())
    assert returned - seconds >= 0.9 * WAIT


@pytest.mark.parametrize("calls", [0, 2])
def test_an_epoch_has_one_last_step(calls):
    """An implementation that never says so, or says so twice, is in error."""
    with pytest.raises(ValueError, match="values to unpack"):
        run(Late(calls))


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ([5.2, 5.2], ""),
        ([None, None], ""),
        ([], ""),
        ([5.0, 10.4, 10.2], "the call returned after 10.2 s: it sleeps; docs/fairness.md"),
    ],
)
def test_a_late_return_is_said_with_its_cause(returned, words):
    """Above 5 % later; runs saved before there were two moments say nothing."""
    assert returned_late(5.0, returned, "it sleeps").startswith(words)
    assert bool(returned_late(5.0, returned, "it sleeps")) == bool(words)


def test_the_panel_says_who_returned_late_and_why():
    """The verdict is on the first moment."""
    late = {"accuracy": 0.9, "returned_seconds": 10.2, "returns_late": "fit waits"}
    rows = {
        (EPOCH, KERAS): ([5.0] * 6, late),
        (EPOCH, PYTORCH): ([6.0] * 6, {"accuracy": 0.9, "returned_seconds": 6.0}),
    }
    text = shown(make_results(rows))
    assert "Keras is 1.20× faster" in text
    assert "Keras: the call returned after 10.2 s: fit waits" in text
    assert "PyTorch: the call returned" not in text


def test_the_panel_says_who_computes_without_onednn():
    """TensorFlow leaves it out by default on many processors."""
    facts = {"versions": {}, "in_force": {"onednn": False}, "conventions": SMOOTH}
    rows = {(EPOCH, KERAS): ([5.0] * 6, {"facts": facts}), (EPOCH, PYTORCH): ([6.0] * 6, {})}
    assert "without oneDNN: Keras; see docs/fairness.md" in shown(make_results(rows))
    del facts["in_force"]["onednn"]
    assert "oneDNN" not in shown(make_results(rows))


@pytest.mark.slow
@pytest.mark.skipif(bool(implementations.missing(KERAS)), reason="TensorFlow is not installed")
def test_the_upstream_report_still_holds():
    """Without autotuning no iterator is deleted later than with it, and none late."""
    script = ROOT / "docs" / "upstream" / "tf_data_iterator.py"
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    seconds = [float(line.split()[-2]) for line in ended.stdout.splitlines()]
    assert len(seconds) == 8, ended.stderr
    assert max(seconds[4:]) < max(0.2, max(seconds[:4]))
