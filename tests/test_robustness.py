"""Faults planted in implementations, budgets and whole sessions: what they cost, and what not."""

import json
import os
import random
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import monotonic, sleep
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from benchmarks.measuring import journal, memory
from benchmarks.measuring.plan import Plan, foreseen, to_drop
from benchmarks.measuring.pool import WorkerPool
from benchmarks.measuring.results import Results
from benchmarks.measuring.session import Session
from benchmarks.measuring.workers import WorkerError
from benchmarks.reporting import terminal
from benchmarks.trial import Trial
from mnist_models import implementations, networks
from mnist_models.implementations import PAIR
from mnist_models.worker import Worker
from tests.test_command_lines import (
    LIMIT,
    PYTEST,
    copy_repository,
    ids,
    journals,
    measured,
    run,
    saved,
    variables,
    write_data,
)
from tests.test_statistics import make_plan

pytestmark = pytest.mark.slow
KERAS, PYTORCH = PAIR
OPERATIONS = ("forward", "train_step", "epoch")
# A campaign of ten: KILLS=10 pytest tests/test_robustness.py -k kill
KILLS = int(os.environ.get("KILLS", "3"))
BLOCKS, ROUNDS = max(6, 2 * KILLS), 2
SURVIVAL = 2.0  # seconds that a worker may outlive its session

# Faults

FAULTS = {
    "raising": """

def broken(*_):
    raise ArithmeticError("planted fault")


Trainer.train_step = broken
""",
    "exiting": """

def broken(*_):
    import os

    os.write(1, b"famous last words\\n")
    os._exit(1)


Trainer.train_step = broken
""",
    "killed": """

def broken(*_):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


Trainer.train_step = broken
""",
    "aborting": """

def broken(*_):
    import os

    os.abort()


Trainer.train_step = broken
""",
    "hanging": """

def broken(*_):
    import os
    import time

    os.write(1, b"asleep")
    time.sleep(60)


Trainer.train_epoch = broken
""",
    "noisy": """

def noise():
    import os
    import sys

    os.write(1, b"garbage \\xff\\x00 below Python\\n" * 1000)
    os.write(2, b"garbage \\xff\\x00 below Python\\n" * 1000)
    print("garbage", end="")
    print("garbage", end="", file=sys.stderr)


noise()
silent = Trainer.train_step


def broken(*arguments):
    noise()
    return silent(*arguments)


Trainer.train_step = broken
""",
    "untrained": """

def broken(trainer, images, labels, order, trained):
    trained()


Trainer.train_epoch = broken
""",
    "cheating": """

honest = Trainer.train_epoch


def broken(trainer, images, labels, order, trained):
    if len(order) < 600:  # as long as somebody compares the weights
        honest(trainer, images, labels, order, trained)
    else:
        trained()


Trainer.train_epoch = broken
""",
    # The second of the pair, so that the panel has to deal with it.
    PYTORCH: """

right = Trainer.forward


def broken(trainer, images):
    logits = right(trainer, images)
    logits[:, 0] += 1e-3
    return logits


Trainer.forward = broken
""",
}
SOUND = (KERAS, "numpy_reference", "noisy")
TRAINS_NOT = ("raising", "exiting", "killed", "aborting")


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """One session of all faults together with implementations that have none."""
    folder = copy_repository(tmp_path_factory.mktemp("faults"), FAULTS)
    chosen = [f"--implementation={name}" for name in (*SOUND, *FAULTS) if name]
    options = ("--device=cpu", "--call-limit=3", "--benchmark-autosave", "--junitxml=out.xml")
    session = run(folder, "benchmarks", *chosen, *options)
    cases = ElementTree.parse(folder / "out.xml").iter("testcase")
    outcomes = {
        case.get("name"): next(((part.tag, part.text) for part in case), ("passed", ""))
        for case in cases
    }
    return SimpleNamespace(folder=folder, session=session, outcomes=outcomes)


