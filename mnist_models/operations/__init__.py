"""What can be timed: one object for each operation, with all that the suite must know about it.

A new operation is a new class here, an object below, and a test in benchmarks/test_<name>.py.
"""

from mnist_models.operations.operation import BURST_SECONDS, WARM_UP_SECONDS, Operation
from mnist_models.operations.production import (
    CLOCKED,
    LATENCIES,
    DataParallel,
    Deploy,
    Feed,
    Latency,
    Leak,
    Parts,
    Startup,
)
from mnist_models.operations.training import Epoch, Forward, TrainStep

__all__ = ["BURST_SECONDS", "CLOCKED", "LATENCIES", "WARM_UP_SECONDS", "Operation"]

FORWARD, TRAIN_STEP, EPOCH = Forward(), TrainStep(), Epoch()
LATENCY, STARTUP, DEPLOY = Latency(), Startup(), Deploy()
FEED, LEAK, PARTS, DATA_PARALLEL = Feed(), Leak(), Parts(), DataParallel()
OPERATIONS: dict[str, Operation] = {
    each.name: each
    for each in (
        *(FORWARD, TRAIN_STEP, EPOCH, LATENCY, STARTUP),
        *(DEPLOY, FEED, LEAK, PARTS, DATA_PARALLEL),
    )
}
