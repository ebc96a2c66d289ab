"""What moves the times: the knobs, what they are judged by, and how it is shown."""

import json
import re
import subprocess
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
OTHER = "both_frameworks"
ROOT = Path(__file__).parents[1]


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


def test_one_after_the_other_loses_what_taking_turns_finds():
    """Both drift by 20 % from block to block: side by side nobody notices."""
    drift = [0.0, 0.2, 0.0, 0.2, 0.0, 0.2]
    steps = [b - a for a, b in zip(drift, drift[1:] + drift[:1], strict=True)]
    one = moved(moves.ONE_AFTER_THE_OTHER, pair=1.05)
    one.sides = dict.fromkeys(PAIR, steps)
    one.changed = {"both": [log(1.05) + step for step in steps]}
    assert one.effect("both") is Effect.LOST
    assert "| 0.82 to 1.22 | 0.82 to 1.22 | removes the winner" in explained.table(experiment(one))


def test_factor_has_its_interval():
    found = moved(keras=0.8).factor(KERAS)
    assert found.value == pytest.approx(0.8)
    assert found.low < 0.8 < found.high


def test_table_says_factor_effect_and_whose_answers_changed():
    one = moved("float64", keras=0.5, equal={KERAS: False, PYTORCH: True})
    text = explained.table(experiment(one, moved("steady", pytorch=0.75)))
    assert re.search(r"mistake: float64 .*\| 0\.50 \[0\.50, 0\.50\] \* \| 1\.00", text)
    assert "reverses the verdict, changed in Keras" in text
    assert re.search(r"glibc keeps freed memory .*\| 0\.75", text)
    assert text.index("glibc keeps") < text.index("mistake: float64")
    assert explained.turned(experiment(one)) == [
        "- **training step, mlp, batch 128**: float64 in place of float32, in Keras or both"
    ]


def test_a_brief_table_names_what_has_no_effect():
    """Also what moves a time too little; a wrong answer, a failure and an effect have a row."""
    wrong = moved("float64", equal={KERAS: False, PYTORCH: True})
    failed = moved("xla", failed={KERAS: "it broke"})
    every = [moved("steady"), moved("jemalloc", keras=1.005), wrong, failed]
    text = explained.table(experiment(*every, moved("tcmalloc", keras=0.9)), brief=True)
    assert "No effect that is surely beyond 1%: `steady`, `jemalloc`." in text
    assert all(f"| `{name}` |" in text for name in ("float64", "xla", "tcmalloc"))
    assert "| `steady` |" in explained.table(experiment(*every))


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
    # A file of before has the processor's brand alone.
    new.rounds, new.machine = 20, "a CPU (family 6, model 85)"
    assert explain.continued(new, file).machine == new.machine
    new.machine = "another CPU"
    with pytest.raises(ValueError, match="has machine a CPU, this run another CPU"):
        explain.continued(new, file)


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
        if knob.is_code:
            files = [folder / f"in_{'keras' if who == KERAS else 'pytorch'}.py" for who in knob.who]
            common = f"def {knob.name}(" in (folder / "__init__.py").read_text()
            assert common or all(f"def {knob.name}(" in file.read_text() for file in files), knob


@pytest.mark.slow
def test_library_that_is_not_installed_is_skipped_with_the_reason():
    assert "is not installed" in Knob("x", "x", library="no_such_library").missing()
    assert "CPUs" in Knob("x", "x", threads=4096).missing()
    assert Knob("x", "x", needs=("no_such",)).missing().startswith("not installed: no_such; pip")


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
@pytest.mark.parametrize("who", PAIR)
def test_threads_across_operations_are_in_force(who, tmp_path):
    if missing := implementations.missing(who):
        pytest.skip(f"not installed: {', '.join(missing)}")
    spec = NAMES["two_interop_threads"].environment().spec
    worker = WorkerProcess(who, "cpu", 1, tmp_path, spec)
    try:
        info = worker.ask("start", who, "cpu", 1, "float32", limit=START_LIMIT)
    finally:
        worker.kill()
    assert (info["in_force"]["threads"], info["in_force"]["interop_threads"]) == (1, 2)


