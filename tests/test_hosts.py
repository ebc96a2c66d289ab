"""Other hosts: blocks are dealt out once each, and a host can spoil its own and no others."""

import errno
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from time import monotonic, process_time, sleep
from types import SimpleNamespace

import psutil
import pytest

from benchmarks.comparing import records
from benchmarks.comparing.pair import Outcome, Side, judge_pair
from benchmarks.comparing.verdicts import (
    FIRST_CALL,
    Comparison,
    Status,
    blocks_to_decide,
    judge,
    time_metric,
)
from benchmarks.measuring import dealing, hosts, on_host
from benchmarks.measuring.dealing import Dealer
from benchmarks.measuring.environments import Environment, EnvironmentProblem
from benchmarks.measuring.hosts import SSH, Host, HostLost, Place, parse, parse_all
from benchmarks.measuring.remote import FarMeter, check_answers
from benchmarks.reporting import words
from tests.test_command_lines import command_here, variables
from tests.test_robustness import wait_for
from tests.test_sessions import small_disk

# Which host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh=me@box", Host("me_box", f"ssh={SSH} me@box")),
        (
            "ssh=-p 22 box//python=/a b/python",
            Host("box", f"ssh={SSH} -p 22 box", "/a b/python"),
        ),
        ("popen", Host("here", "popen")),
        ("popen//chdir=/tmp", Host("here", "popen//chdir=/tmp")),
        (
            "popen//id=node7//python=srun -w node7 python3",
            Host("node7", "popen//id=node7", "srun -w node7 python3"),
        ),
    ],
)
def test_a_spec_names_a_host(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["box", "ssh", "ssh=", "http://box", "/no/such/file", "python=x"])
def test_what_is_no_host_is_refused_with_the_choices(text):
    with pytest.raises(EnvironmentProblem, match=r"--host .*: no host; give ssh=user@box"):
        parse_all([text])


def test_a_file_names_hosts(tmp_path):
    file = tmp_path / "lab"
    file.write_text("# the lab\nssh=a\n\nssh=b  # slow\npopen//chdir=/tmp\n")
    assert [host.name for host in parse_all([str(file), "popen"])] == ["a", "b", "here", "here-2"]
    file.write_text("# nobody\n")
    with pytest.raises(EnvironmentProblem, match="this file names no host"):
        parse_all([str(file)])


@pytest.mark.parametrize(
    ("pin", "options"),
    [("torch==2.9.1", []), ("torch==2.9.1+cpu", ["--torch-backend", "cpu"])],
)
def test_a_build_of_pytorchs_own_index_is_asked_for(tmp_path, monkeypatch, pin, options):
    """Another build would be another library, or lack what it needs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(on_host, "find_uv", lambda: "uv")
    commands = []
    monkeypatch.setattr(on_host, "run", commands.append)
    on_host.environment("3.12", ["numpy==2.4.6", pin])
    [_, install] = commands
    assert [part for part in install if part in ("--torch-backend", "cpu")] == options


def test_an_unknown_host_key_is_refused_and_nobody_is_asked():
    assert "-oStrictHostKeyChecking=yes" in parse("ssh=box").spec
    assert "-oBatchMode=yes" in parse("ssh=box").spec


# What a host gets


def test_files_are_kept_whole_and_looked_at_again(tmp_path, monkeypatch):
    """A damaged one is sent anew, and what came otherwise than it was sent is refused."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = {"a/b.py": b"one", "c": b"two"}
    wanted = on_host.digest_of(files)
    assert on_host.have("source", wanted) == ""
    folder = on_host.put("source", wanted, files)
    assert on_host.have("source", wanted) == on_host.put("source", wanted, files) == folder
    os.makedirs(os.path.join(folder, "a", "__pycache__"))
    with open(os.path.join(folder, "a", "__pycache__", "b.pyc"), "wb") as file:
        file.write(b"whoever imports it leaves this")
    assert on_host.have("source", wanted) == folder
    with open(os.path.join(folder, "c"), "wb") as file:
        file.write(b"three")
    assert on_host.have("source", wanted) == ""
    assert on_host.put("source", wanted, files) == folder
    assert on_host.have("source", wanted) == folder
    with pytest.raises(ValueError, match="not what was sent"):
        on_host.put("source", wanted, files | {"c": b"other"})
    assert len(os.listdir(os.path.dirname(folder))) == 1


