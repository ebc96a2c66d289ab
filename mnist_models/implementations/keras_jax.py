"""Keras on JAX as its users write it: the code of `keras_tensorflow`, on another backend."""

import os

os.environ["KERAS_BACKEND"] = "jax"

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import jax
import keras
import numpy as np

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
    return {"jax": jax.__version__, "keras": keras.__version__}


def devices() -> list[str]:
    return ["cpu", "gpu"] if jax.default_backend() == "gpu" else ["cpu"]


def configure(threads: int) -> dict[str, object]:
    # JAX has no setting for threads: XLA reads NPROC when JAX looks for devices, which is below.
    os.environ["NPROC"] = str(threads)
    jax.numpy.zeros(1).block_until_ready()
    return {"threads": max(threads, pool())}


def set_precision(precision: str) -> dict[str, bool]:
    # JAX's own default is TF32 for convolutions and matrix products alike.
    tf32 = "tensorfloat32" if precision == "tf32" else "float32"
    jax.config.update("jax_default_matmul_precision", tf32)
    return {"tf32": jax.config.jax_default_matmul_precision == "tensorfloat32"}


def peak_gpu_memory() -> int:
    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]


def pool() -> int:
    """Threads in XLA's pool, those that Linux lists; JAX tells nobody how many they are."""
    found = 0
    for name in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # a thread that has just ended
            found += name.read_text().startswith("tf_XLAEigen")
    return found


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
        # JAX computes on the GPU whenever it sees one; a worker for the CPU hides it.
        self.architecture = architecture
        self.batch_size = recipe.batch_size
        self.dtype = dtype
        if dtype == "float64":
            # Without it JAX takes float64 for float32. No worker that is timed needs this.
            jax.config.update("jax_enable_x64", True)
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        self.model = build_model(architecture)
        match recipe.optimizer:
            case SGD(learning_rate, momentum):
                optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
            case Adam(learning_rate, beta_1, beta_2, epsilon):
                optimizer = keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon)
        self.model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        # The default jit_compile="auto" means XLA, wherever JAX runs.
        self.compilation = "XLA" if self.model.jit_compile else "eager"
        optimizer.build(self.model.trainable_variables)
        self.fresh_optimizer = [variable.numpy() for variable in optimizer.variables]

    def reset(self) -> None:
        # From NumPy's copies: a training step gives away the arrays that it starts from.
        self.model.set_weights(self.start)
        for variable, fresh in zip(
            self.model.optimizer.variables, self.fresh_optimizer, strict=True
        ):
            variable.assign(fresh)
        self.model.reset_metrics()

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return jax.numpy.array(images, self.dtype), jax.numpy.array(labels, "int32")

    def fetch(self, tensor: jax.Array) -> np.ndarray:
        return keras.ops.convert_to_numpy(tensor)

    def forward(self, images: jax.Array) -> np.ndarray:
        return self.model.predict_on_batch(images)

    def placement(self, images: jax.Array) -> dict[str, object]:
        layout = None
        for layer in self.model.layers:
            images = layer(images)
            if isinstance(layer, keras.layers.Conv2D):
                last = images.shape[-1] == layer.filters
                layout = "channels_last" if last else "channels_first"
        tensors = [*(weight.value for weight in self.model.weights), images]
        return {
            "devices": sorted({tensor.device.platform for tensor in tensors}),
            "dtypes": sorted({keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors}),
            "layout": layout,
        }

    def probabilities(self, images: jax.Array) -> jax.Array:
        return keras.ops.softmax(self.forward(images))

    def train_step(self, images: jax.Array, labels: jax.Array) -> float:
        return self.model.train_on_batch(images, labels)

    def train_epoch(
        self, images: jax.Array, labels: jax.Array, order: np.ndarray, trained: Callable[[], None]
    ) -> None:
        # Keras takes a JAX array back to the host before it slices it.
        images, labels = np.asarray(images)[order], np.asarray(labels)[order]
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
        # JAX waits for arrays, not for the device; these are all that a step or a reset leaves.
        variables = self.model.variables + self.model.optimizer.variables
        jax.block_until_ready([variable.value for variable in variables])
