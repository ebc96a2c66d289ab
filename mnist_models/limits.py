"""The limits of a machine, measured with NumPy: to multiply matrices, and to copy memory."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

# Rows and columns of a matrix that is large enough for a CPU's full speed, and bytes of an array
# that does not fit into its caches.
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
    """Seconds of the fastest of REPEATS calls, after an untimed one; disturbances only add time."""
    call()
    found = []
    for _ in range(REPEATS):
        began = perf_counter()
        call()
        found.append(perf_counter() - began)
    return min(found)