def test_hosts_that_share_a_disk_take_nothing_from_each_other(tmp_path, monkeypatch):
    """One keeps the files just when the other has seen that they are not there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = {"a/b.py": b"one", "c": b"two"}
    wanted, look = on_host.digest_of(files), on_host.digest
    removed = []

    def slow(folder):
        found = look(folder)
        if not found:
            monkeypatch.setattr(on_host, "digest", look)
            on_host.put("source", wanted, files)
        return found

    monkeypatch.setattr(on_host, "digest", slow)
    monkeypatch.setattr(shutil, "rmtree", lambda folder, **_: removed.append(folder))
    assert on_host.put("source", wanted, files) not in removed


def test_an_environment_is_made_once_on_a_disk_that_hosts_share(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(on_host, "find_uv", lambda: "uv")
    making, most, made = [], [], []

    def run(command):
        making.append(command)
        most.append(len(making))
        sleep(0.05)
        making.remove(command)
        made.append(command[1])

    monkeypatch.setattr(on_host, "run", run)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(on_host.environment, "3.12", ["numpy==2.5.5"]) for _ in range(3)]
    assert len({one.result() for one in asked}) == 1
    assert (max(most), made) == (1, ["venv", "pip"])


def test_the_source_is_all_that_a_worker_needs():
    found = hosts.source()
    assert b"class Worker" in found["mnist_models/worker.py"]
    assert "mnist_models/accuracy_bounds.json" in found
    assert all(name.startswith("mnist_models/") and ".." not in name for name in found)


@pytest.mark.slow
def test_pins_are_what_is_installed_here_without_this_project():
    here = Environment("here", f"popen//python={sys.executable}")
    version, found = hosts.pins(here)
    assert version == f"{sys.version_info.major}.{sys.version_info.minor}"
    names = {pin.partition("==")[0] for pin in found}
    assert {"numpy", "execnet"} <= names
    assert "mnist-benchmarks" not in names
    with pytest.raises(EnvironmentProblem, match="only a local environment can be made again"):
        hosts.pins(Environment("far", "ssh=box"))


# Blocks are dealt out


class Pool:
    """A host that only pretends to measure."""

    def __init__(self, name, fails_at=(), error=None, seconds=0.0):
        self.place = Place(Host(name, "popen"), "/", "/", "/", "a CPU")
        self.fails_at, self.error, self.seconds = fails_at, error, seconds
        self.done = []

    def run_block(self, block):
        sleep(self.seconds)
        if block in self.fails_at:
            raise self.error or HostLost("it is dark")
        self.done.append(block)

    def stop(self):
        pass


def dealer_of(*pools):
    said = []
    plan = SimpleNamespace(hosts=tuple(pool.place.host for pool in pools))
    session = SimpleNamespace(
        plan=plan,
        progress=SimpleNamespace(say=said.append),
        halt=Event(),
        journal=SimpleNamespace(session="now"),
        stale_caches=list,
    )
    made = Dealer(session)
    made.pools = {pool.place.host.name: pool for pool in pools}
    return made, said


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_every_block_is_measured_once(count):
    """The first one alone; then whoever is free takes the next one."""
    pools = [Pool(f"host{number}", seconds=0.002) for number in range(count)]
    dealer, _ = dealer_of(*pools)
    dealer.deal(range(2 * count + 1))
    done = Counter(block for pool in pools for block in pool.done)
    assert done == Counter(range(2 * count + 1))
    assert pools[0].done[0] == 0


def test_dealing_costs_this_machine_next_to_nothing():
    """A hundred hosts, ten blocks each: 0.02 ms of CPU a block where it was measured."""
    dealer, _ = dealer_of(*(Pool(f"host{number}", seconds=0.01) for number in range(100)))
    before = process_time()
    dealer.deal(range(1001))
    assert process_time() - before < 1001 * 0.002


@pytest.mark.parametrize(
    "error", [HostLost("it is dark"), ValueError("no answer"), TypeError("None"), KeyError("x")]
)
def test_a_host_that_is_lost_costs_its_block_which_goes_to_the_others(error):
    bad, good = Pool("bad", fails_at={1, 2, 3, 4}, error=error), Pool("good")
    dealer, said = dealer_of(good, bad)
    failed, measure, fail = Event(), good.run_block, bad.run_block

    def wait(block):
        assert block == 0 or failed.wait(20)
        measure(block)

    def tell(block):
        failed.set()
        fail(block)

    good.run_block, bad.run_block = wait, tell
    dealer.deal(range(5))
    assert sorted(good.done + bad.done) == list(range(5))
    assert [line for line in said if line.startswith("host bad is lost: block")]


def test_a_first_host_that_is_lost_leaves_the_first_block_to_the_next_one():
    bad, good = Pool("bad", fails_at={0}), Pool("good")
    dealer, _ = dealer_of(bad, good)
    dealer.deal(range(3))
    assert good.done == [0, 1, 2]


def test_when_nobody_is_left_the_session_says_why():
    dealer, _ = dealer_of(Pool("a", fails_at={0}), Pool("b", fails_at={0}))
    with pytest.raises(HostLost, match="a: block 1 goes to the others: it is dark; b: "):
        dealer.deal(range(3))


def test_a_fault_of_this_suite_is_no_fault_of_a_host():
    dealer, _ = dealer_of(Pool("a", fails_at={0}, error=RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        dealer.deal(range(3))


def test_ctrl_c_ends_all_hosts_at_once():
    """Nothing of what they were at is taken, and none of them counts as lost."""
    interrupted = Pool("a", fails_at={*range(100)}, error=KeyboardInterrupt())
    others = [Pool(name, seconds=0.05) for name in ("b", "c")]
    dealer, said = dealer_of(others[0], interrupted, others[1])
    with pytest.raises(KeyboardInterrupt):
        dealer.deal(range(1, 100))
    assert sum(len(pool.done) for pool in others) < 10
    assert dealer.session.halt.is_set()
    assert said == []


def test_ctrl_c_ends_the_preparation_of_hosts(monkeypatch):
    """Also of one that is reached only afterwards."""
    reached, closed, begun = Event(), Event(), Event()

    def prepare(host, dataset, environments, opened, stale):
        if host.name == "interrupted":
            assert reached.wait(20)
            assert begun.wait(20)
            raise KeyboardInterrupt
        if host.name == "late":
            begun.set()
            assert closed.wait(20)
        opened(SimpleNamespace(close=closed.set))
        reached.set()
        assert host.name != "late", "it was told that the session has ended"
        assert closed.wait(20)
        raise HostLost("it was closed")

    monkeypatch.setattr(dealing, "prepare", prepare)
    names = ("interrupted", "slow", "late")
    made, said = dealer_of(*map(Pool, names))
    made.plan.here, made.plan.baselines, made.plan.dataset_folder = "here", {}, "/"
    with pytest.raises(KeyboardInterrupt):
        made.begin()
    assert closed.is_set()
    assert sorted(said) == [
        "host late is lost: the session was ended",
        "host slow is lost: it was closed",
    ]


def test_hosts_are_told_which_caches_are_stale(monkeypatch):
    """A host keeps them in the session's folder; first calls would find them there."""
    asked = []

    def prepare(host, dataset, environments, opened, stale):
        asked.append(stale)
        raise HostLost("no more is needed")

    monkeypatch.setattr(dealing, "prepare", prepare)
    made, _ = dealer_of(Pool("one"))
    made.plan.here, made.plan.baselines, made.plan.dataset_folder = "here", {}, "/"
    made.session.stale_caches = lambda: ["triton"]
    made.prepared(made.plan.hosts[0])
    assert asked == [("now", ["triton"])]


