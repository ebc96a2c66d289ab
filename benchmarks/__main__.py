"""`python -m benchmarks doctor`: is this machine ready? `calibrate`: redo the accuracy bounds."""

import argparse
import sys

from mnist_models import data


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="what was found on this machine, and what to fix")
    doctor.add_argument("--dataset", help="as for pytest benchmarks")
    calibrate = commands.add_parser("calibrate", help="redo the accuracy bounds of a data set")
    calibrate.add_argument("--dataset", required=True, help="as for pytest benchmarks")
    calibrate.add_argument("--seeds", type=int, default=20, help="at least 2 (default: 20)")
    calibrate.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.command == "calibrate" and options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: at least 2, for a standard deviation")
    try:
        if options.command == "doctor":
            from benchmarks.doctor import examine

            return examine(options.dataset)
        from benchmarks.calibrate import calibrate as run

        run(data.load(options.dataset), options.seeds, options.threads)
    except data.DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
