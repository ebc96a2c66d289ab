"""Sessions that meet each other, a damaged journal, a full disk, or processes that say nothing."""

import ast
import errno
import gzip
import json
import os
import re
import resource
import subprocess
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads
from time import monotonic, sleep
from types import SimpleNamespace

import execnet
import psutil
import pytest
from filelock import FileLock

from benchmarks.measuring import environments, journal, memory, probes, workers
from benchmarks.measuring.environments import EnvironmentProblem
from benchmarks.measuring.hosts import HostLost
from benchmarks.measuring.pool import WorkerPool
from benchmarks.measuring.results import Results
from benchmarks.measuring.workers import WorkerError, WorkerProcess
from benchmarks.pytest_plugin import saving
from mnist_models.implementations import PAIR
from mnist_models.operations import OPERATIONS
from tests.test_command_lines import (
    LIMIT,
    copy_repository,
    journals,
    measured,
    run,
    saved,
)
from tests.test_docs import STEP, plan
from tests.test_robustness import start, survivors, wait_for
from tests.test_statistics import FINGERPRINT, NEXT, RECORD, SMOOTH
from tools import pages

REFERENCE = ("benchmarks", "--device=cpu", "--implementation=numpy_reference")
BLOCKS = 3
LONG = (*REFERENCE, "-k", "train_step", f"--blocks={BLOCKS}", "--rounds=5", "--benchmark-autosave")
RECORDED = pages.RUN
TRIALS = ["train_step[mlp-b128-cpu]"]


def flat(text):
    return " ".join(text.replace("│", " ").split())


def folders(copy):
    return sorted(file.parent for file in copy.glob(".benchmarks/sessions/*/journal.jsonl"))


