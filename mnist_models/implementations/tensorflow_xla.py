"""TensorFlow's custom loop, compiled by XLA: `tensorflow_function` with one thing changed.

The same functions under `tf.function(jit_compile=True)`.
"""

import tensorflow as tf

from mnist_models.implementations import tensorflow_function
from mnist_models.implementations.tensorflow_function import (  # noqa: F401  (the contract)
    CONVENTIONS,
    configure,
    devices,
    peak_gpu_memory,
    set_precision,
    versions,
)
from mnist_models.networks import Network
from mnist_models.recipe import Recipe


class Trainer(tensorflow_function.Trainer):
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        super().__init__(network, recipe, device, dtype)
        self.compilation = "XLA"

    forward = tf.function(tensorflow_function.Trainer.forward.python_function, jit_compile=True)
    train_step = tf.function(
        tensorflow_function.Trainer.train_step.python_function, jit_compile=True
    )
