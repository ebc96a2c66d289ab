"""Long measurements behind claims in the docs: `python -m tools.evidence KIND`.

epochs      when an epoch's weights are trained and when its call returns, beside its steps' sum
overhead    our clock's seconds per training step against a bare loop over the same step
idiom       our epochs and steps against the loops in each framework's own documentation
cold        a start whose files must come from the disk against one that has them in the file cache
identical   A/A: an implementation against its own copy; how far the median ratio strays from 1

Ratios are medians over alternations in one process (identical: over blocks of a real session).
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.comparing.ratios import ratio
from benchmarks.comparing.records import samples
from benchmarks.measuring.workers import ROOT, variables_of
from benchmarks.numbers import whole
from mnist_models import data, exports, implementations, networks, recipe, weights
from mnist_models.implementations import PAIR
from mnist_models.operations import TRAIN_STEP
from mnist_models.start import start
from mnist_models.worker import Worker

Timer = Callable[[], float]


def ready_worker(name: str, architecture: str, threads: int, dataset: str | None) -> Worker:
    """A worker in this very process, with its first calls behind it."""
    worker = Worker()
    worker.start(name, "cpu", threads, "float32")
    worker.read(str(data.load(dataset).folder))
    start = weights.to_bytes(weights.initial(networks.load(architecture), 0))
    worker.take(architecture, recipe.DEFAULT.record(), "float32", start)
    worker.first_call("train_step")
    worker.first_call("epoch")
    return worker


def alternate(ours: Timer, other: Timer, times: int) -> tuple[float, float, float]:
    """Median, smallest and largest of ours / other, measured in turns whose order is random."""
    ratios = []
    for _ in range(times):
        pair = [(0, ours), (1, other)]
        random.shuffle(pair)
        seconds = {index: timer() for index, timer in pair}
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios), min(ratios), max(ratios)


def seconds_of(call: Callable[[], Any], synchronize: Callable[[], None]) -> float:
    """Seconds of one call, with nothing of the suite in between."""
    synchronize()
    began = perf_counter()
    call()
    synchronize()
    return perf_counter() - began


def overhead(name: str, architecture: str, threads: int, times: int, dataset: str | None) -> None:
    """Our clock against a bare loop, both over the same batches from the same weights."""
    worker = ready_worker(name, architecture, threads, dataset)
    step, batches = worker.trainer.train_step, worker.prepared()
    count = len(batches)

    def loop() -> None:
        for images, labels in batches:
            step(images, labels)

    def bare() -> float:
        worker.trainer.reset()
        loop()
        return seconds_of(loop, worker.trainer.synchronize) / count

    def clocked() -> float:
        worker.trainer.reset()
        loop()
        return worker.clock(TRAIN_STEP.bind(worker), count)[0]

    report(f"{name} {architecture} train_step: our clock / bare loop", clocked, bare, times)


def cold(name: str, architecture: str, threads: int, times: int, dataset: str | None) -> None:
    """A start with the packages' files out of the file cache, against one with them in it.

    No process that has mapped them may run meanwhile: what is mapped stays.
    """
    of = metadata.packages_distributions()
    needs = {found for package in implementations.packages(name) for found in of.get(package, ())}
    files = exports.installed_files(needs)
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}

    def begun(how: str) -> float:
        if how == "cold":
            forget({path.parent for path in files})
        found = start(name, architecture, recipe.DEFAULT.record(), "cpu", threads)
        seconds[how].append(found.moments["predicted"])
        return seconds[how][-1]

    begun("warm")
    title = f"{name} {architecture} start to first prediction: cold / warm"
    report(title, lambda: begun("cold"), lambda: begun("warm"), times)
    for how, every in seconds.items():
        print(f"{name} {how}: {statistics.median(every):.2f} s")


def forget(folders: Iterable[Path]) -> None:
    """Ask the kernel to drop these folders' files, with their bytecode, from its cache."""
    for folder in folders:
        for path in (*folder.glob("*"), *folder.glob("__pycache__/*")):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def epochs(name: str, architecture: str, threads: int, times: int, dataset: str | None) -> None:
    """The two moments of each epoch, and what as many training steps take right after it."""
    worker = ready_worker(name, architecture, threads, dataset)
    count, size = len(worker.labels), worker.batch_size
    order = weights.order(count, 0)
    burst = TRAIN_STEP.iterations(worker)
    for number in range(1, times + 1):
        worker.trainer.reset()
        (trained, _), returned = worker.run_epoch(order)
        bursts = [TRAIN_STEP.sample(worker, burst)["seconds"] for _ in range(20)]
        steps = statistics.median(bursts) * count / size
        print(
            f"{name} {architecture} epoch {number}: trained {trained:.2f} s, "
            f"returned {returned:.2f} s; steps {steps:.2f} s, ratio {trained / steps:.2f}",
            flush=True,
        )


def idiom(name: str, architecture: str, threads: int, times: int, dataset: str | None) -> None:
    """Our epochs and steps against the plain loops of each framework's documentation."""
    worker = ready_worker(name, architecture, threads, dataset)
    trainer, size = worker.trainer, worker.batch_size
    order = weights.order(len(worker.labels), 0)
    images, labels = worker.training_set()

    def epoch() -> float:
        trainer.reset()
        _, returned = worker.run_epoch(order)  # as the loops below, which know no other moment
        return returned

    def against(call: Callable[[], Any]) -> Timer:
        def timer() -> float:
            trainer.reset()
            return seconds_of(call, trainer.synchronize)

        return timer

    plain = {"keras_tensorflow": keras_loops, "pytorch_eager": pytorch_loops}[name]
    for title, loop in plain(worker, images, labels, size).items():
        ours = epoch
        if "train_on_batch" in title:
            count = len(worker.labels) // size
            worker.prepared()

            def ours(count: int = count) -> float:
                trainer.reset()
                return worker.clock(TRAIN_STEP.bind(worker), count)[0] * count

        report(f"{name} {architecture}: ours / {title}", ours, against(loop), times)


