"""Names and quantities as people read them."""

from benchmarks.comparing.ratios import Ratio

LABELS = {"keras_tensorflow": "Keras", "pytorch_eager": "PyTorch"}
OPERATIONS = {"train_step": "training step", "forward": "forward pass", "epoch": "epoch"}


def label(implementation: str) -> str:
    """What people call a contestant."""
    return LABELS.get(implementation, implementation)


def printable(text: str) -> str:
    """Text on one line, whose control characters do nothing to a terminal or to Markdown."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))


def time(seconds: float) -> str:
    """A duration in the unit that reads best, with three digits."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, scale = next((u for u in units if seconds >= 0.9995 * u[1]), units[-1])
    scaled = seconds / scale
    return f"{scaled:.0f} {unit}" if scaled >= 1000 else f"{scaled:.3g} {unit}"


def memory(size: float) -> str:
    """A number of bytes, in MiB."""
    return f"{size / 2**20:,.0f} MiB"


def factors(found: Ratio) -> tuple[float, float, float]:
    """How many times faster the winner is, with the interval's ends."""
    assert found.low is not None
    assert found.high is not None
    if found.winner == 0:
        return 1 / found.value, 1 / found.high, 1 / found.low
    return found.value, found.low, found.high
