"""Keras on PyTorch as its users write it: the code of `keras_tensorflow`, on another backend."""

import os
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

from mnist_models.architectures import (
    IMAGE_SHAPE,
    Architecture,
    Convolution,
    Dense,
    Flatten,
    MaxPool,
)
from mnist_models.recipe import SGD, Adam, Recipe
from mnist_models.weights import Weights

ADAM_EPSILON = "hat"


def versions() -> dict[str, str]:
    return {"torch": str(torch.__version__), "keras": keras.__version__}


def devices() -> list[str]:
    return ["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]


def configure(threads: int) -> dict[str, object]:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)
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


def build_model(architecture: Architecture) -> keras.Sequential:
    model = keras.Sequential([keras.Input(IMAGE_SHAPE)])
    for layer in architecture.layers:
        match layer:
            case Convolution(filters, kernel, padding):
                # "same" pads by half the kernel, which is what the architectures ask for.
                same = "same" if padding else "valid"
                model.add(keras.layers.Conv2D(filters, kernel, padding=same, activation="relu"))
            case MaxPool(size):
                model.add(keras.layers.MaxPooling2D(size))
            case Flatten():
                model.add(keras.layers.Flatten())
            case Dense(units, relu):
                model.add(keras.layers.Dense(units, activation="relu" if relu else None))
    return model


class Trainer:
    def __init__(self, architecture: Architecture, recipe: Recipe, device: str, dtype: str) -> None:
        # Keras computes on the GPU whenever PyTorch sees one; a worker for the CPU hides it.
        self.architecture = architecture
        self.batch_size = recipe.batch_size
        self.dtype = dtype
        if dtype == "float64":
            # Keras multiplies float64 matrices in float32 here (keras-team/keras#23704), and there
            # is no public way to have it otherwise. No worker that is timed needs this.
            from keras.src.backend.common import dtypes

            dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        self.model = build_model(architecture)
        match recipe.optimizer:
            case SGD(learning_rate, momentum):
                optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
            case Adam(learning_rate, beta_1, beta_2, epsilon):
                optimizer = keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon)
        self.model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        # The default jit_compile="auto" means eager here; True would mean torch.compile.
        self.compilation = "torch.compile" if self.model.jit_compile else "eager"
        optimizer.build(self.model.trainable_variables)
        self.fresh_optimizer = [variable.numpy() for variable in optimizer.variables]

    def reset(self) -> None:
        self.model.set_weights(self.start)
        for variable, fresh in zip(
            self.model.optimizer.variables, self.fresh_optimizer, strict=True
        ):
            variable.assign(fresh)
        self.model.reset_metrics()

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        images = keras.ops.convert_to_tensor(images, self.dtype)
        return images, keras.ops.convert_to_tensor(labels, "int64")

    def fetch(self, tensor: torch.Tensor) -> np.ndarray:
        return keras.ops.convert_to_numpy(tensor)

    def forward(self, images: torch.Tensor) -> np.ndarray:
        return self.model.predict_on_batch(images)

    def placement(self, images: torch.Tensor) -> dict[str, object]:
        layout = None
        for layer in self.model.layers:
            images = layer(images)
            if isinstance(layer, keras.layers.Conv2D):
                last = images.shape[-1] == layer.filters
                layout = "channels_last" if last else "channels_first"
        tensors = [*(weight.value for weight in self.model.weights), images]
        return {
            "devices": sorted({tensor.device.type for tensor in tensors}),
            "dtypes": sorted({keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors}),
            "layout": layout,
        }

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        return keras.ops.softmax(self.forward(images))

    def train_step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        return self.model.train_on_batch(images, labels)

    def train_epoch(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        order: np.ndarray,
        trained: Callable[[], None],
    ) -> None:
        order = torch.from_numpy(order).to(images.device)
        images, labels = images[order], labels[order]
        after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained())
        self.model.fit(
            images,
            labels,
            batch_size=self.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[after],
        )

    def get_weights(self) -> Weights:
        return dict(zip(self.architecture.weight_shapes(), self.model.get_weights(), strict=True))

    def set_weights(self, weights: Weights) -> None:
        self.start = [weights[name] for name in self.architecture.weight_shapes()]
        self.reset()

    def synchronize(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