# Sessions that meet


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A session that is stopped while it measures; a resume of it, a second session, its end."""
    folder = copy_repository(tmp_path_factory.mktemp("crowd"))
    first = start(folder, *LONG)
    [place] = folders(folder)
    assert wait_for(lambda: (place / "journal.jsonl").read_bytes().count(b"\n") > 1)
    first.suspend()
    with (place / "journal.jsonl").open("a") as file:
        file.write('{"block": 0, "tri')  # as if it were writing
    before = (place / "journal.jsonl").read_bytes()
    found = {
        "folder": folder,
        "pid": first.pid,
        "refused": run(folder, *LONG, "--resume"),
        "untouched": (place / "journal.jsonl").read_bytes() == before,
        "second": run(folder, *LONG),
    }
    (place / "journal.jsonl").write_bytes(before[: before.rfind(b"\n") + 1])
    first.resume()
    return found | {"status": first.wait(LIMIT), "output": (folder / "output.txt").read_text()}


@pytest.mark.slow
def test_running_session_is_not_resumed(crowd):
    """It is named, with the process that holds it, and not a byte of its journal changes."""
    assert crowd["refused"].returncode == 4, crowd["refused"].stdout
    holder = rf"\(process {crowd['pid']} on"
    words = rf"--resume: nothing to resume: session \S+ is still running {holder}"
    assert re.search(words, crowd["refused"].stdout)
    assert crowd["untouched"]


@pytest.mark.slow
def test_two_sessions_in_one_folder_mix_nothing(crowd):
    """Each has a journal of its own with each block once, and the second says who disturbs it."""
    assert crowd["second"].returncode == crowd["status"] == 0, crowd["output"]
    assert f"(process {crowd['pid']} on" in crowd["second"].stdout
    assert "is measuring in this folder, too" in flat(crowd["second"].stdout)
    both = journals(crowd["folder"])
    assert len(both) == 2
    expected = sorted(
        (block, trial, "numpy_reference") for block in range(BLOCKS) for trial in TRIALS
    )
    assert [sorted(measured(records)) for records in both] == [expected, expected]
    assert len(list(crowd["folder"].glob(".benchmarks/*/000*.json"))) == 2


def test_running_session_is_passed_over(tmp_path, monkeypatch):
    """An older one that was killed is taken up instead."""
    monkeypatch.setattr(journal, "PATIENCE", 0.1)
    old = journal.create(tmp_path, FINGERPRINT)
    old.close()
    running = journal.create(tmp_path, FINGERPRINT)
    again = journal.resume(tmp_path, FINGERPRINT)
    assert again.session == old.session
    assert journal.others(again) == [f"session {running.session} ({journal.controller()})"]
    with pytest.raises(journal.JournalError, match=f"session {running.session} is still running"):
        journal.resume(tmp_path, FINGERPRINT)


def test_a_newer_session_of_another_command_is_passed_over(tmp_path):
    """The one that this command began is taken up; without it, the newest says how it differs."""
    mine = journal.create(tmp_path, FINGERPRINT)
    mine.close()
    other = journal.create(tmp_path, FINGERPRINT | {"rounds": 99})
    other.close()
    again = journal.resume(tmp_path, FINGERPRINT)
    assert again.session == mine.session
    again.close()
    with pytest.raises(journal.JournalError, match=f"{other.session} cannot be resumed: rounds"):
        journal.resume(tmp_path, FINGERPRINT | {"rounds": 5})


def test_a_lock_of_somebody_else_stops_nobody(tmp_path, monkeypatch):
    """As one that root left in the folder."""
    theirs, mine = (journal.create(tmp_path, FINGERPRINT) for _ in range(2))
    theirs.close()
    lock = FileLock

    def locked(path, **options):
        if theirs.folder in path.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return lock(path, **options)

    monkeypatch.setattr(journal, "FileLock", locked)
    assert journal.others(mine) == []


def test_a_session_that_cannot_be_locked_is_not_resumed(tmp_path, monkeypatch):
    journal.create(tmp_path, FINGERPRINT).close()

    def acquire(self, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(journal.JournalError, match=r"cannot be locked \(Permission denied\)"):
        journal.resume(tmp_path, FINGERPRINT)


def test_a_running_session_is_named_before_another_command_s(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "PATIENCE", 0.1)
    journal.create(tmp_path, FINGERPRINT | {"rounds": 99}).close()
    running = journal.create(tmp_path, FINGERPRINT)
    with pytest.raises(journal.JournalError, match=f"{running.session} is still running"):
        journal.resume(tmp_path, FINGERPRINT)


def test_sessions_of_one_second_and_one_process_number_have_names_of_their_own(tmp_path):
    """As in two containers that share a folder."""
    names = {journal.create(tmp_path, FINGERPRINT).session for _ in range(3)}
    assert len(names) == 3


def suspended_with_workers(session):
    """Suspend a session while it has workers, which between two blocks it has not."""
    found = []

    def tried():
        session.suspend()
        found[:] = session.children(recursive=True)
        if not found:
            session.resume()
        return found

    assert wait_for(tried)
    return found


@pytest.mark.slow
def test_killed_controller_leaves_a_session_that_goes_on(tmp_path):
    """Its workers die, its lock is free, and the resumed session holds each block once."""
    folder = copy_repository(tmp_path)
    session = start(folder, *LONG)
    [place] = folders(folder)
    assert wait_for(lambda: (place / "journal.jsonl").read_bytes().count(b"\n") > 1)
    processes = suspended_with_workers(session)
    session.kill()
    session.wait()
    assert survivors(processes) == []
    ended = run(folder, *LONG, "--resume")
    assert ended.returncode == 0, ended.stdout
    [records] = journals(folder)
    assert sorted(measured(records)) == sorted(
        (block, trial, "numpy_reference") for block in range(BLOCKS) for trial in TRIALS
    )
    assert [bool(record.get("controller")) for record in records].count(True) == 2
    assert {
        len(set(row["extra_info"]["blocks"])) for row in saved(folder)["benchmarks"].values()
    } == {BLOCKS}


# A refused resume


def test_refused_resume_changes_nothing(tmp_path):
    """Not even a torn last line is cut before the fingerprint was accepted."""
    journal.create(tmp_path, FINGERPRINT).close()
    [file] = tmp_path.glob(".benchmarks/sessions/*/journal.jsonl")
    file.write_bytes(file.read_bytes() + b'{"block": 0, "tri')
    before = file.read_bytes()
    with pytest.raises(journal.JournalError, match="blocks was 6, is now 7"):
        journal.resume(tmp_path, FINGERPRINT | {"blocks": 7})
    assert file.read_bytes() == before


def test_variables_belong_to_the_fingerprint(monkeypatch):
    """A setting of the environment that changes times must not change in the middle."""
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    before = plan().fingerprint()
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    assert before["environment"]["MALLOC_ARENA_MAX"] == "1"
    assert plan().fingerprint()["environment"]["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert before != plan().fingerprint()


def test_journal_of_older_form_is_refused_in_words(tmp_path):
    """Whatever its fingerprint lacks is named."""
    journal.create(tmp_path, {"blocks": 6}).close()
    words = r"environment was not recorded, is now \{\"MALLOC_PERTURB_\": \"1\"\}"
    with pytest.raises(journal.JournalError, match=words):
        journal.resume(tmp_path, {"blocks": 6, "environment": {"MALLOC_PERTURB_": "1"}})


DAMAGED = {
    "no JSON": "rubbish",
    "no object": "[1, 2]",
    "a word for a number": json.dumps(RECORD | {"block": "first"}),
    "a word for a time": json.dumps(NEXT | {"block": 2, "spent": "long"}),
    "no results but text": json.dumps(RECORD | {"results": "none"}),
    "samples that are text": json.dumps(RECORD).replace("[[0.33", '["fast", [0.33'),
    "neither samples nor a reason": json.dumps(RECORD | {"results": {PAIR[0]: {"cost": 1.0}}}),
    "a trial that was not planned": json.dumps(RECORD | {"trial": "epoch[mlp-b128-cpu]"}),
    "a contestant that was not planned": json.dumps(RECORD).replace(PAIR[0], "somebody"),
    "a block that is there twice": json.dumps(NEXT),
    "two hundred thousand lists": "[" * 200_000,
}


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in DAMAGED.items()])
def test_damaged_line_is_named(tmp_path, line):
    """With its file, its number, what is wrong, and what to do; and nothing is changed."""
    begun = journal.create(tmp_path, FINGERPRINT)
    begun.append(NEXT)
    begun.close()
    file = begun.folder / "journal.jsonl"
    file.write_text(file.read_text() + line + "\n" + json.dumps({"dropped": []}) + "\n")
    before = file.read_bytes()
    with pytest.raises(journal.JournalError) as caught:
        journal.resume(tmp_path, FINGERPRINT)
    words = str(caught.value)
    assert re.match(re.escape(f"{file}, line 3: damaged (") + r".{8,200}\); to start afresh", words)
    assert f"delete {file.parent}" in words
    assert file.read_bytes() == before


def test_journal_without_a_fingerprint_is_named(tmp_path):
    """Its first line."""
    begun = journal.create(tmp_path, FINGERPRINT)
    begun.close()
    (begun.folder / "journal.jsonl").write_text('{"block": 1}\n')
    with pytest.raises(
        journal.JournalError, match=r"line 1: damaged .it does not begin with a fing"
    ):
        journal.resume(tmp_path, FINGERPRINT)


# A full disk


def test_record_that_cannot_be_forced_to_the_disk_is_taken_back(tmp_path, monkeypatch):
    """What was journaled before stays readable; the message says what to do."""
    begun = journal.create(tmp_path, FINGERPRINT)
    begun.append(RECORD)
    before = (begun.folder / "journal.jsonl").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            journal.JournalError, match=r"No space left on device; what was .* safe"
        ):
            begun.append(NEXT)
    assert (begun.folder / "journal.jsonl").read_bytes() == before
    assert begun.records[-1] == RECORD


def test_half_written_record_is_taken_back(tmp_path):
    """As where the disk has room for some bytes more; here the size of files is limited."""
    begun = journal.create(tmp_path, FINGERPRINT)
    before = (begun.folder / "journal.jsonl").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(journal.JournalError, match="File too large"):
            begun.append(RECORD)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (begun.folder / "journal.jsonl").read_bytes() == before


@contextmanager
def small_disk(folder, size):
    """A file system of this size at `folder`; skips where it cannot be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, text=True, check=False, timeout=LIMIT)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True, timeout=LIMIT)