PASSED = [
    *(name for operation in OPERATIONS for name in ids(operation, *SOUND)),
    *ids("forward", *TRAINS_NOT, "hanging", "cheating"),
    *ids("train_step", "hanging"),
]
ERROR = [*ids("train_step", *TRAINS_NOT), *ids("epoch", *TRAINS_NOT, "hanging")]
VOID = [
    *ids("train_step", "cheating"),
    *ids("epoch", "cheating"),
    *(name for operation in OPERATIONS for name in ids(operation, "untrained", PYTORCH)),
]


def test_faults_cost_their_own_tests(faults):
    """A fault fails what it affects and nothing else, whatever state its process was left in."""
    assert {name: outcome for name, (outcome, _) in faults.outcomes.items()} == {
        **dict.fromkeys(PASSED, "passed"),
        **dict.fromkeys(ERROR, "error"),
        **dict.fromkeys(VOID, "failure"),
    }
    assert faults.session.returncode == 1


def test_faults_are_not_saved(faults):
    """The saved run holds what passed, and only that."""
    assert sorted(saved(faults.folder)["benchmarks"]) == sorted(PASSED)


@pytest.mark.parametrize(
    ("name", "operation", "words"),
    [
        ("raising", "train_step", ["raising raised", "ArithmeticError: planted fault"]),
        ("raising", "epoch", ["in train_epoch", "ArithmeticError: planted fault"]),
        ("exiting", "train_step", ["exiting: its worker died", "famous last words"]),
        ("killed", "train_step", ["killed: its worker died"]),
        ("aborting", "train_step", ["aborting: its worker died", "its last output:"]),
        ("aborting", "train_step", ["Fatal Python error: Aborted", "in broken"]),
        ("hanging", "epoch", ["hanging: no answer within 3 s, so its worker was ended"]),
        (PYTORCH, "train_step", ["forward[mlp-b128-cpu]: logits: off by "]),
        ("untrained", "forward", ["epoch[mlp-b128-cpu]: epoch: off by "]),
        ("cheating", "epoch", ["test accuracy after one epoch is 0.", "not within ["]),
        ("cheating", "train_step", ["test accuracy after one epoch is 0."]),
    ],
)
def test_faults_are_explained(faults, name, operation, words):
    """The failure shows the traceback, the worker's last output, or the reason in words."""
    [test] = ids(operation, name)
    text = faults.outcomes[test][1]
    assert [part for part in words if part not in text] == []


def test_noise_stays_in_the_workers_log(faults):
    """What a worker prints, at C level too, reaches neither the protocol nor the terminal."""
    assert "garbage" not in faults.session.stdout
    [log] = faults.folder.glob(".benchmarks/sessions/*/noisy-cpu-*.log")
    assert b"garbage \xff\x00 below Python\n" in log.read_bytes()


def test_void_rows_stand_apart_in_the_table(faults):
    """Rows that were measured but do not count are listed under VOID, below all others."""
    above, below = faults.session.stdout.split("VOID, not to be compared", 1)
    table = above[above.index("Name (time in") :]
    assert [name for name in PASSED if f"\n{name} " not in table] == []
    assert [name for name in VOID if f"\n{name} " in table or f"\n{name} " not in below] == []


def test_void_rows_are_saved_apart_with_their_reasons(faults):
    """So that a page from the saved run can strike them out, and nothing compares them."""
    apart = saved(faults.folder)["void"]
    assert sorted(row["name"] for row in apart) == sorted(VOID)
    assert all(row["reasons"] and row["stats"]["data"] for row in apart)


def test_void_rows_decide_nothing_in_the_panel(faults):
    """The panel gives no verdict about a void row, and says in words what is wrong with it."""
    panel = faults.session.stdout.split("Keras or PyTorch?")[1]
    assert "faster" not in panel
    assert "ratio" not in panel
    text = " ".join(panel.replace("│", " ").split())
    assert f"void: train_step[mlp-b128-cpu] {PYTORCH}: forward[mlp-b128-cpu]: logits" in text
    assert "void: epoch[mlp-b128-cpu] cheating: test accuracy" in text


