"""PyTorch through its compiler: `pytorch_eager` with one thing changed, `model.compile()`.

The default mode of `torch.compile`; on the CPU it writes C++ and builds it.
"""

import shutil
import sysconfig
from pathlib import Path

import torch

from mnist_models.implementations import Unavailable, pytorch_eager
from mnist_models.implementations.pytorch_eager import (  # noqa: F401  (the contract)
    CONVENTIONS,
    configure,
    devices,
    peak_gpu_memory,
    set_precision,
    versions,
)
from mnist_models.networks import Network
from mnist_models.recipe import Recipe

if not any(map(shutil.which, ("c++", "g++", "clang++"))):
    raise Unavailable("torch.compile needs a C++ compiler, such as g++")
if not Path(sysconfig.get_path("include"), "Python.h").exists():
    raise Unavailable("torch.compile needs Python's headers, such as the package python3-dev")
if torch._dynamo.config.disable:
    raise Unavailable("torch.compile is switched off: unset TORCH_COMPILE_DISABLE")

# PyTorch gives up compiling a network after 8 graphs: batch sizes and modes make more.
torch._dynamo.config.cache_size_limit = 256


class Trainer(pytorch_eager.Trainer):
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        super().__init__(network, recipe, device, dtype)
        self.model.compile()
        self.compilation = "torch.compile, inductor"

    def compilations(self) -> int:
        return torch._dynamo.utils.counters["stats"]["unique_graphs"]

    def placement(self, images: torch.Tensor) -> dict[str, object]:
        return super().placement(images) | {"layout": "inductor's choice"}
