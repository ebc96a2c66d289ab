"""Which changes affect a time or reverse the verdict: `python -m benchmarks explain`."""

import tempfile
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.causes.knobs import KNOBS, Knob
from benchmarks.commands import experiments, gates
from benchmarks.comparing import moves
from benchmarks.comparing.moves import ONE_AFTER_THE_OTHER, Explained, Logs, Moved
from benchmarks.comparing.ratios import block_log_ratios
from benchmarks.measuring.environments import Environment
from benchmarks.measuring.results import Results, Row
from benchmarks.trial import Trial, contestant, known
from mnist_models import data, parity, recipe
from mnist_models.implementations import PAIR
from mnist_models.operations import EPOCH
from mnist_models.worker import source_hash

# Knobs of one session; each adds up to two workers of about 1 GiB to the pair's.
AT_ONCE = 4
CALL_LIMIT = 180.0
# Calls in the mean that includes the first one by mistake.
CALLS = 100
FIRST_CALL = "first_call_included"


def explain(
    dataset: data.Dataset,
    trials: Sequence[Trial],
    knobs: Sequence[Knob],
    blocks: int,
    rounds: int,
    output: Path,
    console: Console,
) -> Explained:
    """Measure every knob that `output` does not have yet, a few at a time, and write it there.

    Raises ValueError for a file of another experiment.
    """
    found = Explained(
        dataset=dataset.name,
        blocks=blocks,
        rounds=rounds,
        machine=experiments.machine(),
        versions=experiments.versions(),
        source=source_hash(),
    )
    found = continued(found, output)
    found.skipped = {knob.name: why for knob in knobs if (why := knob.missing())}
    todo = missing(found, trials, knobs)
    for start in range(0, len(todo), AT_ONCE):
        group = todo[start : start + AT_ONCE]
        console.print(f"measuring {', '.join(knob.name for knob in group)}")
        results = measured(dataset, trials, group, blocks, rounds, console)
        for one in moved(results, trials, group):
            add(found, one)
        experiments.write(found, output)
    return found


def add(found: Explained, new: Moved) -> None:
    """Add a new result, or put it in the place of a failed one."""
    for place, old in enumerate(found.moved):
        if (old.knob, old.trial) == (new.knob, new.trial):
            if old.failed:
                found.moved[place] = new
            return
    found.moved.append(new)


def continued(new: Explained, output: Path) -> Explained:
    """The experiment in a file, or `new` without one; raises ValueError if they differ."""
    same = "dataset", "blocks", "rounds", "machine", "versions", "source"
    return experiments.continued(new, output, moves.read, "explain", same)


def missing(found: Explained, trials: Sequence[Trial], knobs: Sequence[Knob]) -> list[Knob]:
    """The knobs that this machine can measure and that lack a trial."""
    there = {(one.knob, one.trial) for one in found.moved if not one.failed}
    return [
        knob
        for knob in knobs
        if knob.name not in found.skipped
        and any((knob.name, str(trial)) not in there for trial in concerned(knob, trials))
    ]


def concerned(knob: Knob, trials: Iterable[Trial]) -> list[Trial]:
    """The trials in which a knob can matter."""
    return [trial for trial in trials if trial.kind in knob.operations]


def measured(
    dataset: data.Dataset,
    trials: Sequence[Trial],
    knobs: Sequence[Knob],
    blocks: int,
    rounds: int,
    console: Console,
) -> Results:
    """A session of the pair, unchanged and with each of these knobs, in the same rounds."""
    contests = {}
    for trial in trials:
        turned = [knob for knob in knobs if trial in concerned(knob, trials)]
        changed = (contestant(who, knob.name) for knob in turned for who in knob.who)
        if turned:
            contests[trial] = (*PAIR, *changed)
    environments: dict[str, Environment] = {knob.name: knob.environment() for knob in knobs}
    with tempfile.TemporaryDirectory() as folder:
        return gates.session(
            dataset,
            contests,
            Path(folder),
            console,
            blocks=blocks,
            rounds=rounds,
            call_limit=CALL_LIMIT,
            time_budget=float("inf"),
            baselines=environments,
            confirms=False,
        )


def moved(results: Results, trials: Sequence[Trial], knobs: Sequence[Knob]) -> list[Moved]:
    """The effect of each knob, and of two mistakes by the pair's samples, in each trial."""
    found = []
    for trial in results.plan.contests:
        pair = {name: results.rows[trial, name] for name in PAIR}
        if any(row.error or row.skip for row in pair.values()):
            continue
        for knob in knobs:
            if trial in concerned(knob, trials):
                rows = {who: results.rows[trial, contestant(who, knob.name)] for who in knob.who}
                found.append(of_knob(knob.name, trial, pair, rows))
        if trial.kind is not EPOCH:
            found += [first_call(trial, pair), sequence(trial, pair)]
    return found