# One process for all the knobs that are code: each is turned, asked, timed and turned back.
TURNED = """
import gc, json, sys
from mnist_models import knobs, networks, parity, recipe, weights, worker
made = worker.Worker()
made.start(sys.argv[1], "cpu", 1, "float32")
made.read(sys.argv[2])
start = weights.to_bytes(weights.initial(networks.load("mlp"), 0))
other = weights.to_bytes(weights.initial(networks.load("deep_mlp"), 0))
unchanged, right, found = made.module.Trainer, {}, {}
for knob, operations in [("", ["train_step", "forward", "epoch"]), *json.loads(sys.argv[3])]:
    if knob:
        made.module.Trainer = knobs.changed(made.module, knob)
    for kept in (made.trainers, made.batches, made.whole):
        kept.clear()
    made.take("mlp", recipe.DEFAULT.record(), "float32", start)
    for operation in operations:
        answer = weights.from_bytes(made.observe(operation, 3))
        if not knob:
            right[operation] = answer
        off = parity.differences(answer, right[operation], parity.LEFT_OUT)
        made.first_call(operation)
        seconds = made.sample(operation, 1)["seconds"]
        found.setdefault(knob, {})[operation] = [seconds, max(off.values()), parity.violations(off)]
    if "forward" in operations:  # the next network gets the batches that the first one has put
        made.take("deep_mlp", recipe.DEFAULT.record(), "float32", other)
        made.first_call("forward")
    made.module.Trainer = unchanged
    gc.enable()
    if "torch" in sys.modules and "pytorch" in sys.argv[1]:
        import torch
        torch.autograd.set_detect_anomaly(False)
        torch.use_deterministic_algorithms(False)
        torch.backends.mkldnn.enabled = True
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("who", PAIR)
def test_every_knob_works_in_whom_it_is_for(who, dataset):
    """What must break parity does, and what must not does not."""
    if missing := implementations.missing(who):
        pytest.skip(f"not installed: {', '.join(missing)}")
    # The other framework cannot be taken out of a process again.
    code = [k for k in KNOBS if who in k.who and k.is_code and not k.missing()]
    code.sort(key=lambda k: k.name == OTHER)
    turned = json.dumps([[knob.name, [kind.name for kind in knob.operations]] for knob in code])
    command = [sys.executable, "-c", TURNED, who, str(dataset.folder), turned]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(ended.stdout.splitlines()[-1])
    assert [*found] == ["", *(knob.name for knob in code)]
    assert all(seconds > 0 for every in found.values() for seconds, _, _ in every.values())
    unequal = {knob for knob, every in found.items() for _, _, broken in every.values() if broken}
    sizes = {knob.name for knob in code if "changed_batch" in knob.name}
    assert unequal == {"other_epsilon", "bfloat16", "shuffled"} | sizes
    for knob, low, high in (("bfloat16", 1e-4, 0.5), ("float64", 1e-9, 1e-3)):
        assert all(low < off < high for _, off, _ in found[knob].values()), knob


@pytest.mark.slow
def test_knobs_of_each_kind_are_measured_in_sessions(dataset, tmp_path):
    """Code in both and in one, variables, threads; an epoch, with accuracies; and no knob twice."""
    trials = [Trial(kind.name, "mlp", 8, "cpu") for kind in (TRAIN_STEP, FORWARD, EPOCH)]
    names = ("bfloat16", "tensorflow_onednn_off", "two_threads", "loader_workers", "autotuner_off")
    knobs = [NAMES[name] for name in names if not NAMES[name].missing()]
    file = tmp_path / "explain.json"
    console = Console(quiet=True)
    found = explain.explain(dataset, trials, knobs, 1, 1, file, console)
    assert [one for one in found.moved if one.failed] == []
    named = {one.knob for one in found.moved}
    assert named == {knob.name for knob in knobs} | {*explained.DERIVED}
    unequal = {one.knob for one in found.moved if False in one.equal.values()}
    assert unequal == {"bfloat16"}
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
