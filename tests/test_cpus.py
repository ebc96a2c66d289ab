"""Which CPUs are chosen on machines that are described in a folder, and who else uses them."""

import os
import subprocess
import sys
import threading
from math import inf
from time import sleep
from types import SimpleNamespace

import pytest

from benchmarks.comparing.verdicts import HEAVY
from benchmarks.measuring import load
from benchmarks.measuring.pool import WorkerPool
from benchmarks.trial import Trial
from mnist_models import counters, cpus, worker
from mnist_models.counters import Spent
from mnist_models.neighbour import neighbour
from mnist_models.operations import OPERATIONS
from mnist_models.parallel import MOST

# Machines. A CPU is (core, siblings), and may have a capacity or a clock.


def machine(listed, atom="", **files):
    """{path: text} under /sys/devices of CPUs whose sibling lists are `listed`, by number.

    `files` are {CPU: text} of a file of each CPU, by its name with / as __.
    """
    found = {
        f"system/cpu/cpu{cpu}/topology/thread_siblings_list": text for cpu, text in listed.items()
    }
    for name, texts in files.items():
        for cpu, text in texts.items():
            found[f"system/cpu/cpu{cpu}/{name.replace('__', '/')}"] = str(text)
    return found | ({"cpu_atom/cpus": atom} if atom else {})


ALONE = machine({cpu: str(cpu) for cpu in range(4)})
ADJACENT = machine({cpu: f"{cpu - cpu % 2}-{cpu - cpu % 2 + 1}" for cpu in range(8)})
SPLIT = machine({cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)})
# Four performance cores with two threads each, then four efficiency cores.
HYBRID = machine(
    {cpu: f"{cpu - cpu % 2}-{cpu - cpu % 2 + 1}" for cpu in range(8)}
    | {cpu: str(cpu) for cpu in range(8, 12)},
    atom="8-11",
)
ARM = machine(
    {cpu: str(cpu) for cpu in range(8)},
    cpu_capacity={cpu: 1024 if cpu < 4 else 446 for cpu in range(8)},
)
FAVOURED = machine(
    {cpu: str(cpu) for cpu in range(4)},
    cpufreq__cpuinfo_max_freq={0: 5000000, 1: 5200000, 2: 5000000, 3: 5000000},
)
# Two sockets whose cores have the same numbers, of a kernel that lists no siblings.
SOCKETS = machine(
    {},
    topology__core_id={0: 0, 1: 0, 2: 0, 3: 0},
    topology__physical_package_id={0: 0, 1: 1, 2: 0, 3: 1},
)


@pytest.mark.parametrize(
    ("files", "allowed", "threads", "workers", "controller"),
    [
        pytest.param({}, range(4), 1, [3], [0, 1, 2], id="nothing is known"),
        pytest.param({}, range(2), 1, [1], [0], id="two CPUs"),
        pytest.param({}, range(1), 1, [0], [0], id="one CPU"),
        pytest.param({}, range(4), 4, [0, 1, 2, 3], [0, 1, 2, 3], id="all CPUs"),
        pytest.param(ALONE, range(4), 3, [1, 2, 3], [0], id="no siblings"),
        pytest.param(ADJACENT, range(8), 3, [3, 5, 7], [0, 1], id="adjacent siblings"),
        pytest.param(SPLIT, range(8), 3, [5, 6, 7], [0, 4], id="split siblings"),
        pytest.param(SPLIT, range(8), 4, [4, 5, 6, 7], [0, 1, 2, 3], id="all cores"),
        pytest.param(SPLIT, range(8), 5, [3, 4, 5, 6, 7], [0, 1, 2], id="more than cores"),
        pytest.param(SPLIT, (0, 4), 1, [4], [0], id="one core with two threads"),
        pytest.param(HYBRID, range(12), 3, [3, 5, 7], [0, 1, 8, 9, 10, 11], id="P before E"),
        pytest.param(HYBRID, range(12), 5, [1, 3, 5, 7, 11], [8, 9, 10], id="E after P"),
        pytest.param(HYBRID, (9, 10, 11), 1, [11], [9, 10], id="E alone"),
        pytest.param(ARM, range(8), 3, [1, 2, 3], [0, 4, 5, 6, 7], id="little cores last"),
        pytest.param(FAVOURED, range(4), 1, [1], [0, 2, 3], id="the fastest clock"),
        pytest.param(SOCKETS, range(4), 1, [3], [0, 2], id="two sockets"),
        pytest.param(SPLIT, (1, 2, 5, 7), 2, [5, 7], [2], id="a container's CPUs"),
        pytest.param(SPLIT, (0, 2, 3), 2, [2, 3], [0], id="offline siblings"),
    ],
)
def test_workers_get_fast_physical_cores(tmp_path, files, allowed, threads, workers, controller):
    """A core for each thread, the best first; what no worker's core has a part in is the rest's."""
    plant(tmp_path, files)
    assert cpus.share(threads, allowed, tmp_path) == (workers, controller)


