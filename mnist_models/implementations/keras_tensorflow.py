"""Keras on TensorFlow as its users write it: `compile`, `fit`, `train_on_batch`.

keras_trainer.py has the Keras code, this file what TensorFlow needs.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.util import _pywrap_util_port

from mnist_models import cpus, keras_trainer
from mnist_models.conventions import TEXTBOOK
from mnist_models.defaults import in_keras
from mnist_models.networks import Network
from mnist_models.recipe import Recipe

# TensorFlow rounds GELU's constants to float32, in float64 as well.
CONVENTIONS = replace(
    keras_trainer.CONVENTIONS,
    sqrt_half=float(np.float32(TEXTBOOK.sqrt_half)),
    gelu_cubic=float(np.float32(TEXTBOOK.gelu_cubic)),
    rough_statistics=True,
)

DEFAULTS = in_keras


def versions() -> dict[str, str]:
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def devices() -> list[str]:
    return ["cpu", "gpu"] if tf.config.list_physical_devices("GPU") else ["cpu"]


def configure(threads: int) -> dict[str, object]:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(cpus.across(threads))
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


class Trainer(keras_trainer.Trainer):
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        super().__init__(network, recipe, device, dtype)
        self.on_gpu = device == "gpu"
        # The default jit_compile="auto" means a graph on CPUs, and XLA where there is a GPU.
        self.compilation = "XLA" if self.model.jit_compile else "graph"
        self.returns_late = "fit returns when tf.data's autotuner next wakes up"

    def ordered(
        self, images: tf.Tensor, labels: tf.Tensor, order: np.ndarray
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(images, order), tf.gather(labels, order)

    def device_of(self, tensor: tf.Tensor) -> str:
        return "gpu" if "GPU" in tensor.device else "cpu"

    def compilations(self) -> int:
        # Each trace adds a function. Keras wraps tf.function, which has a count of its own.
        return len(context.context().list_function_names())

    def synchronize(self) -> None:
        # Where there is no GPU, calls end when they return, and this one alone takes 40 µs.
        if self.on_gpu:
            tf.test.experimental.sync_devices()