def pytorch_loops(worker: Worker, images: Any, labels: Any, size: int) -> dict[str, Any]:
    """The training loop of PyTorch's tutorials, over a loader and over tensors in memory."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    model, loss_fn, optimizer = worker.trainer.model, worker.trainer.loss, worker.trainer.optimizer

    def train(batches: Any) -> None:
        for x, y in batches:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()

    def shuffled() -> None:
        order = torch.randperm(len(images))
        train((images[i], labels[i]) for i in order.split(size))

    def in_order() -> None:
        train(zip(images.split(size), labels.split(size), strict=True))

    loader = DataLoader(TensorDataset(images, labels), batch_size=size, shuffle=True)
    return {
        "DataLoader(TensorDataset)": lambda: train(loader),
        "resident tensors, shuffled": shuffled,
        "resident tensors, as they lie": in_order,
    }


def keras_loops(worker: Worker, images: Any, labels: Any, size: int) -> dict[str, Any]:
    """`fit` on NumPy arrays as in Keras's guides, and a plain loop of `train_on_batch`."""
    model = worker.trainer.model
    x, y = data.preprocess(worker.images), worker.labels.astype("int64")
    batches = worker.prepared()

    def loop() -> None:
        count = len(y) // size
        walk = (batches[i % len(batches)] for i in range(count))
        for inputs, targets in walk:
            model.train_on_batch(inputs, targets)

    return {
        "fit": lambda: model.fit(x, y, batch_size=size, verbose=0),
        "fit(shuffle=False)": lambda: model.fit(x, y, batch_size=size, shuffle=False, verbose=0),
        "train_on_batch": loop,
    }


def report(title: str, ours: Timer, other: Timer, times: int) -> None:
    """Print one line of evidence."""
    ours(), other()
    median, low, high = alternate(ours, other, times)
    print(f"{title}: {median:.4f} (from {low:.3f} to {high:.3f}, {times} alternations)", flush=True)


def identical(name: str, architecture: str, threads: int, times: int, dataset: str | None) -> None:
    """A/A sessions of `name` against its own copy; prints each session's ratio and interval."""
    twin = f"{name}_copy"
    inside = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "copy")
        for package in ("benchmarks", "mnist_models"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, root / package, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", root)
        sources = root / "mnist_models" / "implementations"
        shutil.copy(sources / f"{name}.py", sources / f"{twin}.py")
        for session in range(times):
            saved = root / f"{session}.json"
            chosen = f"--implementation={name} --implementation={twin}".split()
            where = f"--architecture={architecture} --device=cpu --threads={threads}".split()
            command = ["-m", "pytest", "benchmarks", "-k", "train_step", *chosen, *where]
            command.append(f"--dataset={data.load(dataset).folder}")
            output = subprocess.run(
                [sys.executable, *command, f"--benchmark-json={saved}"],
                cwd=root,
                env=os.environ | {"PYTHONPATH": ""},
                capture_output=True,
                text=True,
                timeout=3600,
            )
            if output.returncode:
                raise SystemExit(output.stdout)
            first, second = map(samples, json.loads(saved.read_text())["benchmarks"])
            found = ratio(first, second)
            inside += 0.98 <= found.value <= 1.02
            interval = f"no interval from {found.blocks} block(s)"
            if found.low is not None:
                interval = f"[{found.low:.4f}, {found.high:.4f}]"
            print(
                f"session {session + 1}: {found.value:.4f} {interval}, "
                f"called: {found.winner is not None}; within 2 %: {inside} of {session + 1}",
                flush=True,
            )


KINDS = {"epochs": epochs, "overhead": overhead, "idiom": idiom, "cold": cold}


def main() -> None:
    """Run one kind of evidence; each implementation in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tools.evidence", description=__doc__)
    parser.add_argument("kind", choices=(*KINDS, "identical"))
    parser.add_argument("--implementation", choices=implementations.names())
    parser.add_argument("--architecture", choices=networks.names(), default="mlp")
    parser.add_argument("--threads", type=whole, default=1)
    parser.add_argument("--times", type=whole, default=20, help="alternations, or sessions")
    parser.add_argument("--dataset", help="as for pytest benchmarks")
    options = parser.parse_args()
    if options.kind == "idiom" and options.implementation not in (None, *PAIR):
        parser.error(f"--implementation {options.implementation}: idiom knows {', '.join(PAIR)}")
    if options.implementation is None:
        for name in PAIR:
            subprocess.run(
                [sys.executable, *sys.orig_argv[1:], "--implementation", name],
                check=True,
                timeout=3600,
            )
        return
    settings = (
        options.implementation,
        options.architecture,
        options.threads,
        options.times,
        options.dataset,
    )
    if options.kind == "identical":
        return identical(*settings)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= variables_of("cpu", options.threads, Path(folder), "")
        KINDS[options.kind](*settings)


if __name__ == "__main__":
    main()
