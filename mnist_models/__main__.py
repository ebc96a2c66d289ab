"""The networks' own tools: weights from one framework's file to the other's."""

import argparse
import sys
from pathlib import Path

from mnist_models import networks
from mnist_models.convert import KERAS_ENDINGS, PYTORCH_ENDINGS, FileError, convert

# What `python -m benchmarks` returns for a wrong file.
USAGE_ERROR = 4


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m mnist_models", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    text = "Write the weights in SOURCE to TARGET, in the other framework's own format"
    sub = commands.add_parser("convert", help=text[0].lower() + text[1:], description=text)
    sub.add_argument("network", choices=networks.names(), metavar="NETWORK", help="whose they are")
    endings = f"{', '.join(KERAS_ENDINGS)} (Keras), {', '.join(PYTORCH_ENDINGS)} (PyTorch)"
    sub.add_argument("source", type=Path, metavar="SOURCE", help=endings)
    sub.add_argument("target", type=Path, metavar="TARGET", help="likewise")
    sub.add_argument("--force", action="store_true", help="overwrite TARGET if it exists")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        convert(networks.load(options.network), options.source, options.target, options.force)
    except (FileError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    print(f"{options.network}: {options.source} → {options.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