def test_a_host_forgets_caches_of_one_session_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    every = [
        os.path.join(on_host.cache(), "sessions", session, cache)
        for session in ("now", "other")
        for cache in ("triton", "exports")
    ]
    for folder in every:
        os.makedirs(folder)
    on_host.forget("../sessions/now", ["../now/triton"])
    on_host.forget("never", ["triton"])
    on_host.forget("", ["now"])
    assert [os.path.isdir(folder) for folder in every] == [False, True, True, True]


# What a host answers

ENTRY = {
    "cost": 1.0,
    "facts": {"versions": {}, "python": "3.12", "in_force": {}},
    "recipe": {},
    "compilation": "eager",
    "first_call_seconds": 0.1,
    "samples": [[0.001, 0.001]],
    "parity": {"logits": 1e-7},
    "foreign_cpu": None,
}


def record(**more):
    return {"block": 0, "trial": "t", "results": {"a": ENTRY | more}}


def test_a_right_answer_is_taken():
    check_answers(record())
    check_answers({"block": 0, "trial": "t", "results": {"a": {"cost": 0.1, "error": "x"}}})


@pytest.mark.parametrize(
    "more",
    [
        {"samples": [[float("nan"), 0.1]]},
        {"samples": [[-0.1, 0.1]]},
        {"samples": [[float("inf"), 0.1]]},
        {"samples": [[1e9, 0.1]]},
        {"samples": [["fast", 0.1]]},
        {"samples": None},
        {"first_call_seconds": -1.0},
        {"facts": {}},
        {"parity": {"logits": "good"}},
    ],
)
def test_nonsense_is_not_taken(more):
    with pytest.raises(HostLost, match="its answer is invalid"):
        check_answers(record(**more))