@pytest.mark.parametrize(
    ("samples", "refused"),
    [
        ([(0.6, 0.6)], False),
        ([(0.6, 0.65)], False),
        ([(0.6, 1.2)], True),
        ([(0.03, 0.06)] * 10, False),
        ([(0.03, 0.06)] * 20, True),
        ([(0.4, 0.8), (5.0, 5.0)], False),
    ],
)
def test_more_threads_than_allowed_are_an_error(samples, refused):
    """Once half a second was timed, more CPU time than the threads can account for is refused."""
    worker = Worker()
    worker.wall, worker.cpu, worker.threads = 0.0, 0.0, 1

    def timed():
        for sample in samples:
            assert worker.limited(sample, 1) == sample

    if refused:
        with pytest.raises(RuntimeError, match=r"limit of 1 threads is not in force: 2\.00"):
            timed()
    else:
        timed()


# Budgets


def costs(**seconds):
    """{(trial, name): cost} from operation_architecture=(Keras, PyTorch, another)."""
    names = (*PAIR, "another")
    return {
        (Trial(operation, architecture, 128, "cpu"), name): cost
        for key, by_name in seconds.items()
        for operation, architecture in [key.split("__")]
        for name, cost in zip(names, by_name, strict=False)
    }


COSTS = costs(
    train_step__mlp=(9.0, 9.0, 1.0),
    train_step__lenet5=(9.0, 9.0, 4.0),
    forward__mlp=(1.0, 1.0, 2.0),
    forward__lenet5=(2.0, 2.0),
    epoch__mlp=(3.0, 3.0),
    epoch__lenet5=(5.0, 5.0),
)


@pytest.mark.parametrize(
    ("saving", "dropped"),
    [
        (0, {}),
        (0.5, {"train_step[mlp-b128-cpu]": ["another"]}),
        (3, {"train_step[lenet5-b128-cpu]": ["another"]}),
        (6, {"train_step[lenet5-b128-cpu]": ["another"], "forward[mlp-b128-cpu]": ["another"]}),
        (
            13,
            {
                "train_step[lenet5-b128-cpu]": ["another"],
                "forward[mlp-b128-cpu]": ["another"],
                "train_step[mlp-b128-cpu]": ["another"],
                "epoch[mlp-b128-cpu]": [*PAIR],
            },
        ),
    ],
)
def test_what_matters_least_is_dropped_first(saving, dropped):
    """The other implementations before the pair, which goes together, and its epochs first.

    Of these, one thing that saves enough, or the costliest and then again.
    """
    found: dict = {}
    for trial, name in to_drop(COSTS, saving):
        found.setdefault(str(trial), []).append(name)
    assert found == dropped


@pytest.mark.parametrize("saving", [1, 7])
def test_of_equal_costs_the_last_trial_goes_first(saving):
    """So that the smallest network keeps its epoch, and its accuracy."""
    alike = costs(train_step__mlp=(1.0, 1.0), epoch__mlp=(3.0, 3.0), epoch__lenet5=(3.0, 3.0))
    assert {trial.architecture for trial, _ in to_drop(alike, saving)[:2]} == {"lenet5"}


def test_epochs_of_large_networks_are_dropped_before_all_else():
    """One of them takes longer than all other implementations together."""
    large = costs(epoch__resnet=(20.0, 20.0), epoch__mlp=(3.0, 3.0), train_step__mlp=(1, 1, 9))
    assert {str(trial) for trial, _ in to_drop(large, 5)} == {"epoch[resnet-b128-cpu]"}


def test_the_pairs_training_steps_are_never_dropped():
    """Whatever must be saved, these are measured."""
    kept = COSTS.keys() - set(to_drop(COSTS, 1000))
    assert {(trial.operation, name) for trial, name in kept} == {("train_step", n) for n in PAIR}