def fill(folder):
    """Take all the space that is left; returns the file that takes it."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as space:
        for size in (2**20, 2**12):
            with suppress(OSError):
                while True:
                    space.write(b"x" * size)
    return file


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory):
    """A session whose disk fills up while it measures, and its resume once there is space."""
    with small_disk(tmp_path_factory.mktemp("full") / "disk", "24m") as disk:
        folder = copy_repository(disk)
        session = start(folder, *LONG)
        [place] = folders(folder)
        assert wait_for(lambda: (place / "journal.jsonl").read_bytes().count(b"\n") > 1)
        session.suspend()
        filler = fill(disk)
        session.resume()
        status = session.wait(LIMIT)
        found = {"status": status, "output": (folder / "output.txt").read_text()}
        found["kept"] = (place / "journal.jsonl").read_bytes()
        filler.unlink()
        found["resumed"] = run(folder, *LONG, "--resume")
        found["records"] = journals(folder)[-1]
        found["rows"] = saved(folder)["benchmarks"]
        yield found


@pytest.mark.slow
def test_full_disk_ends_the_session_in_words(full_disk):
    """Status 4, no traceback; the journal ends with a whole line."""
    assert full_disk["status"] == 4, full_disk["output"]
    assert "Traceback" not in full_disk["output"]
    assert full_disk["kept"].endswith(b"\n")


@pytest.mark.slow
def test_full_disk_costs_no_row(full_disk):
    """Once there is space again, --resume measures the rest, each block once."""
    assert full_disk["resumed"].returncode == 0, full_disk["resumed"].stdout
    assert len(full_disk["rows"]) == len(TRIALS)
    assert (
        len(set(measured(full_disk["records"])))
        == len(measured(full_disk["records"]))
        == BLOCKS * len(TRIALS)
    )


@pytest.mark.slow
def test_disk_that_is_full_at_the_end_loses_nothing(tmp_path):
    """A run that cannot be saved leaves no half file, says so, and is saved by --resume."""
    with small_disk(tmp_path / "disk", "24m") as disk:
        folder = copy_repository(disk)
        conftest = folder / "conftest.py"
        conftest.write_text(
            "import sys; sys.path.insert(0, '')\n"
            "def pytest_benchmark_update_json(config, benchmarks, output_json):\n"
            "    from pathlib import Path\n"
            "    with open('filler', 'wb', buffering=0) as file:\n"
            "        try:\n"
            "            while True:\n"
            "                file.write(b'x' * 512)\n"
            "        except OSError:\n"
            "            pass\n"
        )
        options = (*REFERENCE, "-k", "train_step", "--benchmark-autosave", "--report=page")
        ended = run(folder, *options)
        assert ended.returncode == 4, ended.stdout
        assert "Traceback" not in ended.stdout
        last = ended.stdout.strip().splitlines()[-1]
        assert "not saved: [Errno 28] No space left on device" in last
        assert "--resume" in last
        assert "Keras or PyTorch?" in ended.stdout
        assert list(folder.glob(".benchmarks/*/000*.json")) == []
        conftest.unlink()
        (folder / "filler").unlink()
        again = run(folder, *options, "--resume")
        assert again.returncode == 0, again.stdout
        assert len(saved(folder)["benchmarks"]) == len(TRIALS)


class Storage:
    """A folder of saved runs, as pytest-benchmark has one."""

    def __init__(self, folder):
        self.folder = folder

    def query(self):
        return sorted(self.folder.glob("*.json"))


def test_only_half_files_of_a_failed_save_are_removed(tmp_path):
    """What was there, what is whole, and what another session saved meanwhile stay."""
    before, also = tmp_path / "0001_old.json", tmp_path / "also"
    before.write_text('{"old": ')  # whatever it is, it was there before
    also.write_text("{}")
    storage = Storage(tmp_path)
    with pytest.raises(PermissionError), saving.no_halves(storage, also):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert also.read_text() == "{}"

    def save():
        also.write_text('{"whole": true}')
        (tmp_path / "0002_another.json").write_text("{}")
        (tmp_path / "0003_half.json").write_text('{"half": ')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space"), saving.no_halves(storage, also):
        save()
    assert [path.name for path in storage.query()] == ["0001_old.json", "0002_another.json"]
    assert also.read_text() == '{"whole": true}'


# Processes that say nothing


# Seconds that nobody else on this machine sleeps.
NAP = f"1234.{os.getpid()}"


@pytest.fixture
def silent(tmp_path):
    """An interpreter that never answers, and starts a process that never does."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nsleep {NAP} &\nwait\n")
    python.chmod(0o755)
    yield python
    assert survivors(asleep()) == []


