"""What a machine can do at most, by NumPy alone: multiply matrices, and copy memory."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

# A matrix of so many rows and columns is large enough for all that a CPU can, and an array of so
# many bytes does not fit into its caches.
SIZE, BYTES = 2048, 2**28
REPEATS = 8


def products() -> float:
    """Multiplications and additions a second in a product of float32 matrices."""
    random = np.random.default_rng(0)
    first, second = (random.random((SIZE, SIZE), np.float32) for _ in range(2))
    result = np.empty_like(first)
    return 2 * SIZE**3 / least(lambda: np.matmul(first, second, out=result))


def memory() -> float:
    """Bytes a second that a copy reads and writes."""
    source = np.ones(BYTES, np.uint8)
    target = np.empty_like(source)
    return 2 * BYTES / least(lambda: np.copyto(target, source))


def least(call: Callable[[], object]) -> float:
    """Seconds of the fastest of REPEATS calls, after one untimed: others only make it slower."""
    call()
    found = []
    for _ in range(REPEATS):
        began = perf_counter()
        call()
        found.append(perf_counter() - began)
    return min(found)