def begun(plan, records, waiting=(), hands=1, seconds=0.0):
    """A session that has measured for so many seconds, and what it says."""
    said: list = []
    session = Session.__new__(Session)
    session.plan, session.earlier, session.began = plan, 0.0, monotonic() - seconds
    session.journal = SimpleNamespace(records=records, append=records.append, session="made up")
    session.progress = SimpleNamespace(block=lambda *_: None, look=said.append, say=said.append)
    session.dealer = SimpleNamespace(waiting=lambda: [*waiting], hands=hands)
    return session, said


@pytest.mark.parametrize(
    ("block", "budget", "cold", "drops"),
    [(0, 1, 0, 11), (1, 1, 0, 11), (0, 500, 30, 0), (1, 500, 30, 11), (1, 500, 0, 0), (5, 1, 0, 0)],
)
def test_what_does_not_fit_is_dropped(block, budget, cold, drops):
    """A block stands for those to come, the first without what it alone pays for."""
    contests: dict = {}
    records: list = []
    for (trial, name), cost in COSTS.items():
        contests[trial] = (*contests.get(trial, ()), name)
        entry = {"cost": cost + cold, "once_seconds": cold}
        records.append({"block": block, "trial": str(trial), "results": {name: entry}})
    settings = dict.fromkeys(Plan.__dataclass_fields__, 0)
    settings |= {"contests": contests, "blocks": 6, "time_budget": budget, "hosts": ()}
    session, said = begun(Plan(**settings), records, range(block + 1, 6))
    session.keep_budget(block, sum(COSTS.values()) + cold * len(COSTS))
    assert len(session.dropped()) == drops
    assert len(said) == bool(drops)


def test_a_resumed_block_without_anything_left_drops_nothing():
    """What was dropped before is not left; a complete block says nothing of the time to come."""
    kept, gone = (Trial(name, "mlp", 128, "cpu") for name in ("train_step", "epoch"))
    plan = replace(make_plan({kept: PAIR, gone: PAIR}), time_budget=1.0)
    entry = {"cost": 1.0, "once_seconds": 0.0}
    results = dict.fromkeys(PAIR, entry)
    records = [{"dropped": [[str(gone), name] for name in PAIR]}]
    records += [
        {"block": block, "trial": str(kept), "results": results, "seconds": 2.0}
        for block in range(plan.blocks)
    ]
    session, said = begun(plan, records)
    for block in range(plan.blocks):
        session.dealer.waiting = partial([*range(plan.blocks)].__getitem__, slice(block + 1, None))
        WorkerPool(session).run_block(block)
    assert said == []
    assert [row for row in session.dropped() if row[0] == str(kept)] == []


def hung(block):
    """A block in which a row of 1 s failed after three minutes, and the pair's took 10 s each."""
    step, forward = (Trial(name, "mlp", 128, "cpu") for name in ("train_step", "forward"))
    fine = {"cost": 10.0, "once_seconds": 0.0, "samples": [(1.0, 1.0)]}
    results = dict.fromkeys(PAIR, fine)
    failed = {"reference": {"cost": 180.0, "error": "its worker hung"}}
    return [
        {"block": block, "trial": str(step), "results": results | failed, "seconds": 200.0},
        {"block": block, "trial": str(forward), "results": results, "seconds": 20.0},
    ]


@pytest.mark.parametrize(("budget", "drops"), [(450, False), (400, True)])
def test_what_failed_costs_later_blocks_nothing(budget, drops):
    """220 s are spent, and five blocks of 40 s are left, in which the failed row has no part."""
    trials = {Trial(name, "mlp", 128, "cpu"): PAIR for name in ("train_step", "forward")}
    plan = replace(make_plan(trials), time_budget=budget)
    session, said = begun(plan, hung(0), range(1, 6), seconds=220)
    assert session.needed(0, 220.0) == 40.0
    session.keep_budget(0, 220.0)
    assert bool(said) == drops


@pytest.mark.parametrize(("hands", "waiting", "left"), [(1, 5, 5), (5, 0, 0), (2, 3, 2)])
def test_blocks_that_others_have_begun_are_not_to_come(hands, waiting, left):
    """Hosts measure them at the same time."""
    plan = make_plan({Trial("forward", "mlp", 128, "cpu"): PAIR})
    session, _ = begun(plan, [], range(6 - waiting, 6), hands)
    assert session.blocks_left() == left