def asleep():
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] == ["sleep", NAP]:
            found.append(process)
    return found


@pytest.mark.slow
def test_silent_interpreter_is_given_up(silent, monkeypatch):
    """Asked for its versions it has a limit, and leaves no process."""
    monkeypatch.setattr(environments, "ANSWER_LIMIT", 0.5)
    began = monotonic()
    with pytest.raises(EnvironmentProblem, match=r"python does not run as Python .*timed out"):
        environments.parse(str(silent))
    assert monotonic() - began < 10


@pytest.mark.slow
def test_silent_worker_is_given_up(silent, tmp_path, monkeypatch):
    """The start of a worker has a limit, which execnet has not, and leaves no process."""
    monkeypatch.setattr(workers, "INTERPRETER_LIMIT", 0.5)
    began = monotonic()
    with pytest.raises(
        WorkerError, match=r"no answer within 0.5 s: it does not run as Py"
    ) as caught:
        WorkerProcess("somebody", "cpu", 1, tmp_path, environments.local_spec(silent))
    assert caught.value.kind == "Unavailable"
    assert monotonic() - began < 10


@pytest.mark.slow
def test_a_probe_that_fails_ends_the_other_one(silent, monkeypatch):
    """Even if that one starts only afterwards."""

    def probe(environment, name):
        if environment == "bad":
            raise WorkerError("it does not run")
        sleep(0.5)
        process = subprocess.Popen([silent])
        process.wait(LIMIT)
        raise WorkerError("it was ended")

    monkeypatch.setattr(probes, "probe", probe)
    began = monotonic()
    with pytest.raises(WorkerError, match="it does not run"):
        probes.numbers("bad", "good", REFERENCE[0])
    assert monotonic() - began < 30