def of_knob(knob: str, trial: Trial, pair: dict[str, Row], rows: dict[str, Row]) -> Moved:
    """The effect of a knob, from its rows and the pair's unchanged rows."""
    usable = {who: row for who, row in rows.items() if not (row.error or row.skip)}
    sides = {who: logs(row, pair[who]) for who, row in usable.items()}
    changed = {who: logs(*(pair | {who: row}).values()) for who, row in usable.items()}
    if len(usable) == len(PAIR):
        changed["both"] = logs(*(usable[who] for who in PAIR))
    failed = {
        who: (row.error or row.skip).strip().splitlines()[0]
        for who, row in rows.items()
        if who not in usable
    }
    equal = {
        who: not parity.violations(row.parity(), row.parity_limits()) for who, row in usable.items()
    }
    off = {who: max(row.parity().values(), default=0.0) for who, row in usable.items()}
    accuracies = {who: row.accuracy for who, row in usable.items() if row.accuracy is not None}
    return moved_from(knob, trial, pair, sides, changed).model_copy(
        update={
            "failed": failed,
            "equal": equal,
            "off": {who: float(f"{value:.2g}") for who, value in off.items()},
            "accuracies": accuracies if trial.kind is EPOCH else {},
        }
    )


def moved_from(
    knob: str, trial: Trial, pair: dict[str, Row], sides: dict[str, Logs], changed: dict[str, Logs]
) -> Moved:
    """The effect of a knob in a trial, with rounded figures."""
    return Moved(
        knob=knob,
        trial=str(trial),
        sides={who: short(values) for who, values in sides.items()},
        pair=short(logs(*pair.values())),
        changed={who: short(values) for who, values in changed.items()},
        seconds={who: float(f"{row.seconds():.5g}") for who, row in pair.items()},
    )


def short(values: Logs) -> Logs:
    """Log-ratios, rounded to five decimals."""
    return [round(value, 5) for value in values]


def logs(first: Row, second: Row) -> Logs:
    """Each block's median log-ratio of two rows."""
    return block_log_ratios(first.by_block(), second.by_block())


def first_call(trial: Trial, pair: dict[str, Row]) -> Moved:
    """The effect of including the first call, which compiles, in the mean of CALLS calls."""
    sides = {}
    for name, row in pair.items():
        sides[name] = [
            log((entry["first_call_seconds"] / seconds + CALLS - 1) / CALLS)
            for entry in row.entries.values()
            for seconds in [median(wall for wall, _ in entry["samples"])]
        ]
    changed = [
        one + more - less
        for one, more, less in zip(logs(*pair.values()), *sides.values(), strict=True)
    ]
    return moved_from(FIRST_CALL, trial, pair, sides, {"both": changed})


def sequence(trial: Trial, pair: dict[str, Row]) -> Moved:
    """The effect of measuring PyTorch one block after Keras, not in the same rounds."""
    middle = {
        name: [log(median(block)) for block in row.by_block().values()]
        for name, row in pair.items()
    }
    sides = {name: steps(values, values) for name, values in middle.items()}
    keras, pytorch = middle.values()
    return moved_from(
        ONE_AFTER_THE_OTHER, trial, pair, sides, {"both": [-one for one in steps(keras, pytorch)]}
    )


def steps(first: Logs, second: Logs) -> Logs:
    """The next block's value in `second` minus each block's in `first`; the last wraps around."""
    return [after - before for before, after in zip(first, second[1:] + second[:1], strict=True)]


def chosen(names: Sequence[str] | None) -> list[Knob]:
    """The knobs of these names, or all without names. Raises ValueError."""
    known = {knob.name: knob for knob in KNOBS}
    for name in names or ():
        if name not in known:
            raise ValueError(f"--knob {name}: no such knob; choose from {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names or known)]


def chosen_trials(texts: Sequence[str]) -> list[Trial]:
    """The trials that are named, or the usual ones. Raises ValueError."""
    if texts:
        return [known(text) for text in dict.fromkeys(texts)]
    usual = [
        (operation, name) for operation in ("train_step", "forward") for name in ("mlp", "lenet5")
    ]
    return [Trial(operation, name, recipe.BATCH_SIZE, "cpu") for operation, name in usual] + [
        Trial(EPOCH.name, "mlp", recipe.BATCH_SIZE, "cpu")
    ]
