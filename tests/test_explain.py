"""What moves the times: the knobs, what they are judged by, and how it is shown."""

import json
import re
import sys
from math import log
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import main
from benchmarks.causes.knobs import KNOBS, Knob
from benchmarks.commands import explain
from benchmarks.comparing import moves
from benchmarks.comparing.moves import Effect, Explained, Moved
from benchmarks.measuring.environments import Environment, local_spec
from benchmarks.measuring.workers import START_LIMIT, WorkerProcess
from benchmarks.reporting import explained
from benchmarks.trial import Trial
from mnist_models import implementations
from mnist_models.implementations import PAIR
from mnist_models.operations import EPOCH, FORWARD, TRAIN_STEP

KERAS, PYTORCH = PAIR
STEP = "train_step[mlp-b128-cpu]"
NAMES = {knob.name: knob for knob in KNOBS}


def logs(factor, spread=0.002):
    return [log(factor) + spread * step for step in (-2, -1, 0, 0, 1, 2)]


def moved(knob="steady", pair=1.2, keras=1.0, pytorch=1.0, **more):
    sides = {KERAS: logs(keras), PYTORCH: logs(pytorch)}
    changed = {
        KERAS: logs(pair * keras),
        PYTORCH: logs(pair / pytorch),
        "both": logs(pair * keras / pytorch),
    }
    return Moved(
        knob=knob,
        trial=STEP,
        sides=sides,
        pair=logs(pair),
        changed=changed,
        seconds={KERAS: 0.012, PYTORCH: 0.010},
        **more,
    )


def experiment(*every, **more):
    return Explained(
        dataset="digits",
        blocks=6,
        rounds=20,
        machine="a CPU",
        versions={"keras": "keras 3"},
        moved=list(every),
        **more,
    )


@pytest.mark.parametrize(
    ("one", "who", "effect"),
    [
        (moved(), "both", Effect.SAME),
        (moved(keras=0.5), KERAS, Effect.ROUND),
        (moved(pytorch=2.0), PYTORCH, Effect.ROUND),
        (moved(keras=1 / 1.2), KERAS, Effect.LOST),
        (moved(pair=1.0, keras=1.3), KERAS, Effect.WON),
        # The verdict is another one by chance alone: nobody is known to have moved.
        (moved(pair=1.016, keras=0.998), KERAS, Effect.SAME),
        (moved(pair=1.016, keras=0.998), "both", Effect.SAME),
    ],
)
def test_effect_on_the_verdict(one, who, effect):
    assert one.effect(who) is effect


def test_factor_has_its_interval():
    found = moved(keras=0.8).factor(KERAS)
    assert found.value == pytest.approx(0.8)
    assert found.low < 0.8 < found.high


def test_table_says_factor_effect_and_whose_answers_changed():
    one = moved("float64", keras=0.5, equal={KERAS: False, PYTORCH: True})
    text = explained.table(experiment(one, moved("steady", pytorch=0.75)))
    assert re.search(r"mistake: float64 .*\| 0\.50 \[0\.50, 0\.50\] \* \| 1\.00", text)
    assert "turns it round, in Keras" in text
    assert re.search(r"glibc keeps freed memory .*\| 0\.75", text)
    assert text.index("glibc keeps") < text.index("mistake: float64")
    assert explained.turned(experiment(one)) == [
        "- training step, mlp, batch 128: float64 in place of float32, in Keras",
        "- training step, mlp, batch 128: float64 in place of float32, in both",
    ]


def test_failed_side_is_said():
    one = moved("xla", failed={KERAS: "it broke"})
    assert "| failed |" in explained.table(experiment(one))


def test_raw_data_is_checked():
    with pytest.raises(ValueError, match="blocks is 'six': it must be a valid integer"):
        moves.read(json.dumps(experiment().model_dump() | {"blocks": "six"}))


def test_another_experiment_is_refused(tmp_path):
    file = tmp_path / "explain.json"
    file.write_text(experiment().model_dump_json())
    new = experiment().model_copy(update={"rounds": 7})
    with pytest.raises(ValueError, match="has rounds 20, this run 7; give another --output"):
        explain.continued(new, file)
    assert explain.continued(experiment(), file) == experiment()