@pytest.mark.slow
def test_ssh_asks_for_nothing(tmp_path, monkeypatch):
    """It runs in batch mode, and a host that stays silent all the same is given up."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nsleep {NAP} &\nwait\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(workers, "INTERPRETER_LIMIT", 1.0)
    found = environments.parse("ssh=-p 22 host//python=python3")
    with pytest.raises(WorkerError, match="without asking for anything"):
        WorkerProcess("somebody", "cpu", 1, tmp_path, found.spec)
    assert (tmp_path / "asked").read_text().startswith("-C -oBatchMode=yes -p 22 host python3 -c")
    assert survivors(asleep()) == []


@pytest.mark.slow
@pytest.mark.parametrize("dead", [False, True])
def test_a_worker_ends_with_all_it_has_started(silent, dead):
    """Such as the ranks of a group, which would wait for each other for minutes."""
    process = subprocess.Popen([silent], process_group=0)
    assert wait_for(asleep)
    if dead:
        process.kill()
        process.wait(LIMIT)
    worker = object.__new__(WorkerProcess)
    worker.over, worker.pid, worker.group = Event(), process.pid, execnet.Group()
    worker.kill()
    process.wait(LIMIT)
    assert survivors(asleep()) == []


@pytest.mark.slow
def test_worker_that_stops_reading_is_given_up(tmp_path, monkeypatch):
    """More than a pipe holds cannot be sent to it; the sending has a limit, too."""
    worker = WorkerProcess("numpy_reference", "cpu", 1, tmp_path)
    monkeypatch.setattr(workers, "SEND_LIMIT", 0.5)
    psutil.Process(worker.pid).suspend()
    began = monotonic()
    with pytest.raises(WorkerError, match=r"no answer within 0.5 s") as caught:
        worker.send("take", "mlp", b"x" * 2**22)
    assert caught.value.fatal
    assert monotonic() - began < 20
    assert not psutil.pid_exists(worker.pid) or survivors([psutil.Process(worker.pid)]) == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_void_row_fails_its_test(operation):
    """Whatever it is void for."""
    test = getattr(import_module(f"benchmarks.test_{operation}"), f"test_{operation}")
    test(SimpleNamespace(void=[]))
    with pytest.raises(AssertionError, match="changed between blocks"):
        test(SimpleNamespace(void=["threads changed between blocks"]))


@pytest.mark.parametrize("module", ["benchmarks", "mnist_models", "examples", "tests", "tools"])
def test_no_process_is_waited_for_without_a_limit(module):
    """Whoever runs another program says how long it may take."""
    waiting = {"run", "check_call", "check_output", "call", "communicate"}
    found = []
    for path in Path(workers.ROOT, module).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            of, name = ast.unparse(node.func.value), node.func.attr
            waits = name in waiting and (of == "subprocess" or name == "communicate")
            if waits and "timeout" not in {keyword.arg for keyword in node.keywords}:
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


# Mixed settings


def entry(**facts):
    here = {"versions": {"numpy": "2.1"}, "python": "3.12.1", "in_force": {"threads": 1}}
    here |= {"conventions": SMOOTH}
    return {
        "facts": here | facts,
        "compilation": "eager",
        "recipe": {},
        "first_call_seconds": 0.5,
        "samples": [(1.0, 1.0)],
        "cost": 1.0,
    }


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"in_force": {"threads": 4}}, "threads changed between blocks (1 and 4)"),
        ({"versions": {"numpy": "2.2"}}, "numpy changed between blocks (2.1 and 2.2)"),
        ({"python": "3.12.2"}, "python changed between blocks (3.12.1 and 3.12.2)"),
        (
            {"in_force": {"threads": 1, "environment": {"OMP_NUM_THREADS": "2"}}},
            "OMP_NUM_THREADS changed between blocks (not set and 2)",
        ),
    ],
)
def test_row_of_mixed_settings_is_void(other, words):
    """A row has one set of settings, which is saved with it."""
    blocks = [entry(), entry(**other)]
    records = [
        {"block": i, "trial": str(STEP), "results": {PAIR[0]: one, PAIR[1]: entry()}}
        for i, one in enumerate(blocks)
    ]
    held = type("Held", (), {"session": "never", "records": records})()
    results = Results(plan(blocks=2), held)
    mixed, sound = (results.rows[STEP, name] for name in PAIR)
    assert not mixed.valid
    assert [reason for reason in mixed.void if reason.startswith(words)]
    assert sound.valid
    assert [row["reasons"] for row in results.void_records()] == [mixed.void]


# Little memory


NAMES = (*PAIR, "keras_torch", "numpy_reference")
GIB = 2**30


def test_what_workers_need_is_what_they_were_seen_to_take():
    """The recorded run's peaks fit, and no estimate is twice what was seen."""
    recorded = json.loads(gzip.decompress(RECORDED.read_bytes()))
    seen: dict[int, int] = {}
    for info in (row["extra_info"] for row in recorded["benchmarks"]):
        estimated = memory.peak(info["implementation"])
        seen[estimated] = max(seen.get(estimated, 0), info["peak_memory_bytes"])
    assert seen.keys() == {memory.MEBIBYTE * peak for peak in memory.PEAKS.values()}
    for estimated, most in seen.items():
        assert estimated / 2 < most <= estimated


