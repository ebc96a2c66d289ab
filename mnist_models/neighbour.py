"""Another process that keeps another CPU and the memory busy, as a server's neighbours do."""

import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from mnist_models import cpus

# The process binds itself to a CPU, copies memory, and ends with its parent.
COPY = """
import os, sys
parent, cpu = os.getppid(), int(sys.argv[1])
os.sched_setaffinity(0, {cpu})
one, other = bytearray(2**25), bytearray(2**25)
print(cpu, flush=True)
while os.getppid() == parent:
    one[:] = other
"""


@contextmanager
def neighbour(own: Iterable[int]) -> Generator[int | None, None, None]:
    """Keep a CPU other than these busy for a while; yields its number, or None without one.

    It is a CPU that the session may use, and of another core if there is one.
    """
    own, every = {*own}, cpus.cores(cpus.inherited())
    beside = sorted(every, key=lambda core: bool({*core} & own))
    free = [cpu for core in beside for cpu in core if cpu not in own]
    if sys.platform != "linux" or not free:
        yield None
        return
    command = [sys.executable, "-ISc", COPY, str(free[0])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            cpu = process.stdout.readline()
            yield int(cpu) if cpu else None
        finally:
            process.kill()
