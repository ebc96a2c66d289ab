"""Commands beside `pytest benchmarks`: check this machine, explain times, compare releases."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.comparing.curves import ARMS
from benchmarks.comparing.saved import RunError
from benchmarks.measuring import hosts
from benchmarks.measuring.environments import EnvironmentProblem
from benchmarks.measuring.hosts import HostLost
from benchmarks.measuring.journal import JournalError
from benchmarks.measuring.workers import WorkerError
from benchmarks.numbers import real, whole
from mnist_models import cpus, data, implementations, networks
from mnist_models.implementations import PAIR

DATASET_HELP = "as for pytest benchmarks"
# What pytest calls a usage error.
USAGE_ERROR = 4
# As shells call a program that Ctrl-C ended.
INTERRUPTED = 130
PROBLEMS = (
    *(data.DataError, EnvironmentProblem, HostLost, JournalError, OSError, RunError),
    WorkerError,
)


def doctor(options: argparse.Namespace) -> int:
    """Check this machine, and say what to fix."""
    from benchmarks.commands.doctor import examine

    return examine(options.dataset)


def calibrate(options: argparse.Namespace) -> int:
    """Redo the accuracy bounds of a data set."""
    from benchmarks.commands.calibrate import calibrate as run

    if options.seeds < 2:
        raise ValueError(f"--seeds {options.seeds}: at least 2, for a standard deviation")
    if options.batch_size < 1:
        raise ValueError(f"--batch-size {options.batch_size}: at least 1")
    run(
        data.load(options.dataset),
        options.architecture or networks.names(),
        options.batch_size,
        options.seeds,
        options.threads,
    )
    return 0


def check_experiment(options: argparse.Namespace, **least: int) -> None:
    """Raise ValueError where a number is below its `least`, or the output is no file."""
    for name, number in least.items():
        if getattr(options, name) < number:
            raise ValueError(f"--{name} {getattr(options, name)}: at least {number}")
    if options.output.is_dir():
        raise ValueError(f"--output {options.output}: is a folder; give a file, which may be new")
    options.output.parent.mkdir(parents=True, exist_ok=True)


def messages() -> Any:
    """Where experiments say how far they are: beside what they print."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def learn(options: argparse.Namespace) -> int:
    """Learning curves of the pair over many seeds, and who learns better."""
    from benchmarks.commands.learn import learn as run
    from benchmarks.reporting.learning import table

    check_experiment(options, seeds=2, epochs=1)
    networks_chosen = options.architecture or list(networks.names())
    arms = options.arm or ["equal", "own"]
    dataset = data.load(options.dataset)
    print(table(run(dataset, networks_chosen, arms, options.seeds, options.epochs, options.output)))
    return 0


def defaults(options: argparse.Namespace) -> int:
    """What both frameworks do by default, and what another environment does otherwise."""
    from benchmarks.commands.defaults import run

    return run(options.against, options.write)


def explain(options: argparse.Namespace) -> int:
    """Measure which settings and mistakes change the times, and which reverse the verdict."""
    from benchmarks.commands.explain import chosen, chosen_trials
    from benchmarks.commands.explain import explain as run
    from benchmarks.reporting.explained import table, turned

    check_experiment(options, blocks=1, rounds=1)
    trials, knobs = chosen_trials(options.trial), chosen(options.knob)
    dataset, console = data.load(options.dataset), messages()
    settings = options.blocks, options.rounds, options.output, console
    found = run(dataset, trials, knobs, *settings)
    print(table(found))
    print("\nThese reverse the verdict:\n\n" + "\n".join(turned(found)))
    return 0


def maker(options: argparse.Namespace, console: Any) -> Any:
    """What makes environments for an experiment, as the options say; raises ValueError."""
    from benchmarks.measuring.making import GIGABYTE, Maker

    if options.disk <= 0:
        raise ValueError(f"--disk {options.disk:g}: must be above 0, in GB")
    return Maker(options.environments, int(options.disk * GIGABYTE), console.print)


def museum(options: argparse.Namespace) -> int:
    """Check that the comparison of two environments finds known changes between releases."""
    from benchmarks.commands.museum import exhibits, right, shown
    from benchmarks.commands.museum import museum as run

    check_experiment(options)
    chosen = exhibits(options.name)
    console = messages()
    dataset = data.load(options.dataset)
    found = run(dataset, chosen, maker(options, console), options.output, console)
    print(shown(chosen, found))
    seen = {one.name: one for one in found.seen}
    return int(not all(right(exhibit, seen[exhibit.name]) for exhibit in chosen))


