"""What distinguishes processors of the same name."""

from collections.abc import Mapping
from typing import Any

# Instruction sets by which libraries choose their kernels.
VECTORS = ("avx", "amx", "fma", "asimd", "sve", "neon")


def cpu_name(cpu: Mapping[str, Any]) -> str:
    """A processor's brand with its generation: "AMD EPYC (family 25, model 17, stepping 1)".

    `cpu` is what py-cpuinfo found. Virtual machines give one brand to several generations.
    """
    found = [f"{key} {cpu[key]}" for key in ("family", "model", "stepping") if key in cpu]
    brand = str(cpu.get("brand_raw") or "unknown CPU")
    return f"{brand} ({', '.join(found)})" if found else brand


def vectors(cpu: Mapping[str, Any]) -> str:
    """The processor's instruction sets for vectors, as far as they are known."""
    return " ".join(sorted(flag for flag in cpu.get("flags", ()) if flag.startswith(VECTORS)))