class Telling:
    """A worker that tells how busy its machine was, time after time."""

    def __init__(self, *told):
        self.told = iter(told)

    def ask(self, method, operation, limit):
        return next(self.told)


def test_what_others_took_on_a_host_is_what_no_worker_took():
    zero = {"wall": 0.0, "busy": 0.0, "stolen": 0.0, "own": 0.0}
    ones = {"wall": 10.0, "busy": 8.0, "stolen": 0.5}
    workers = {"a": Telling(zero, ones | {"own": 3.0}), "b": Telling(zero, ones | {"own": 4.0})}
    meter = FarMeter(workers, ["a", "b"], "forward")
    assert meter.foreign() == pytest.approx(0.1)
    assert meter.stolen() == pytest.approx(0.05)
    assert FarMeter({}, [], "forward").foreign() is None


# Whether hosts agree


def sides(*ratios):
    """Two sides, of which each host's blocks have one of the ratios, three blocks each."""
    first, names = {}, {}
    for host, value in enumerate(ratios):
        for block in range(3 * host, 3 * host + 3):
            first[block], names[block] = [value * (1 + block / 1000)], f"host{host}"
    second = {block: [1.0] for block in first}
    return Side(first, hosts=names), Side(second, hosts=names)


def test_hosts_that_agree_decide_together():
    found = judge_pair(*sides(1.2, 1.3))
    assert found.outcome is Outcome.FASTER
    assert {name: ratio.blocks for name, ratio in found.hosts.items()} == {"host0": 3, "host1": 3}


def test_hosts_that_disagree_are_not_averaged_away():
    """Another CPU, another winner."""
    found = judge_pair(*sides(1.2, 0.8))
    assert found.outcome is Outcome.HOSTS_DISAGREE
    said = words.verdict("keras_tensorflow", "pytorch_eager", found)
    assert said.startswith("hosts disagree: Keras/PyTorch on host0 1.20 (3 blocks), on host1 0.80")


def test_a_host_without_a_common_block_is_none():
    """It measured only blocks that confirm another environment."""
    first, second = sides(1.2, 0.8)
    first.blocks[6] = [1.0]
    found = judge_pair(Side(first.blocks, hosts=first.hosts | {6: "host2"}), second)
    assert [*found.hosts] == ["host0", "host1"]


def test_hosts_disagree_on_first_calls_by_the_screen_alone():
    """Later blocks start fewer processes side by side."""
    first, second = sides(1.4, 1.4, 0.6)
    place = "forward[mlp-b128-cpu]", "pytorch_eager", "old", FIRST_CALL
    found = judge(Comparison(*place, first.blocks, second.blocks, screened=6, hosts=first.hosts))
    assert "suspected" in found.reason
    assert found.ratio.blocks == 6


def test_one_machine_is_no_host():
    first, second = sides(1.2, 0.8)
    found = judge_pair(Side(first.blocks), Side(second.blocks))
    assert found.outcome is Outcome.NO_DIFFERENCE
    assert found.hosts == {}


