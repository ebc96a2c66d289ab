"""PyTorch with the memory layout that suits convolutions: `pytorch_eager` with one thing changed.

Model and images are `torch.channels_last`, which PyTorch's own guide for CPUs recommends.
"""

from dataclasses import replace

import numpy as np
import torch

from mnist_models.implementations import pytorch_eager
from mnist_models.implementations.pytorch_eager import (  # noqa: F401  (the contract)
    configure,
    devices,
    peak_gpu_memory,
    set_precision,
    versions,
)
from mnist_models.networks import Network
from mnist_models.recipe import Recipe

CONVENTIONS = replace(pytorch_eager.CONVENTIONS, rough_statistics=True)


class Trainer(pytorch_eager.Trainer):
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        super().__init__(network, recipe, device, dtype)
        self.model.to(memory_format=torch.channels_last)

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = super().put(images, labels)
        return images.to(memory_format=torch.channels_last), labels
