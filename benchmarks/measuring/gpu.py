"""GPUs and their use, as reported by nvidia-smi, which comes with NVIDIA's driver."""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from functools import cache

LIMIT = 60.0
# nvidia-smi reports the use over up to the last second.
WINDOW = 1.1


def ask(*options: str) -> str:
    """What nvidia-smi prints; empty if it is missing or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            [tool, *options], capture_output=True, text=True, check=True, timeout=LIMIT
        )
        return answer.stdout
    return ""


@cache
def has_gpu() -> bool:
    """Whether a driver on this machine reports a GPU, asked without importing a framework."""
    return "GPU" in ask("-L")


def described() -> str:
    """The GPUs' names, memory and driver, a line each."""
    return ask("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader").strip()


def foreign_use() -> float | None:
    """Share of the last second in which other programs used the workers' GPU; None if unknown.

    Workers use the first GPU that they see. Call this while they wait, so that none of the use is
    theirs.
    """
    time.sleep(WINDOW)
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0].strip()
    chosen = ["--id", first] if first else []
    lines = ask(*chosen, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits").split()
    return float(lines[0]) / 100 if lines and lines[0].isdigit() else None
