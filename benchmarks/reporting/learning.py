"""The ends of learning curves as a Markdown table, for the terminal and for pages."""

from benchmarks.comparing.curves import FAMILY, MARGIN, Curves, band, cases, endings
from mnist_models.implementations import PAIR


def table(found: Curves) -> str:
    """Final accuracies of the pair, their difference with its interval, and the verdict."""
    ends = {(end.architecture, end.arm): end for end in endings(found.runs)}
    titles = ("network", "defaults", *PAIR, "difference", "verdict", "seeds")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for case, seeds in cases(found.runs).items():
        end = ends[case]
        bands = map(band, seeds)
        sides = [f"{one.means[-1]:.4f} ± {one.deviations[-1]:.4f}" for one in bands]
        interval = f"{end.difference:+.4f} [{end.low:+.4f}, {end.high:+.4f}]"
        cells = [*case, *sides, interval, end.verdict, str(end.seeds)]
        lines.append(f"| {' | '.join(cells)} |")
    about = (
        f"Test accuracy on {found.dataset} after {found.epochs} epochs, mean ± standard deviation "
        f"over seeds. The difference is {PAIR[1]} minus {PAIR[0]}. All intervals together hold at "
        f"{1 - FAMILY:.0%}. Equivalent: within ±{MARGIN}."
    )
    return "\n".join([*lines, "", about])