@pytest.mark.parametrize(
    ("ratios", "status", "reason"),
    [
        ((1.2, 1.3), Status.INCONCLUSIVE, "suspected; its confirmation was not measured"),
        ((1.2, 0.8), Status.INCONCLUSIVE, "hosts disagree: 1.201 on host0, 0.803 on host1"),
        ((1.03, 0.975), Status.INCONCLUSIVE, "hosts disagree: 1.031 on host0, 0.979 on host1"),
        ((1.001, 0.993), Status.EQUIVALENT, ""),
    ],
)
def test_a_baseline_is_judged_on_hosts_that_agree_alone(ratios, status, reason):
    """More blocks would not decide it."""
    first, second = sides(*ratios)
    place = "forward[mlp-b128-cpu]", "pytorch_eager", "old", time_metric(0.02)
    both = first.blocks, second.blocks
    comparison = Comparison(*place, *both, screened=6, suspects=1, hosts=first.hosts)
    verdict = judge(comparison)
    assert (verdict.status, verdict.reason) == (status, reason)
    assert blocks_to_decide(verdict, comparison) is None


def test_a_saved_run_says_which_host_measured_each_block():
    info = {"blocks": [0, 0, 2, 3], "hosts": ["a", "b", "a"]}
    assert records.measured_on(info) == {0: "a", 2: "b", 3: "a"}
    assert records.measured_on({"blocks": [0, 1]}) == {}


# Whole sessions

SESSION = (
    *("--operation=forward", "--architecture=mlp", "--implementation=numpy_reference"),
    *("--dataset=digits", "--device=cpu", "--threads=1", "--rounds=3"),
)


