"""Measure the tasks, record the mistakes; print the page or write it."""

import argparse
import sys

from examples import page, record
from mnist_models import data


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument(
        "action",
        nargs="?",
        choices=["print", "write"],
        default="print",
        help="print the page, or write it and its data (default: print)",
    )
    options = parser.parse_args(arguments)
    try:
        made = page.document(record.collect())
    except (record.RecordError, data.DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.action == "write":
        page.write(made)
    else:
        print(page.page(made), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