@pytest.mark.parametrize(
    ("free", "environments", "out"),
    [
        (8.0, (), []),
        (4.3, (), ["numpy_reference"]),
        (2.5, (), ["keras_torch", "numpy_reference"]),
        (0.1, (), ["keras_torch", "numpy_reference"]),
        (5.0, ("old",), ["keras_torch", "numpy_reference"]),
        (0.1, ("old",), ["keras_torch", "numpy_reference"]),
    ],
)
def test_least_important_are_left_out_where_memory_is_short(free, environments, out):
    """The pair always stays, and with a baseline the pair in the first one, too."""
    names = [*NAMES, *(f"{name}@{e}" for e in environments for name in PAIR)]
    assert sorted(memory.too_many(names, environments, int(free * GIB))) == out


def test_without_the_pair_one_stays_where_memory_is_short():
    names = ["numpy_reference", "keras_jax", "keras_torch"]
    assert memory.too_many(names, (), int(0.1 * GIB)) == names[1:]


@pytest.mark.slow
def test_memory_is_what_the_container_may_take(tmp_path):
    """Of either version of control groups; its file cache gives way."""
    free = memory.available(tmp_path / "nowhere")
    assert free > 2**24
    (tmp_path / "memory.max").write_text(f"{2**24 + 2**20}\n")
    (tmp_path / "memory.current").write_text(f"{2**21}\n")
    (tmp_path / "memory.stat").write_text(f"anon 12\ninactive_file {2**20}\n")
    assert memory.available(tmp_path) == 2**24
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available(tmp_path) > 2**24
    old = tmp_path / "memory"
    old.mkdir()
    (old / "memory.limit_in_bytes").write_text(f"{2**23}\n")
    (old / "memory.usage_in_bytes").write_text("0\n")
    assert memory.available(tmp_path) == 2**23


