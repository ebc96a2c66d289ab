"""The progress of a session: a live bar on a terminal, plain lines elsewhere."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.comparing.verdicts import confirmation_blocks
from benchmarks.measuring.plan import Plan
from benchmarks.measuring.results import Results
from benchmarks.reporting.terminal import look
from benchmarks.trial import Trial
from mnist_models import cpus
from mnist_models.data import Dataset

# Load of the last minute, per CPU, above which a warning is due.
BUSY = 0.7


class LineProgress:
    """A line for each block."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.console, self.plan = console, plan
        self.blocks = plan.blocks

    def confirm(self, suspects: int, trials: int) -> None:
        """Report that the screen is over, and whether suspects are measured again."""
        if not suspects:
            self.say("screened: no suspects")
            return
        least, *_, most = confirmation_blocks(suspects)
        self.blocks += most
        new = f"{least} to {most} new blocks"
        self.say(f"screened: {suspects} suspect(s), to be confirmed in {new}")

    def decide(self, undecided: int, seconds: float) -> None:
        """Report what is measured further, and for how long."""
        self.say(f"{undecided} undecided: measured further for up to {seconds:.0f} s")

    def trial(self, block: int, trial: Trial) -> None:
        """Print nothing when a trial begins."""

    def block(self, block: int, seconds_left: float) -> None:
        """Report that a block has ended; `seconds_left` assumes that the others take as long."""
        left = f", about {duration(seconds_left)} to go" if seconds_left else ""
        of = f" of {self.blocks}" if block < self.blocks else ""
        self.say(f"block {block + 1}{of} done{left}")

    def look(self, results: Results) -> None:
        """Report the ratios so far, if other blocks follow."""
        if said := look(results):
            self.say(said)

    def say(self, line: str) -> None:
        """Print a line that must not be missed."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class BarProgress(LineProgress):
    """A bar over all trials of all blocks, with the current trial."""

    def __init__(self, console: Console, plan: Plan, bar: Progress) -> None:
        super().__init__(console, plan)
        self.bar = bar
        self.task = bar.add_task("", total=plan.blocks * len(plan.contests))
        self.begun = self.trials = 0

    def confirm(self, suspects: int, trials: int) -> None:
        """Make room for the blocks that follow."""
        super().confirm(suspects, trials)
        self.trials = trials
        later = self.blocks - self.plan.blocks
        screen = self.plan.blocks * len(self.plan.contests)
        self.begun = screen  # a resumed session has not begun it here
        self.bar.update(self.task, total=screen + later * trials)

    def trial(self, block: int, trial: Trial) -> None:
        """Show the current trial."""
        of = f"/{self.blocks}" if block < self.blocks else ""
        label = f"block {block + 1}{of}  {trial}"
        self.bar.update(self.task, description=label, completed=self.begun)
        self.begun += 1

    def block(self, block: int, seconds_left: float) -> None:
        """Move to the end of the block, past dropped trials too."""
        later = max(0, block + 1 - self.plan.blocks)
        self.begun = (block + 1 - later) * len(self.plan.contests) + later * self.trials
        self.bar.update(self.task, completed=self.begun)


@contextmanager
def progress(
    console: Console, plan: Plan, dataset: Dataset, seconds: float
) -> Generator[LineProgress, None, None]:
    """Print what will be measured and how long it takes, then follow it."""
    lines = LineProgress(console, plan)
    lines.say("")
    if dataset.fallback:
        console.rule("[bold red]NOT MNIST", characters="!")
        lines.say(dataset.fallback)
        console.rule(characters="!")
    lines.say(
        f"measuring {len(plan.rows())} rows in {len(plan.contests)} trials × {plan.blocks} blocks "
        f"on '{dataset.name}', {plan.threads} thread(s): about {duration(seconds)}, "
        f"time budget {duration(plan.time_budget)}"
    )
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > BUSY * len(cpus.available()):
        instead = ", or use --threads 1" if plan.threads > 1 else ""
        lines.say(
            f"this machine is busy (load {load:.1f}): end other work{instead}; "
            "frameworks that share their CPUs can look many times slower than they are"
        )
    if not plan.hosts and plan.threads >= (quota := cpus.quota()):
        fewer = cpus.default_threads()
        remedy = f"use --threads {fewer}, or give" if fewer < plan.threads else "give"
        lines.say(
            f"this container may use the time of {quota:g} CPUs; above that, the kernel stops it: "
            f"{remedy} it more CPUs"
        )
    if not console.is_terminal:
        yield lines
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield BarProgress(console, plan, bar)


def duration(seconds: float) -> str:
    """Seconds as text, in a fitting unit."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds >= 570 else f"{seconds / 60:.1f} min"
