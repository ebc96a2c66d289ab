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


def beside(own: Iterable[int]) -> int | None:
    """The CPU of a neighbour: one that the session may use, of another core if there is one."""
    own, every = {*own}, cpus.cores(cpus.inherited())
    ranked = sorted(every, key=lambda core: bool({*core} & own))
    free = [cpu for core in ranked for cpu in core if cpu not in own]
    return free[0] if free else None


@contextmanager
def neighbour(own: Iterable[int]) -> Generator[int | None, None, None]:
    """Keep a CPU other than these busy for a while; yields its number, or None without one."""
    busy = beside(own)
    if sys.platform != "linux" or busy is None:
        yield None
        return
    command = [sys.executable, "-ISc", COPY, str(busy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            cpu = process.stdout.readline()
            yield int(cpu) if cpu else None
        finally:
            process.kill()
