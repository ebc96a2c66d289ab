"""Another process that keeps another CPU and the memory busy, as a server's neighbours do."""

import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager

# It binds itself to a CPU that is not given, copies memory, and ends with whoever began it.
COPY = """
import os, sys
parent, own = os.getppid(), {int(cpu) for cpu in sys.argv[1:]}
for cpu in sorted({*range(os.cpu_count() or 1)} - own):
    try:
        os.sched_setaffinity(0, {cpu})
        break
    except OSError:
        pass
else:
    sys.exit()
one, other = bytearray(2**25), bytearray(2**25)
print(cpu, flush=True)
while os.getppid() == parent:
    one[:] = other
"""


@contextmanager
def neighbour(own: Iterable[int]) -> Generator[int | None, None, None]:
    """Keep one CPU beside these busy for a while; yields its number, None where there is none."""
    if sys.platform != "linux":
        yield None
        return
    command = [sys.executable, "-ISc", COPY, *map(str, own)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            cpu = process.stdout.readline()
            yield int(cpu) if cpu else None
        finally:
            process.kill()
