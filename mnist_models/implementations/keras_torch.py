"""Keras on PyTorch: the same Keras code on another backend.

keras_trainer.py has the Keras code, this file what PyTorch needs.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

from mnist_models import cpus, keras_trainer
from mnist_models.defaults import in_keras
from mnist_models.keras_trainer import CONVENTIONS  # noqa: F401  (the contract)
from mnist_models.networks import Network
from mnist_models.recipe import Recipe

DEFAULTS = in_keras


def versions() -> dict[str, str]:
    return {"torch": str(torch.__version__), "keras": keras.__version__}


def devices() -> list[str]:
    return ["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]


def configure(threads: int) -> dict[str, object]:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(cpus.across(threads))
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "onednn": torch.backends.mkldnn.enabled and torch.backends.mkldnn.is_available(),
    }


def set_precision(precision: str) -> dict[str, bool]:
    # PyTorch's own default is TF32 for convolutions and float32 for matrix products.
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return {
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolution": torch.backends.cudnn.allow_tf32,
    }


def peak_gpu_memory() -> int:
    return torch.cuda.max_memory_allocated()


class Trainer(keras_trainer.Trainer):
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        if dtype == "float64":
            # Keras multiplies float64 matrices in float32 here (keras-team/keras#23704), and there
            # is no public way to have it otherwise. No worker that is timed needs this.
            from keras.src.backend.common import dtypes

            dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
        super().__init__(network, recipe, device, dtype)
        # The default jit_compile="auto" means eager here; True would mean torch.compile.
        self.compilation = "torch.compile" if self.model.jit_compile else "eager"

    def ordered(
        self, images: torch.Tensor, labels: torch.Tensor, order: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        places = torch.from_numpy(order).to(images.device)
        return images[places], labels[places]

    def device_of(self, tensor: torch.Tensor) -> str:
        return tensor.device.type

    def synchronize(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