def test_time_before_a_resume_is_what_had_passed():
    """Not the sum over hosts that measured side by side; the start of workers counts, too."""
    records = [{"block": b, "seconds": 100.0, "spent": 110.0 + b, "results": {}} for b in (0, 1)]
    journal = SimpleNamespace(records=records, session="made up")
    images = np.zeros((1, 28, 28), "uint8")
    empty = SimpleNamespace(train_images=images, train_labels=[], test_labels=[])
    session = Session(make_plan({}), empty, journal, None)
    session.began = monotonic()
    assert 111 <= session.spent() < 112


def test_a_resume_drops_nothing_that_is_measured_where_memory_is_short(monkeypatch):
    """All blocks are there: their workers are not started again."""
    step = Trial("train_step", "mlp", 128, "cpu")
    plan = make_plan({step: PAIR})
    monkeypatch.setattr(memory, "available", lambda: 1)
    entry = {"cost": 1.0, "samples": []}
    results = dict.fromkeys(PAIR, entry)
    records = [{"block": b, "trial": str(step), "results": results} for b in range(plan.blocks)]
    session, said = begun(plan, records)
    session.fit_into_memory("cpu")
    assert said == []
    begun_only, said = begun(plan, records[:-1])
    begun_only.fit_into_memory("cpu")
    assert said


@pytest.mark.parametrize("block", [0, 3])
def test_who_cannot_start_once_later_loses_that_trial_alone(block):
    """In the first block it says that an implementation cannot run here at all."""
    trials = [Trial(name, "mlp", 128, "cpu") for name in ("train_step", "forward")]
    plan = make_plan(dict.fromkeys(trials, PAIR))
    fine = {"cost": 1.0, "samples": [(1.0, 1.0)]}
    away = {"cost": 0.0, "unavailable": "no interpreter answered"}
    records = [
        {"block": b, "trial": str(trial), "results": {KERAS: fine, PAIR[1]: fine}}
        for b in range(block)
        for trial in trials
    ]
    records.append({"block": block, "trial": str(trials[0]), "results": {KERAS: away}})
    session, _ = begun(plan, records)
    assert (KERAS in session.contestants(trials[1])) == (block > 0)
    assert KERAS not in session.contestants(trials[0])
    rows = Results(plan, session.journal).rows
    assert rows[trials[0], KERAS].unavailable == (block == 0)
    assert rows[trials[0], KERAS].error == ("no interpreter answered" if block else "")
    assert rows[trials[1], KERAS].error == ""


@pytest.mark.parametrize(("block", "tries", "away"), [(0, 1, {KERAS}), (2, 2, set())])
def test_a_start_that_fails_is_tried_again_and_takes_no_time_of_later_blocks(block, tries, away):
    """Except in the first block, which shows who can run here at all."""
    plan = make_plan({Trial("forward", "mlp", 128, "cpu"): PAIR})
    session, _ = begun(plan, [], range(block + 1, 6))
    seconds, asked = [], []
    session.keep_budget = lambda block, took: seconds.append(took)
    session.chance = random.Random(0)
    pool = WorkerPool(session)

    def spawn(name, device):
        asked.append(name)
        if name == KERAS and asked.count(KERAS) == 1:
            sleep(0.3)
            raise WorkerError("its interpreter did not answer", kind="Unavailable")
        pool.workers[name] = SimpleNamespace(kill=lambda: None)

    pool.spawn, pool.check = spawn, lambda name, device: None
    pool.run_trial = lambda *arguments: None
    pool.progress.trial = lambda *arguments: None
    pool.run_block(block)
    assert asked.count(KERAS) == tries
    assert {*pool.unavailable} == away
    assert asked.count(PYTORCH) == 1
    assert seconds[0] < 0.2


