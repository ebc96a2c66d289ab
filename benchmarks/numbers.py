"""Numbers on the command line. The error for other text gives an example."""

from argparse import ArgumentTypeError


def whole(text: str) -> int:
    """A whole number; raises ArgumentTypeError."""
    try:
        return int(text)
    except ValueError:
        words = f"{text} is not a whole number; give one such as 128"
        raise ArgumentTypeError(words) from None


def real(text: str) -> float:
    """A number with or without decimals; raises ArgumentTypeError."""
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not a number; give one such as 60 or 2.5") from None