def plant(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("files", "allowed", "threads"),
    [
        ({}, range(1), 1),
        ({}, range(4), 3),
        (ALONE, range(4), 3),
        (ADJACENT, range(8), 3),
        (SPLIT, (0, 4), 1),
        (HYBRID, range(12), 3),
        (HYBRID, range(8, 12), 3),
        (ARM, range(8), 3),
        (FAVOURED, range(4), 3),
        (machine({}, cpu_capacity={0: 1024, 1: 1024}), range(8), 7),
    ],
)
def test_default_threads_are_fast_physical_cores_but_one(tmp_path, files, allowed, threads):
    """Neither a second hyper-thread nor an efficiency core makes a thread more."""
    plant(tmp_path, files)
    assert cpus.default_threads(allowed, tmp_path, tmp_path) == threads


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, inf),
        ({"cpu.max": "max 100000"}, inf),
        ({"cpu.max": "250000 100000"}, 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, inf),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ({"cpu.max": "nonsense"}, inf),
    ],
)
def test_a_containers_quota_limits_the_threads(tmp_path, files, expected):
    """The kernel halts a container that computes on more CPUs than it paid for."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpus.quota(tmp_path) == expected
    threads = cpus.default_threads(range(64), tmp_path / "nowhere", tmp_path)
    assert threads == {inf: 63, 2.5: 1, 4.0: 3}[expected]


def test_a_session_knows_its_cpus_where_it_is_bound_to_few(monkeypatch):
    """Whoever is bound leaves the number of all of them to what it starts."""
    monkeypatch.delenv(cpus.INHERITED, raising=False)
    assert cpus.inherited() == cpus.available()
    monkeypatch.setenv(cpus.INHERITED, "0,2-3")
    assert cpus.inherited() == [0, 2, 3]
    cpus.keep_inherited()
    assert cpus.inherited() == [0, 2, 3]


@pytest.mark.skipif(len(cpus.inherited()) < 2, reason="one CPU: there is nothing to choose")
class TestBinding:
    """On this machine, in threads of this process."""

    @pytest.fixture(autouse=True)
    def all_cpus(self):
        """Also where xdist's processes keep to one."""
        with cpus.bound(cpus.inherited()):
            yield

    def bound(self):
        return [os.sched_getaffinity(int(task.name)) for task in cpus.TASKS.iterdir()]

    def test_controller_is_kept_off_the_workers_for_a_while(self):
        """All its threads are, a progress bar's too, and afterwards none is."""
        stop, before = threading.Event(), os.sched_getaffinity(0)
        thread = threading.Thread(target=stop.wait)
        thread.start()
        workers, controller = cpus.share(1)
        with cpus.bound(controller):
            inside = self.bound()
        after = self.bound()
        stop.set()
        thread.join()
        assert len(inside) > 1
        assert all(not found & {*workers} for found in inside)
        assert {frozenset(found) for found in after} == {frozenset(before)}

    def test_worker_says_which_cpus_it_is_bound_to(self):
        """Those that `share` gives workers, by number."""
        before = cpus.available()
        try:
            assert worker.bind(1) == cpus.share(1, before)[0] == cpus.available()
        finally:
            cpus.bind(before)


# Who else uses them


