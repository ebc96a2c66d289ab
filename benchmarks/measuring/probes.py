"""The defaults of an environment's frameworks, as their workers report them."""

import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from benchmarks.comparing import defaults
from benchmarks.measuring.environments import Environment, end, offspring
from benchmarks.measuring.results import Results
from benchmarks.measuring.workers import START_LIMIT, WorkerError, WorkerProcess, check_handshake
from benchmarks.trial import contestant
from mnist_models.implementations import PAIR

# Seconds for all of a framework's layers, initialisers and optimisers.
LIMIT = 600.0
# What stands before the reason why an environment did not answer.
UNKNOWN = "not known: "
# Another NumPy alone is no upgrade of a framework.
ANY_NUMPY = {"numpy": ""}
# Seconds between two looks at probes that are ended.
POLL = 0.2


def probe(environment: Environment, name: str) -> tuple[dict[str, str], Any]:
    """Versions and probe of one implementation in an environment; raises WorkerError."""
    with tempfile.TemporaryDirectory() as folder:
        worker = WorkerProcess(name, "cpu", 1, Path(folder), environment.spec)
        try:
            info = worker.ask("start", name, "cpu", 1, "float32", limit=START_LIMIT)
            check_handshake(worker, info)
            answer = worker.ask("defaults", limit=LIMIT)
        finally:
            worker.kill()
    return info["versions"], defaults.decoded(answer)


def numbers(old: Environment, new: Environment, implementation: str) -> list[str]:
    """The defaults and results that changed between two environments, as text.

    Raises WorkerError.
    """
    known, pool = offspring(), ThreadPoolExecutor(2)
    asked = [pool.submit(probe, environment, implementation) for environment in (old, new)]
    try:
        (_, before), (_, after) = (one.result() for one in asked)
    except BaseException:  # the threads wait for processes, one of which may be about to start
        while wait(asked, POLL).not_done:
            end(offspring() - known)
        raise
    finally:
        pool.shutdown()
    return [f"{topic}: {words}" for topic, _, words in defaults.between_releases(before, after)]


def told(old: Environment, new: Environment, implementation: str) -> list[str]:
    """Like `numbers`; if an environment cannot answer, only the reason."""
    try:
        return numbers(old, new, implementation)
    except WorkerError as error:
        return [f"{UNKNOWN}{str(error).splitlines()[0]}"]


def versions(results: Results, name: str) -> dict[str, str]:
    """The versions of a contestant's packages; empty if it never ran."""
    rows = (row for row in results.rows.values() if row.name == name)
    facts = (entry["facts"] for row in rows for entry in row.entries.values() if "facts" in entry)
    return dict(next(facts, {"versions": {}})["versions"])


def upgraded(results: Results, environment: str) -> list[str]:
    """Those of the pair that ran here and, with other versions, in a baseline."""
    found = []
    for name in PAIR:
        here, there = (versions(results, one) for one in (name, contestant(name, environment)))
        if here and there and here | ANY_NUMPY != there | ANY_NUMPY:
            found.append(name)
    return found