def session(folder, *arguments):
    """A session whose hosts keep their files in the same folder."""
    return subprocess.Popen(
        command_here(folder / "run.json", *SESSION, *arguments),
        cwd=folder,
        env=variables(folder, PYTEST_ADDOPTS="", XDG_CACHE_HOME=str(folder / "cache")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(folder, *arguments):
    process = session(folder, *arguments)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def measured_on(folder):
    """Which host measured each block, from the saved run."""
    [row] = json.loads((folder / "run.json").read_text())["benchmarks"]
    info = row["extra_info"]
    assert info["blocks"] == sorted(info["blocks"])
    return dict(zip(dict.fromkeys(info["blocks"]), info["hosts"], strict=True))


def popen(*names, python=sys.executable, folder="/"):
    """Hosts that are processes of this machine."""
    return [f"--host=popen//chdir={folder}{name}//python={python}" for name in names]


@pytest.mark.slow
def test_blocks_of_a_session_are_dealt_out_over_hosts(tmp_path):
    status, output = ended(tmp_path, "--blocks=4", *popen("tmp", "usr"))
    assert status == 0, output
    found = measured_on(tmp_path)
    assert sorted(found) == [0, 1, 2, 3]
    assert {*found.values()} == {"here", "here-2"}
    cache = tmp_path / "cache" / on_host.NAME
    assert len(list((cache / "data").iterdir())) == 1
    assert (next((cache / "source").iterdir()) / "mnist_models" / "worker.py").exists()


@pytest.mark.slow
def test_a_launcher_such_as_srun_may_start_the_python(tmp_path):
    """What gives a Python's input and output is a host."""
    launcher = tmp_path / "srun"
    launcher.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nshift 2\nexec "$@"\n')
    launcher.chmod(0o755)
    spec = f"--host=popen//id=node7//python={launcher} --nodelist node7 {sys.executable}"
    status, output = ended(tmp_path, "--blocks=1", spec)
    assert status == 0, output
    assert measured_on(tmp_path) == {0: "node7"}
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2  # to prepare it, and its worker
    assert all(call.startswith("--nodelist node7 ") for call in calls)


# What an evil host does, and what is said of it.
WRONG = {
    "nan": "its answer is invalid",
    "negative": "its answer is invalid",
    "nothing": "",
    "kind": "",
    "dies": "its worker died",
    "gigabyte": "it sends a message of 1,073,741,824 bytes, and 256 MiB are the most",
    "bytes": "",
    "path": "",
}
EVIL = """
import os, sys
import builtins

how, original = os.environ["EVIL"], builtins.__import__


def wrong(worker):
    sample, observe, channel = worker.Worker.sample, worker.Worker.observe, None

    def evil(self, *arguments):
        found = sample(self, *arguments)
        if how == "nan":
            return found | {"seconds": float("nan")}
        if how == "negative":
            return found | {"seconds": -1.0}
        if how == "nothing":
            return None
        if how == "kind":
            return [1, 2, 3]
        if how == "dies":
            os._exit(1)
        if how == "gigabyte":
            import gc, struct
            gateway = next(one for one in gc.get_objects() if type(one).__name__ == "WorkerGateway")
            gateway._io.write(struct.pack("!bii", 3, 1, 2**30) + bytes(2**20))
        if how == "exec":
            import gc
            gateway = next(one for one in gc.get_objects() if type(one).__name__ == "WorkerGateway")
            code = "open(" + repr(os.environ["MARK"]) + ", 'w')"
            from __main__ import dumps_internal, Message
            gateway._send(Message.CHANNEL_EXEC, 99, dumps_internal((code, None, None, {})))
        return found

    worker.Worker.sample = evil
    if how == "bytes":
        worker.Worker.observe = lambda self, *arguments: b"no weights"
    if how == "path":
        worker.Worker.observe = lambda self, *arguments: "a text"


def importing(name, *arguments, **more):
    found = original(name, *arguments, **more)
    done = sys.modules.get("mnist_models.worker")
    if done is not None and hasattr(done, "serve") and not hasattr(done, "evil"):
        done.evil = True
        wrong(done)
    return found


builtins.__import__ = importing
if how == "clock":
    import time
    wall = time.time
    time.time = lambda: wall() + 3600
"""


def evil_python(folder, how):
    """A Python whose workers answer in another way."""
    (folder / "sitecustomize.py").write_text(EVIL)
    python = folder / "python"
    settings = f"EVIL={how} MARK={folder}/mark PYTHONPATH={folder}"
    python.write_text(f'#!/bin/sh\n{settings} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A session on a good host, and on one for each way to be evil."""
    folder = tmp_path_factory.mktemp("attacked")
    specs = popen("tmp")
    for how in WRONG:
        (folder / how).mkdir()
        specs += popen(f"usr//id={how}", python=evil_python(folder / how, how))
    bare = folder / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    specs += popen("usr//id=bare", python=bare)
    status, output = ended(folder, f"--blocks={len(WRONG) + 3}", *specs)
    assert status == 0, output
    return SimpleNamespace(output=output, blocks=measured_on(folder))


@pytest.mark.slow
def test_hostile_hosts_spoil_their_own_blocks_and_nothing_else(attacked):
    """The session ends with all blocks, measured by the good one."""
    assert attacked.blocks == dict.fromkeys(range(len(WRONG) + 3), "here")


@pytest.mark.slow
def test_a_host_with_a_wrong_environment_is_lost_in_words(attacked):
    """Its Python has none of the packages."""
    [said] = [line for line in attacked.output.splitlines() if "host bare is lost: " in line]
    assert "No module named 'numpy'" in said


@pytest.mark.slow
@pytest.mark.parametrize("how", WRONG)
def test_what_a_hostile_host_did_is_said(attacked, how):
    [said] = [line for line in attacked.output.splitlines() if f"host {how} is lost: " in line]
    assert f"host {how} is lost: block" in said
    assert WRONG[how] in said


@pytest.mark.slow
def test_a_clock_that_is_an_hour_off_changes_nothing(tmp_path):
    late = evil_python(tmp_path, "clock")
    status, output = ended(tmp_path, "--blocks=3", *popen("usr//id=late", python=late))
    assert status == 0, output
    assert measured_on(tmp_path) == dict.fromkeys(range(3), "late")
    samples = json.loads((tmp_path / "run.json").read_text())["benchmarks"][0]["stats"]["data"]
    assert 0 < min(samples) <= max(samples) < 1


@pytest.mark.slow
def test_a_host_runs_no_code_here(tmp_path):
    """Execnet would let this side run code there; the other way round it is refused."""
    mark = tmp_path / "mark"
    evil = evil_python(tmp_path, "exec")
    status, output = ended(tmp_path, "--blocks=2", *popen("usr", python=evil))
    assert status == 0, output
    assert not mark.exists()


@pytest.fixture(scope="module")
def ssh(tmp_path_factory):
    """The options of ssh to a server of our own on this machine; skips where there is none."""
    server = shutil.which("sshd") or "/usr/sbin/sshd"
    if not (os.path.exists(server) and shutil.which("ssh") and shutil.which("ssh-keygen")):
        pytest.skip("not installed: apt install openssh-server")
    folder = tmp_path_factory.mktemp("ssh")
    for key in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(command, check=True, timeout=60)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\n"
        f"ListenAddress 127.0.0.1:{port}\nPidFile none\nUsePAM no\n"
        f"SetEnv XDG_CACHE_HOME={folder}/far\n"
    )
    key = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
    (folder / "unknown").touch()
    os.makedirs("/run/sshd", exist_ok=True) if os.getuid() == 0 else None
    process = subprocess.Popen([server, "-D", "-f", str(folder / "config")])

    def options(known="known"):
        return f"-p {port} -i {folder}/user -oUserKnownHostsFile={folder}/{known}"

    def answers():
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as asked:
                return asked.recv(4) == b"SSH-" and process.poll() is None
        except OSError:
            return False

    assert wait_for(answers)
    yield SimpleNamespace(options=options, folder=folder, process=process)
    for one in psutil.Process(process.pid).children(recursive=True):
        one.kill()
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_host_is_reached_by_ssh_and_given_all_it_needs(ssh, tmp_path):
    """Its files lie under another path; nothing but a Python was there."""
    user = getpass.getuser()
    spec = f"--host=ssh={ssh.options()} {user}@127.0.0.1//python={sys.executable}"
    status, output = ended(tmp_path, "--blocks=2", spec)
    assert status == 0, output
    assert {*measured_on(tmp_path).values()} == {f"{user}_127.0.0.1"}
    assert (ssh.folder / "far" / on_host.NAME / "data").exists()
    assert not (tmp_path / "cache" / on_host.NAME).exists()


@pytest.mark.slow
def test_a_host_whose_key_is_unknown_is_not_reached(ssh, tmp_path):
    spec = f"--host=ssh={ssh.options('unknown')} 127.0.0.1//python={sys.executable}"
    status, output = ended(tmp_path, "--blocks=1", spec)
    assert status == 4, output
    assert "--host: no host is left" in output
    assert "cannot be reached" in output


@pytest.mark.slow
def test_a_host_that_is_cut_off_loses_its_block_to_the_others(ssh, tmp_path):
    """From its second block on, all that belongs to its connections is killed."""
    spec = f"--host=ssh={ssh.options()} 127.0.0.1//python={sys.executable}"
    process = session(tmp_path, "--blocks=6", "--rounds=40", *popen("tmp"), spec)
    journal = ".benchmarks/sessions/*/journal.jsonl"

    def busy():
        text = "".join(file.read_text() for file in tmp_path.glob(journal))
        return '"block": 0' in text or process.poll() is not None

    assert wait_for(busy)
    deadline = monotonic() + 300
    while process.poll() is None and monotonic() < deadline:
        for one in psutil.Process(ssh.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        sleep(0.02)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "host 127.0.0.1 is lost" in " ".join(output.split())
    found = measured_on(tmp_path)
    assert sorted(found) == list(range(6))


@pytest.mark.slow
def test_a_network_that_is_silent_for_some_seconds_costs_nothing(ssh, tmp_path):
    """The connections live on, and with them their block."""
    spec = f"--host=ssh={ssh.options()} 127.0.0.1//python={sys.executable}"
    process = session(tmp_path, "--blocks=4", "--rounds=40", spec)

    def carriers():
        """What carries the bytes between both sides."""
        every = psutil.Process(ssh.process.pid).children(recursive=True)
        found = []
        for one in every:
            with suppress(psutil.NoSuchProcess):
                found += [one] if one.name().startswith("sshd") else []
        return found

    assert wait_for(lambda: len(carriers()) > 1 or process.poll() is not None)
    stopped = carriers()
    try:
        for one in stopped:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        sleep(5)
    finally:
        for one in stopped:
            with suppress(psutil.NoSuchProcess):
                one.resume()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "is lost" not in output
    assert measured_on(tmp_path) == dict.fromkeys(range(4), "127.0.0.1")


@pytest.mark.slow
def test_a_host_whose_disk_is_full_is_lost_in_words(tmp_path):
    (tmp_path / "cache").mkdir()
    with small_disk(tmp_path / "cache" / on_host.NAME, "100k"):
        status, output = ended(tmp_path, "--blocks=1", *popen("tmp"))
    assert status == 4, output
    assert "--host: no host is left" in output
    assert os.strerror(errno.ENOSPC) in output