STAT = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 100 20 30 1000 50 1 2 3 40 5
cpu3 200 0 0 1000 50 0 0 0 0 0
intr 1 2 3
"""


def test_busy_seconds_go_by_the_cpus_numbers(tmp_path):
    """A CPU that is offline is left out of /proc/stat, and moves no other to its place."""
    (tmp_path / "stat").write_text(STAT)
    tick = os.sysconf("SC_CLK_TCK")
    assert counters.cpu_seconds(tmp_path / "stat") == {
        0: (156 / tick, 3 / tick),
        3: (200 / tick, 0.0),
    }
    assert counters.cpu_seconds(tmp_path / "nothing") == {}


def test_meter_knows_nothing_of_a_cpu_that_is_not_listed(monkeypatch):
    """As under lxcfs, which lists a container's CPUs under other numbers: unknown, in words."""
    times = SimpleNamespace(user=1.0, nice=0.0, system=0.0, irq=0.0, softirq=0.0, steal=0.0)
    monkeypatch.setattr("psutil.cpu_times", lambda percpu: [times])
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {4096, 4097})
    meter = load.Meter([], cpus.share(2)[0])
    assert meter.foreign() is None
    assert load.unknown(cpus.share(2)[0]) == "/proc/stat does not list CPU 4096, 4097"


def test_meter_sees_what_others_do(monkeypatch):
    """The busy time of the workers' CPUs that is not the workers' own."""
    readings = iter([{0: Spent(1.0, 0.0), 3: Spent(5.0, 2.0)}, *[{3: Spent(5.5, 2.2)}] * 2])
    moments = iter([10.0, 12.0, 12.0])
    monkeypatch.setattr(load, "cpu_seconds", lambda: next(readings))
    monkeypatch.setattr(load, "monotonic", lambda: next(moments))
    meter = load.Meter([], [3])
    assert meter.foreign() == 0.25
    assert meter.stolen() == pytest.approx(0.1)


def test_a_worker_that_ends_makes_the_load_unknown(monkeypatch):
    """What it took after the first reading is told by nobody."""
    monkeypatch.setattr(load, "cpu_seconds", lambda: {0: Spent(5.0, 0.0)})
    readings = iter([{1: 400.0, 2: 7.0}, {1: 401.0}])
    monkeypatch.setattr(load.Meter, "own_busy", lambda self: next(readings))
    assert load.Meter([1, 2], [0]).foreign() is None


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["latency", "data_parallel"])
def test_work_on_other_cpus_hides_no_stranger(operation):
    """A worker's neighbour keeps one CPU busy, and a stranger the one that the worker needs."""
    if len(cpus.available()) < 2 or not counters.STAT.exists():
        pytest.skip("needs two CPUs, and /proc/stat")
    theirs, _ = cpus.share(1)
    pool = SimpleNamespace(place=None, workers={"a": SimpleNamespace(pid=os.getpid())})
    hog = f"import os\nos.sched_setaffinity(0, {set(theirs)})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", hog], stdout=subprocess.PIPE) as stranger:
        try:
            stranger.stdout.readline()
            trial = Trial(operation, "mlp", 1, "cpu")
            meter = WorkerPool.meter(pool, trial, [], theirs)
            with neighbour(theirs):
                sleep(1.0)
            foreign = meter.foreign()
        finally:
            stranger.kill()
    assert foreign > HEAVY


def test_the_cpus_that_are_watched_are_those_in_use(monkeypatch):
    """On a large machine, strangers on all other CPUs do not matter."""
    monkeypatch.setattr(cpus, "inherited", lambda: [*range(64)])
    every = {trial: OPERATIONS[trial].cpus([63]) for trial in ("forward", "latency")}
    assert every["forward"] == [63]
    assert len(every["latency"]) == 2
    assert 63 in every["latency"]
    assert len(OPERATIONS["data_parallel"].cpus([63])) == MOST


@pytest.mark.slow
def test_what_a_worker_starts_is_its_own():
    """A start is a process of a worker: its CPU time is nobody else's."""
    meter = load.Meter([os.getpid()], cpus.available())
    before = meter.own_busy()[os.getpid()]
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", busy], check=True, timeout=60)
    assert meter.own_busy()[os.getpid()] - before > 0.15
