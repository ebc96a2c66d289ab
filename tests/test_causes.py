"""Causes of a number: each is counted, and is said when it is there and only then."""

import gc
import mmap
import threading
from time import perf_counter, sleep, thread_time

import pytest

from benchmarks import causes
from benchmarks.causes import Counts
from benchmarks.measuring.environments import STEADY
from benchmarks.measuring.results import Row
from benchmarks.trial import Trial
from mnist_models.counters import Counters

QUIET = Counts(seconds=0.01, counted={"waits": 0.2, "preemptions": 0.01})


def during(work):
    counters = Counters()
    before, began = counters.read(None), perf_counter()
    work()
    seconds = perf_counter() - began
    after = counters.read(None)
    gc.callbacks.remove(counters.collect)
    counted = {name: after[name] - before[name] for name in after}
    return Counts(seconds, counted, threads=counters.threads_that_ran() or 0)


def named(counts):
    return [one.cause for one in causes.findings(counts)]


def touch_pages():
    for _ in range(50):
        with mmap.mmap(-1, 4_000_000) as memory:
            memory[::4096] = b"x" * len(range(0, 4_000_000, 4096))


def leave_garbage():
    kept = [[] for _ in range(200_000)]
    for one in kept:
        one.append(one)
    gc.collect()


def hand_over():
    # A sleep ends at a moment that Python computes before it; a process that loses its CPU in
    # between does not wait any more. So there are more sleeps than waits to count.
    for _ in range(250):
        sleep(0.0005)


def test_quiet_row_has_no_cause():
    assert causes.findings(QUIET) == []


def test_page_faults_are_counted_and_said():
    """The planted fault: memory that is mapped, touched and given back, again and again."""
    # Beside other tests, the kernel takes twice as long for a page now and then.
    counts = min((during(touch_pages) for _ in range(3)), key=lambda one: one["kernel_seconds"])
    assert counts["minor_faults"] > 10_000
    [found] = [one for one in causes.findings(counts) if one.cause == "page faults"]
    assert "to clear memory" in found.words
    assert "MALLOC_TRIM_THRESHOLD_" in found.remedy


def test_page_faults_have_no_remedy_where_it_is_in_force():
    counts = Counts(0.01, {"minor_faults": 900, "kernel_seconds": 0.002}, environment=STEADY)
    assert [(one.cause, one.remedy) for one in causes.findings(counts)] == [("page faults", "")]


def test_garbage_collection_is_counted_and_said():
    counts = during(leave_garbage)
    assert counts["collections"] >= 1
    assert "garbage collection" in named(counts)


def test_waits_are_counted():
    counts = during(hand_over)
    assert counts["waits"] >= 200


def test_threads_that_ran_are_counted():
    stop, done = threading.Event(), threading.Barrier(4)

    def spin():
        while thread_time() < 0.05:
            pass
        done.wait(60)
        stop.wait(60)

    held = Counters()
    alive = [threading.Thread(target=spin) for _ in range(3)]
    for thread in alive:
        thread.start()
    done.wait(60)
    found = held.threads_that_ran()
    gc.callbacks.remove(held.collect)
    stop.set()
    if found is None:
        pytest.skip("this kernel keeps no count of threads' CPU time")
    assert found >= 3


@pytest.mark.parametrize(
    ("planted", "cause"),
    [
        ({"counted": {"minor_faults": 2000, "kernel_seconds": 0.002}}, "page faults"),
        ({"counted": {"minor_faults": 3, "kernel_seconds": 0.002}}, "kernel time"),
        # An epoch's: too few faults for so much time.
        ({"seconds": 3.0, "counted": {"minor_faults": 900, "kernel_seconds": 0.6}}, "kernel time"),
        ({"counted": {"compilations": 1.0}}, "compilations"),
        ({"counted": {"gc_seconds": 0.001}}, "garbage collection"),
        ({"off_cpu": 0.2, "counted": {"waits": 2.0}}, "waiting"),
        ({"off_cpu": 0.2, "counted": {"waits": 2.0}, "others": 0.15}, "lost CPU"),
        ({"off_cpu": 0.2, "others": 0.2}, "lost CPU"),
        ({"stolen": 0.2}, "stolen time"),
    ],
)
def test_each_cause_is_said_where_it_matters(planted, cause):
    row = {"seconds": 0.01, "counted": {}} | planted
    assert named(Counts(**row)) == [cause]


@pytest.mark.parametrize(
    "planted",
    [
        {"counted": {"minor_faults": 9, "kernel_seconds": 0.0009}},
        {"counted": {"minor_faults": 2000, "kernel_seconds": 0.002}, "measured": 0.3},
        {"counted": {"waits": 2.0, "kernel_seconds": 0.002}, "measured": 0.3},
        {"counted": {"minor_faults": 2000, "kernel_seconds": 0.0004}},
        {"counted": {"compilations": 0.01}},
        {"counted": {"gc_seconds": 0.0001}},
        {"off_cpu": 0.05},
        {"counted": {"preemptions": 9.0}},
        {"stolen": 0.02},
        {"off_cpu": 0.05, "others": 0.05},
    ],
)
def test_no_cause_is_said_below_its_limit(planted):
    row = {"seconds": 0.01, "counted": {}} | planted
    assert named(Counts(**row)) == []


def test_what_takes_most_comes_first():
    counted = {"minor_faults": 900, "kernel_seconds": 0.001, "gc_seconds": 0.003}
    assert named(Counts(0.01, counted)) == ["garbage collection", "page faults"]


def test_rows_from_before_anything_was_counted_have_no_counts():
    assert Counts.of({"extra_info": {}, "stats": {"data": [1.0]}}) is None


def record(samples, iterations=1, **info):
    """A row as it is saved, from its samples of (wall, CPU) seconds."""
    entry = {"samples": samples, "counted": {"waits": [2.0] * len(samples)}, "foreign_cpu": 0.15}
    trial = Trial.parse("train_step[mlp-b128-cpu]")
    row = Row(trial, "keras_tensorflow", {0: entry | {"iterations": iterations}})
    place = {"operation": "train_step", "in_force": {"threads": 1}, "device": "cpu"}
    return {"extra_info": row.counters() | place | info, "stats": {"data": row.samples()}}


def test_counters_of_a_row_are_all_that_causes_need():
    """What the panel gives to the causes before anything is saved."""
    assert named(Counts.of(record([(0.01, 0.008)]))) == ["lost CPU"]


def test_one_sample_in_three_is_no_cause():
    """Times are medians, and so is the share of them that is lost."""
    assert named(Counts.of(record([(0.01, 0.01), (0.05, 0.01), (0.01, 0.01)]))) == []


@pytest.mark.parametrize("other", [{"in_force": {"threads": 2}}, {"device": "gpu"}])
def test_time_off_the_cpu_means_nothing_beside_other_threads_or_a_gpu(other):
    assert Counts.of(record([(0.01, 0.005)], **other)).off_cpu == 0.0


def test_cpu_time_is_that_of_all_operations():
    assert Counts.of(record([(0.01, 0.008), (0.01, 0.006)], iterations=5)).measured == 0.07
