"""Keras on TensorFlow as its users write it: `keras.Sequential`, `compile`, `fit`."""

import os
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port

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
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def devices() -> list[str]:
    return ["cpu", "gpu"] if tf.config.list_physical_devices("GPU") else ["cpu"]


def configure(threads: int) -> dict[str, object]:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    return {
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "interop_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        # TensorFlow's own default depends on the processor, and only this tells what it is.
        "onednn": _pywrap_util_port.IsMklEnabled(),
    }


def set_precision(precision: str) -> dict[str, bool]:
    # TensorFlow's own default is TF32 for convolutions and matrix products alike.
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
    return {"tf32": tf.config.experimental.tensor_float_32_execution_enabled()}


def peak_gpu_memory() -> int:
    return tf.config.experimental.get_memory_info("GPU:0")["peak"]


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
        # TensorFlow computes on the GPU whenever it sees one; a worker for the CPU hides it.
        self.architecture = architecture
        self.batch_size = recipe.batch_size
        self.dtype = dtype
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        self.model = build_model(architecture)
        match recipe.optimizer:
            case SGD(learning_rate, momentum):
                optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
            case Adam(learning_rate, beta_1, beta_2, epsilon):
                optimizer = keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon)
        self.model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        # The default jit_compile="auto" means a graph on CPUs, and XLA where there is a GPU.
        self.compilation = "XLA" if self.model.jit_compile else "graph"
        self.returns_late = "fit returns when tf.data's autotuner next wakes up"
        optimizer.build(self.model.trainable_variables)
        self.fresh_optimizer = [variable.numpy() for variable in optimizer.variables]

    def reset(self) -> None:
        self.model.set_weights(self.start)
        for variable, fresh in zip(
            self.model.optimizer.variables, self.fresh_optimizer, strict=True
        ):
            variable.assign(fresh)
        self.model.reset_metrics()

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.constant(images, self.dtype), tf.constant(labels, "int64")

    def fetch(self, tensor: tf.Tensor) -> np.ndarray:
        return keras.ops.convert_to_numpy(tensor)

    def forward(self, images: tf.Tensor) -> np.ndarray:
        return self.model.predict_on_batch(images)

    def placement(self, images: tf.Tensor) -> dict[str, object]:
        layout = None
        for layer in self.model.layers:
            images = layer(images)
            if isinstance(layer, keras.layers.Conv2D):
                last = images.shape[-1] == layer.filters
                layout = "channels_last" if last else "channels_first"
        tensors = [*(weight.value for weight in self.model.weights), images]
        return {
            "devices": sorted({"gpu" if "GPU" in tensor.device else "cpu" for tensor in tensors}),
            "dtypes": sorted({keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors}),
            "layout": layout,
        }

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        return keras.ops.softmax(self.forward(images))

    def train_step(self, images: tf.Tensor, labels: tf.Tensor) -> float:
        return self.model.train_on_batch(images, labels)

    def train_epoch(
        self, images: tf.Tensor, labels: tf.Tensor, order: np.ndarray, trained: Callable[[], None]
    ) -> None:
        images, labels = tf.gather(images, order), tf.gather(labels, order)
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
        tf.test.experimental.sync_devices()