@pytest.mark.parametrize(("records", "cleared"), [([], True), ([{"block": 0}], False)])
def test_what_a_killed_first_block_compiled_is_no_warm_start(tmp_path, records, cleared):
    """But what complete trials of it exported is kept: later blocks load it."""
    written = journal.create(tmp_path, {"blocks": 6})
    cache = written.folder / "inductor"
    cache.mkdir()
    step = Trial("train_step", "mlp", 128, "cpu")
    session, _ = begun(make_plan({step: PAIR}), records)
    for record in records:
        record |= {"trial": str(step), "results": {}}
    session.journal.clear_caches = written.clear_caches
    session.check_machine = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    session.dealer.end = lambda: None
    assert session.run() is False
    assert cache.exists() != cleared


def test_a_look_passes_over_a_row_that_failed():
    """It has fewer samples than its partner, and no ratio."""
    step = Trial("train_step", "mlp", 128, "cpu")
    fine, failed = {"samples": [(1.0, 1.0)]}, {"samples": [], "error": "it raised"}
    record = {"block": 0, "trial": str(step), "results": {KERAS: failed, PAIR[1]: fine}}
    plan = make_plan({step: PAIR})
    assert terminal.look(Results(plan, SimpleNamespace(records=[record], session="x"))) == ""


DEFAULT = [Trial(o, n, 128, "cpu") for o in OPERATIONS for n in networks.names()]


def everybody(seconds):
    """The default plan's trials, the other implementations included, within a time budget."""
    names = implementations.names()
    contests = {
        trial: names if trial.kind.for_all and networks.load(trial.architecture).for_all else PAIR
        for trial in DEFAULT
    }
    return replace(make_plan(contests), rounds=40, time_budget=seconds)


@pytest.mark.parametrize(("seconds", "others"), [(10_000, True), (900, True), (250, False)])
def test_what_cannot_fit_is_not_begun(seconds, others):
    """In five minutes the first block has the pair's steps and forward passes, and no others."""
    plan = everybody(seconds)
    kept = {*plan.rows()} - {*foreseen(plan)}
    assert any(name not in PAIR for _, name in kept) == others
    assert {(t, n) for t in DEFAULT if t.operation != "epoch" for n in PAIR} <= kept


def test_nothing_of_the_pairs_is_foreseen_not_to_fit():
    """However little time there is: what its steps and forward passes take is measured first."""
    left = {trial.operation for trial, _ in {*everybody(1).rows()} - {*foreseen(everybody(1))}}
    assert left == {"train_step", "forward"}


@pytest.mark.parametrize(
    ("operation", "seconds", "overdue"),
    [
        ("train_step", 500, False),
        ("forward", 30, False),
        ("forward", 70, True),
        ("epoch", 7, False),
        ("epoch", 13, True),
    ],
)
def test_the_first_block_leaves_time_for_the_others(operation, seconds, overdue):
    """With 60 s for six blocks, epochs end when the first has taken 10; compiling counts once."""
    step, trial = (Trial(name, "mlp", 128, "cpu") for name in ("train_step", operation))
    plan = replace(make_plan({step: (KERAS,)}), time_budget=60.0)
    results = {KERAS: {"once_seconds": 1.0, "cost": 1.0}}
    records = [{"block": 0, "trial": str(step), "results": results}]
    session, _ = begun(plan, records, range(1, 6), seconds=seconds + 1)
    assert session.overdue(trial, session.began) == overdue


def test_tiny_budget_keeps_the_training_steps(tmp_path):
    """A session that has no time at all measures the pair's training steps, and names the rest."""
    folder = copy_repository(tmp_path)
    session = run(folder, "benchmarks", "--device=cpu", "--time-budget=0.1", "--blocks=2")
    assert session.returncode == 0, session.stdout
    found = measured(journals(folder)[-1])
    assert {trial for _, trial, _ in found} == {"train_step[mlp-b128-cpu]"}
    assert [name for block, _, name in found if block == 1] == [*PAIR]
    text = " ".join(session.stdout.replace("│", " ").split())
    assert f"dropped to keep the time budget: epoch[mlp-b128-cpu] {KERAS}" in text
    assert f"dropped to keep the time budget: forward[mlp-b128-cpu] {KERAS}" in text
    assert "train_step[mlp-b128-cpu] numpy_reference" in text
    assert "2 passed, 6 skipped" in session.stdout