def bisect(options: argparse.Namespace) -> int:
    """Which package, and which release of it, made the difference between two environments."""
    from benchmarks.commands import bisect as command
    from benchmarks.reporting.verdict_panel import NOTHING_STATUS

    check_experiment(options)
    trials = command.chosen_trials(options.trial)
    chosen = options.implementation or list(PAIR)
    ends = {
        name: (command.pins_of(options.old, name), command.pins_of(options.new, name))
        for name in chosen
    }
    console = messages()
    machines = hosts.parse_all(options.host)
    dataset, makes = data.load(options.dataset), maker(options, console)
    status = 0
    for name, ends_of in ends.items():
        old, new = command.alike(*ends_of)
        if old == new:
            print(f"{name}: both have the same packages: nothing to search")
            continue
        console.print(f"{name}: {command.cost((old, new), makes)}")
        output = options.output.with_stem(f"{options.output.stem}-{name}")
        found, kept = command.bisect(
            dataset, (old, new), name, trials, makes, output, console, machines
        )
        print(kept.answer + "\n", flush=True)
        if not any(one.told for one in found.ends.changes):
            status = NOTHING_STATUS
    return status


def grow(options: argparse.Namespace) -> int:
    """Measure times by batch size or width: the overhead of a call, the cost of each image."""
    from benchmarks.commands import grow as command
    from benchmarks.reporting.growth import text

    check_experiment(options)
    if not 1 <= options.threads <= (most := len(cpus.available())):
        raise ValueError(f"--threads {options.threads}: this process may use 1 to {most} CPUs")
    dataset = data.load(options.dataset)
    wide = options.units is not None
    if wide and options.batch_size:
        raise ValueError("--units and --batch-size: give one of them, the other stays the same")
    chosen = options.architecture or (["mlp"] if wide else ["mlp", "lenet5"])
    sizes = (
        command.checked_units(options.units, chosen)
        if wide
        else command.checked(options.batch_size, dataset)
    )
    arguments = options.output, Path(), messages(), options.threads
    print(text(command.grow(dataset, chosen, sizes, *arguments, "units" if wide else "batch")))
    return 0


def trend(options: argparse.Namespace) -> int:
    """The searches in a folder in one table, such as those of every night."""
    from benchmarks.commands.bisect import nights
    from benchmarks.reporting.trend import text

    print(text(nights(options.folder)))
    return 0


def history(options: argparse.Namespace) -> int:
    """All releases of a package side by side: times, first calls, memory, import."""
    from benchmarks.commands import history as command
    from benchmarks.reporting.history import text
    from benchmarks.trial import RowId, known

    check_experiment(options)
    beside = command.beside(options.with_)
    pins = command.releases_of(options.package, beside, options.release)
    implementation = command.implementation_for(options.package, beside)
    rows = options.row or command.usual_rows(implementation)
    for row in rows:
        known(str(RowId.parse(row).trial))
    console = messages()
    dataset, makes = data.load(options.dataset), maker(options, console)
    arguments = options.package, pins, rows, makes, options.output, console
    print(text(command.history(dataset, *arguments)))
    return 0


def compare(options: argparse.Namespace) -> int:
    """Verdicts on the saved run NEW against OLD."""
    from benchmarks.commands.compare import compare as run
    from benchmarks.comparing.verdicts import parse_margin

    margin = parse_margin(options.margin)
    arguments = (margin, options.fail_on, options.strict_verdicts, options.markdown)
    return run(options.old, options.new, *arguments)


def report(options: argparse.Namespace) -> int:
    """Write a page about a saved run, held against others."""
    from benchmarks.commands.report import report as run
    from benchmarks.comparing.baseline import find
    from benchmarks.comparing.saved import named, read
    from benchmarks.comparing.verdicts import parse_margin

    paths = [find(run) for run in options.run]
    runs = named([(path, read(path)) for path in paths])
    if options.output.exists() and not options.output.is_dir():
        raise ValueError(f"--output {options.output}: is a file; give a folder, which may be new")
    print(run(runs, parse_margin(options.margin), options.output))
    return 0


def baseline(options: argparse.Namespace) -> int:
    """Pin the saved run that a bare --benchmark-compare means."""
    from benchmarks.comparing.baseline import pin
    from benchmarks.reporting.markdown import printable

    path, reasons = pin(options.run)
    print(f"baseline from now on: {path}")
    for reason in reasons:
        print(f"warning: this run is a poor baseline: {printable(reason)}")
    return 0