SHORT_OF_MEMORY = """
from benchmarks.measuring import memory
memory.available = lambda: 1200 * 2**20
"""


def test_an_interrupted_run_is_no_baseline_by_itself():
    """A resume would otherwise compare the session with its own first half."""
    timed = SimpleNamespace(results=SimpleNamespace(here=list), verdicts={}, interrupted=True)
    assert saving.unfit_as_baseline(timed) == ["its session was interrupted"]
    timed.interrupted = False
    assert saving.unfit_as_baseline(timed) == []


@pytest.mark.parametrize(
    ("place", "error"), [(None, journal.JournalError), (SimpleNamespace(), HostLost)]
)
def test_a_full_disk_ends_a_session_here_and_loses_a_host_elsewhere(place, error):
    pool = WorkerPool(SimpleNamespace(plan=None, journal=None, progress=None), place)
    with pytest.raises(error, match="No space left on device"):
        pool.refuse_full_disk(WorkerError(f"OSError: {os.strerror(errno.ENOSPC)}"))
    pool.refuse_full_disk(WorkerError("another reason"))


@pytest.mark.slow
def test_session_leaves_out_what_does_not_fit(tmp_path):
    """The pair is measured; the others are dropped, in words, at once and in the panel."""
    folder = copy_repository(tmp_path, {"another": ""})
    (folder / "conftest.py").write_text(SHORT_OF_MEMORY)
    ended = run(folder, "benchmarks", "--device=cpu", "-k", "train_step")
    assert ended.returncode == 0, ended.stdout
    assert "2 passed, 2 skipped" in ended.stdout
    text = flat(ended.stdout)
    words = "dropped because memory is short (4 workers need 2.7 GiB, 1.2 GiB are free; end other"
    assert text.count(words) >= 2
    assert {name for _, _, name in measured(journals(folder)[-1])} == {*PAIR}


@pytest.mark.slow
def test_a_worker_outlives_the_thread_that_started_it(tmp_path):
    """Linux would end it with that thread, where it has asked to be ended with its parent."""
    for _ in range(3):
        worker = WorkerProcess("numpy_reference", "cpu", 1, tmp_path)
        try:
            [starter] = [one for one in enumerate_threads() if one.name.endswith("(run)")][-1:]
            assert starter.is_alive()
            info = worker.ask("start", "numpy_reference", "cpu", 1, "float32", limit=60)
            assert info["versions"]
        finally:
            worker.kill()
        starter.join(10)
        assert not starter.is_alive()