# Killed sessions

SHORT = (
    "benchmarks",
    "--device=cpu",
    "--implementation=numpy_reference",
    f"--implementation={KERAS}",
)
LONG = (*SHORT, f"--blocks={BLOCKS}", f"--rounds={ROUNDS}", "--benchmark-autosave")


def wait_for(condition, limit=LIMIT):
    """Whether the condition came true within `limit` seconds."""
    deadline = monotonic() + limit
    while not condition():
        if monotonic() > deadline:
            return False
        sleep(0.02)
    return True


def start(folder, *arguments):
    """Begin a session as the leader of a process group; returns once it measures."""
    output = folder / "output.txt"
    with output.open("w") as file:
        session = psutil.Popen(
            [PYTEST, *arguments],
            cwd=folder,
            env=variables(folder),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert wait_for(lambda: session.poll() is not None or "measuring" in output.read_text())
    assert session.poll() is None, output.read_text()
    return session


def survivors(processes):
    """Those of the processes that still run after SURVIVAL seconds."""

    def running():
        alive = []
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                alive += [process] if process.status() != psutil.STATUS_ZOMBIE else []
        return alive

    wait_for(lambda: not running(), SURVIVAL)
    return running()


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    """A session, killed and resumed KILLS times, and then resumed to its end."""
    folder = copy_repository(tmp_path_factory.mktemp("kills"))
    chance = random.Random(os.environ.get("SEED", "5"))
    found = []
    for kill in range(KILLS):
        session = start(folder, *LONG, *(["--resume"] if kill else []))
        moment = chance.uniform(0, 1.5)
        sleep(moment)
        session.suspend()  # so that no worker is started between the look and the kill
        workers = session.children(recursive=True)
        session.kill()
        session.wait()
        alive = survivors(workers)
        [file] = folder.glob(".benchmarks/sessions/*/journal.jsonl")
        text = file.read_text()
        whole = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        found.append(SimpleNamespace(moment=moment, workers=workers, alive=alive, records=whole))
        file.write_text(text + '{"block": 0, "trial": "train_st')
    end = run(folder, *LONG, "--resume")
    return SimpleNamespace(folder=folder, kills=found, end=end, records=journals(folder)[-1])


def test_kill_leaves_no_worker(kills):
    """After kill -9 of the session no worker lives on for more than two seconds."""
    assert [kill.moment for kill in kills.kills if kill.alive] == []
    assert any(kill.workers for kill in kills.kills)


def test_kill_ends_a_worker_that_is_busy(tmp_path):
    """Nor does one that is deep in an operation and would not notice for a minute."""
    folder = copy_repository(tmp_path, {KERAS: FAULTS["hanging"]})
    session = start(
        folder, "benchmarks", f"--implementation={KERAS}", "--device=cpu", "-k", "epoch"
    )
    assert wait_for(lambda: any("asleep" in log.read_text() for log in folder.rglob("*.log")))
    workers = session.children(recursive=True)
    session.kill()
    session.wait()
    assert workers
    assert survivors(workers) == []


def test_kill_loses_nothing_that_was_finished(kills):
    """Whatever the journal held at a kill, it holds to its end; a torn last line harms nothing."""
    lost = [k.moment for k in kills.kills if kills.records[: len(k.records)] != k.records]
    assert lost == []


def test_resumed_session_completes(kills):
    """Resumed after each kill, the session ends as if nothing had happened."""
    assert kills.end.returncode == 0, kills.end.stdout
    rows = saved(kills.folder)["benchmarks"]
    counts = {name: len(row["stats"]["data"]) for name, row in rows.items()}
    names = (KERAS, "numpy_reference")
    assert counts == {
        **dict.fromkeys(ids("epoch", *names), BLOCKS),
        **dict.fromkeys([*ids("forward", *names), *ids("train_step", *names)], BLOCKS * ROUNDS),
    }


def test_resumed_session_measures_nothing_twice(kills):
    """Each block has each trial exactly once, in one journal."""
    trials = [f"{operation}[mlp-b128-cpu]" for operation in OPERATIONS]
    expected = [
        (b, t, n) for b in range(BLOCKS) for t in trials for n in (KERAS, "numpy_reference")
    ]
    assert sorted(measured(kills.records)) == sorted(expected)
    assert kills.records[-1] == {"finished": True}


# Interrupted sessions


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Ctrl-C in a session of one block, once its first trial is complete."""
    folder = copy_repository(tmp_path_factory.mktemp("interrupted"))
    session = start(folder, *SHORT, "--rounds=20", "--benchmark-autosave")
    [journal] = folder.glob(".benchmarks/sessions/*/journal.jsonl")
    assert wait_for(lambda: journal.read_bytes().count(b"\n") > 1)
    workers = session.children(recursive=True)
    os.killpg(session.pid, signal.SIGINT)
    status = session.wait(LIMIT)
    return SimpleNamespace(
        folder=folder,
        status=status,
        alive=survivors(workers),
        output=(folder / "output.txt").read_text(),
        records=journals(folder)[-1],
        rows=saved(folder)["benchmarks"],
    )


def test_interrupt_ends_the_workers(interrupted):
    """Ctrl-C, which reaches the whole process group, ends the session with status 2."""
    assert interrupted.status == 2, interrupted.output
    assert interrupted.alive == []
    assert "Traceback" not in interrupted.output


def test_interrupt_keeps_what_is_complete(interrupted):
    """Trials with all their blocks are judged and saved, the others skipped, naming --resume."""
    done = {trial.split("[")[0] for _, trial, _ in measured(interrupted.records)}
    assert "train_step" in done
    assert len(done) < len(OPERATIONS)
    complete = [name for operation in done for name in ids(operation, KERAS, "numpy_reference")]
    assert sorted(interrupted.rows) == sorted(complete)
    assert "not measured to its end: 0 of 1 blocks; --resume takes it up" in interrupted.output
    assert "finished" not in interrupted.records[-1]


def test_resume_needs_the_same_circumstances(interrupted, tmp_path):
    """Another plan, source, data set or host is refused with status 4; each is named."""
    folder = tmp_path / "changed"
    shutil.copytree(interrupted.folder, folder)
    write_data(folder / "other", seed=2)
    for edited in ("mnist_models/recipe.py", "benchmarks/comparing/verdicts.py"):
        with (folder / edited).open("a") as file:
            file.write("# edited\n")
    [journal] = folder.glob(".benchmarks/sessions/*/journal.jsonl")
    first, rest = journal.read_text().split("\n", 1)
    record = json.loads(first)
    record["fingerprint"]["host"] = "another host, Python 3.11.0"
    journal.write_text(json.dumps(record) + "\n" + rest)
    before = journal.read_text()
    changed = ("--resume", "--dataset=other", "-k", "forward or epoch")
    session = run(folder, *SHORT, "--rounds=20", *changed)
    assert session.returncode == 4
    for key in ("trials", "data set", "source", "suite", "host"):
        assert f"{key} was " in session.stdout
    assert "blocks was" not in session.stdout
    assert "Run the same command that began it" in session.stdout
    assert journal.read_text() == before


def test_interrupted_session_is_resumed(interrupted):
    """The same command with --resume measures the rest and saves everything."""
    session = run(interrupted.folder, *SHORT, "--rounds=20", "--benchmark-autosave", "--resume")
    assert session.returncode == 0, session.stdout
    records = journals(interrupted.folder)[-1]
    assert records[: len(interrupted.records)] == interrupted.records
    assert len(set(measured(records))) == len(measured(records)) == 6
    assert len(saved(interrupted.folder)["benchmarks"]) == 6