def selfcheck(options: argparse.Namespace) -> int:
    """How small a regression this machine can show, and at which cost."""
    from benchmarks.commands.selfcheck import check

    return check(options.architecture, options.blocks, options.rounds, options.planted)


def versions(options: argparse.Namespace) -> int:
    """Print the page about framework versions, write it, check an environment, or list them."""
    from benchmarks.commands.versions import run

    return run(options.check, options.write, options.here)


def side_by_side(options: argparse.Namespace) -> int:
    """Print the page that shows the pair in two columns, or write it."""
    from benchmarks.reporting.side_by_side import run

    return run(options.write)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def command(run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = (run.__doc__ or "").rstrip(".")
        added = commands.add_parser(run.__name__, help=text[0].lower() + text[1:], description=text)
        added.set_defaults(function=run)
        return added

    command(doctor).add_argument("--dataset", help=DATASET_HELP)
    sub = command(calibrate)
    sub.add_argument("--dataset", required=True, help=DATASET_HELP)
    sub.add_argument(
        "--architecture", action="append", choices=networks.names(), help="default: all"
    )
    sub.add_argument("--batch-size", type=whole, default=128, help="images per step (default: 128)")
    sub.add_argument("--seeds", type=whole, default=20, help="at least 2 (default: 20)")
    sub.add_argument("--threads", type=whole, default=2)
    sub = command(defaults)
    text = "what changed since: a virtual environment, its Python, or an execnet spec"
    sub.add_argument("--against", metavar="ENV", help=text)
    sub.add_argument("--write", action="store_true", help="write it into docs/differences.md")
    sub = command(learn)
    sub.add_argument("--dataset", help=DATASET_HELP)
    sub.add_argument(
        "--architecture", action="append", choices=networks.names(), help="default: all"
    )
    text = "what keeps each framework's own defaults: nothing (equal), all (own), or one kind; "
    text += "repeatable (default: equal and own)"
    sub.add_argument("--arm", action="append", choices=ARMS, help=text)
    sub.add_argument("--seeds", type=whole, default=10, help="at least 2 (default: 10)")
    sub.add_argument("--epochs", type=whole, default=5, help="default: 5")
    text = "file for the raw data; if it exists, the experiment continues (default: learning.json)"
    sub.add_argument("-o", "--output", type=Path, default="learning.json", help=text)
    sub = command(explain)
    text = "such as train_step[mlp-b128-cpu] (default: mlp and lenet5, and an epoch of mlp)"
    sub.add_argument("trial", nargs="*", metavar="TRIAL", help=text)
    sub.add_argument("--dataset", help=DATASET_HELP)
    sub.add_argument("--knob", action="append", help="what to change; repeatable (default: all)")
    sub.add_argument(
        "--blocks", type=whole, default=6, help="as for pytest benchmarks (default: 6)"
    )
    sub.add_argument("--rounds", type=whole, default=20, help="likewise (default: 20)")
    text = "file for the raw data; if it exists, the experiment continues (default: explain.json)"
    sub.add_argument("-o", "--output", type=Path, default="explain.json", help=text)

    def makes_environments(sub: argparse.ArgumentParser, output: str) -> None:
        sub.add_argument("--dataset", help=DATASET_HELP)
        text = "GB that environments and uv's cache may take together (default: 30)"
        sub.add_argument("--disk", type=real, default=30.0, metavar="GB", help=text)
        text = "where environments are made and kept (default: .benchmarks/virtualenvs)"
        place = Path(".benchmarks", "virtualenvs")
        sub.add_argument("--environments", type=Path, default=place, metavar="DIR", help=text)
        text = f"what was found, to which what is missing is added (default: {output})"
        sub.add_argument("-o", "--output", type=Path, default=output, help=text)

    sub = command(museum)
    text = "an exhibit of museum.toml (default: all)"
    sub.add_argument("name", nargs="*", metavar="NAME", help=text)
    makes_environments(sub, "museum.json")
    sub = command(bisect)
    text = "an environment of the grid, the folder of one, a file of exact requirements, newest "
    text += "(the newest releases of the index) or next (nightly builds and candidates)"
    sub.add_argument("old", metavar="OLD", help=text)
    sub.add_argument("new", metavar="NEW", help="likewise")
    text = "such as forward[lenet5-b128-cpu] (default: train_step[mlp-b128-cpu])"
    sub.add_argument("trial", nargs="*", metavar="TRIAL", help=text)
    sub.add_argument(
        "--implementation",
        action="append",
        choices=implementations.names(),
        help="repeatable (default: the pair)",
    )
    text = "a machine that measures, as for pytest benchmarks; repeatable"
    sub.add_argument("--host", action="append", default=[], metavar="SPEC", help=text)
    makes_environments(sub, "bisect.json")
    sub = command(grow)
    sub.add_argument("--dataset", help=DATASET_HELP)
    sub.add_argument(
        "--architecture", action="append", choices=networks.names(), help="default: mlp, lenet5"
    )
    text = "three or more; repeatable (default: 1 to 4,096 in steps of four)"
    sub.add_argument("--batch-size", type=whole, action="append", help=text)
    text = "other widths of mlp's hidden layer, in place of batch sizes (default: 128 to 8,192)"
    sub.add_argument("--units", type=whole, nargs="*", help=text)
    text = "CPU threads of each framework (default: 1)"
    sub.add_argument("--threads", type=whole, default=1, help=text)
    text = "file for the raw data; if it exists, the experiment continues (default: growth.json)"
    sub.add_argument("-o", "--output", type=Path, default="growth.json", help=text)
    sub = command(trend)
    sub.add_argument("folder", type=Path, metavar="FOLDER", help="with outputs of bisect")
    sub = command(history)
    text = "the package whose releases are measured"
    sub.add_argument("package", choices=["jax", "keras", "tensorflow", "torch"], help=text)
    text = "a release to measure; repeatable "
    text += "(default: those of the grid, or the last of each minor version)"
    sub.add_argument("--release", action="append", default=[], help=text)
    text = "what all environments have besides, such as tensorflow=2.18.1; repeatable"
    sub.add_argument("--with", dest="with_", action="append", default=[], metavar="P=V", help=text)
    text = "a test such as test_forward[mlp-b128-cpu-keras_torch]; repeatable (default: the "
    text += "training step and the forward pass of every network)"
    sub.add_argument("--row", action="append", metavar="TEST", help=text)
    makes_environments(sub, "history.json")
    sub = command(compare)
    sub.add_argument("old", type=Path, metavar="OLD", help="a saved run")
    sub.add_argument("new", type=Path, metavar="NEW", help="a saved run")
    sub.add_argument("--margin", default="2%", help="as for pytest benchmarks (default: 2%%)")
    sub.add_argument("--fail-on", choices=["regression"], help="exit status 1 when confirmed")
    sub.add_argument("--strict-verdicts", action="store_true", help="exit status 10 if undecided")
    sub.add_argument("--markdown", action="store_true", help="for pull requests")
    sub = command(report)
    text = "files or numbers of saved runs: the page's own, then those it is held against"
    sub.add_argument("run", nargs="+", metavar="RUN", help=text)
    sub.add_argument(
        *("-o", "--output"), type=Path, default="report", help="a folder (default: report)"
    )
    sub.add_argument("--margin", default="2%", help="as for pytest benchmarks (default: 2%%)")
    sub = command(baseline)
    sub.add_argument("action", choices=["set"])
    sub.add_argument("run", metavar="RUN", help="a file, or the number of a saved run")
    sub = command(selfcheck)
    sub.add_argument("--architecture", default="mlp", help="network (default: mlp)")
    sub.add_argument(
        "--blocks", type=whole, default=6, help="as for pytest benchmarks (default: 6)"
    )
    sub.add_argument("--rounds", type=whole, default=40, help="likewise (default: 40)")
    text = "also measure a copy with 5 %% more work in its training steps, which must be found; "
    text += "the check then takes twice as long"
    sub.add_argument("--planted", action="store_true", help=text)
    either = command(versions).add_mutually_exclusive_group()
    text = "check that the installed versions are those of ENV"
    either.add_argument("--check", metavar="ENV", help=text)
    either.add_argument("--write", action="store_true", help="write the page into docs/")
    text = "list the environments whose Python is on this machine"
    either.add_argument("--here", action="store_true", help=text)
    sub = command(side_by_side)
    sub.add_argument("--write", action="store_true", help="write the page into docs/")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return int(options.function(options))
    except ValueError as error:
        parser().error(str(error))
    except PROBLEMS as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        continues = "output" in options and options.function is not report
        goes_on = "; the same command goes on where it stopped" if continues else ""
        print(f"interrupted{goes_on}", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