def test_only_what_is_missing_is_measured():
    step, forward = Trial.parse(STEP), Trial.parse("forward[mlp-b128-cpu]")
    knobs = [NAMES["steady"], NAMES["fused"], NAMES["jemalloc"]]
    found = experiment(moved("fused"), skipped={"jemalloc": "not installed"})
    assert explain.missing(found, [step, forward], knobs) == [NAMES["steady"]]
    assert explain.concerned(NAMES["fused"], [step, forward]) == [step]


def test_what_failed_is_measured_again_and_replaced():
    broken, whole = moved("fused", failed={PYTORCH: "it broke"}), moved("fused")
    found = experiment(broken)
    assert explain.missing(found, [Trial.parse(STEP)], [NAMES["fused"]]) == [NAMES["fused"]]
    explain.add(found, whole)
    assert found.moved == [whole]
    explain.add(found, broken)
    assert found.moved == [whole]


@pytest.mark.parametrize("option", [["--knob", "nonsense"], ["forward[mlp]"], ["--blocks", "0"]])
def test_bad_input_is_one_line(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["explain", *option])
    assert stopped.value.code == 2
    assert option[-1] in capsys.readouterr().err


def test_every_knob_is_code_or_a_setting_and_has_a_name_of_its_own():
    assert len(NAMES) == len(KNOBS) >= 20
    folder = Path(implementations.__file__).parents[1] / "knobs"
    for knob in KNOBS:
        if not (knob.variables or knob.library or knob.threads):
            files = [folder / f"in_{'keras' if who == KERAS else 'pytorch'}.py" for who in knob.who]
            common = f"def {knob.name}(" in (folder / "__init__.py").read_text()
            assert common or all(f"def {knob.name}(" in file.read_text() for file in files), knob


@pytest.mark.slow
def test_library_that_is_not_installed_is_skipped_with_the_reason():
    assert "is not installed" in Knob("x", "x", library="no_such_library").missing()
    assert "CPUs" in Knob("x", "x", threads=4096).missing()


@pytest.mark.slow
def test_variables_are_set_before_the_process_starts(tmp_path):
    """The C library reads some of them once, long before a worker could set them."""
    spec = local_spec(sys.executable, {"MALLOC_TOP_PAD_": "4096", "WITH": "a space"})
    worker = WorkerProcess("numpy_reference", "cpu", 1, tmp_path, spec)
    try:
        info = worker.ask("start", "numpy_reference", "cpu", 1, "float32", limit=START_LIMIT)
        assert info["in_force"]["environment"]["MALLOC_TOP_PAD_"] == "4096"
        before = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
        assert b"MALLOC_TOP_PAD_=4096" in before
        assert b"WITH=a space" in before
    finally:
        worker.kill()


@pytest.mark.slow
def test_every_knob_works_in_whom_it_is_for(dataset, tmp_path):
    """Each is turned in a session of one round; its side is measured, or says why not."""
    trials = [Trial(kind.name, "mlp", 8, "cpu") for kind in (TRAIN_STEP, FORWARD, EPOCH)]
    knobs = [knob for knob in KNOBS if not knob.missing()]
    file = tmp_path / "explain.json"
    console = Console(quiet=True)
    found = explain.explain(dataset, trials, knobs, 1, 1, file, console)
    assert [one for one in found.moved if one.failed] == []
    named = {one.knob for one in found.moved}
    assert named == {knob.name for knob in knobs} | {*explained.DERIVED}
    # What must break parity does, and what must not does not.
    unequal = {one.knob for one in found.moved if False in one.equal.values()}
    assert unequal <= {"other_epsilon", "float64", "accuracy_metric", "bfloat16"}
    half = [one for one in found.moved if one.knob == "bfloat16"]
    assert all(1e-4 < off < 0.5 for one in half for off in one.off.values())
    assert {one.trial for one in half if one.accuracies} == {"epoch[mlp-b8-cpu]"}
    assert moves.read(file.read_text()) == found
    assert explain.explain(dataset, trials, knobs, 1, 1, file, console) == found


@pytest.mark.slow
def test_a_knob_that_is_unknown_is_an_error():
    from mnist_models import knobs
    from mnist_models.implementations import numpy_reference

    with pytest.raises(LookupError, match="no knob nonsense"):
        knobs.changed(numpy_reference, "nonsense")


def test_an_environment_without_a_knob_is_as_it_was():
    assert Environment("x", "popen").knob == ""
    assert local_spec("/a b/python") == "popen//python='/a b/python'"
