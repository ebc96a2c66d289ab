"""The chart of docs/production.md: time for each image by batch size; where overhead is half."""

from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.comparing.growth import Growth, Row, line
from benchmarks.reporting.words import label
from mnist_models.operations import OPERATIONS

COLORS = {"keras_tensorflow": "#d00000", "pytorch_eager": "#1a5fb4"}


def draw(growth: Growth, path: Path) -> None:
    """Write an SVG picture: microseconds for each image, and where overhead is half of them."""
    operations = list(dict.fromkeys(row.operation for row in growth.rows))
    architectures = list(dict.fromkeys(row.architecture for row in growth.rows))
    # The salt makes the same file from the same figures.
    with matplotlib.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 11}):
        figure, axes = pyplot.subplots(
            *(len(operations), len(architectures)), figsize=(10, 8), sharex=True, squeeze=False
        )
        for row in growth.rows:
            place = operations.index(row.operation), architectures.index(row.architecture)
            draw_row(axes[place], row)
        axes[0][0].legend()
        for axis in axes[-1]:
            axis.set_xlabel("batch size")
        figure.suptitle(
            "Microseconds for each image. Left of a dotted line, most of a call is overhead."
        )
        figure.tight_layout()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def draw_row(axis: Axes, row: Row) -> None:
    """One implementation: what was measured, and the batch at which overhead is half."""
    sizes, color = row.batches(), COLORS[row.implementation]
    each = [1e6 / rate for rate in row.rates()]
    axis.loglog(sizes, each, "o-", color=color, label=label(row.implementation))
    axis.axvline(line(row).half.value, color=color, linestyle=":", linewidth=1)
    axis.set_title(f"{OPERATIONS[row.operation].title}, {row.architecture}")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()
