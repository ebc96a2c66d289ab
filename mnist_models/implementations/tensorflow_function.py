"""TensorFlow's custom loop: `keras_tensorflow` with one thing changed, who runs the training.

The same Keras layers and optimiser, but called and trained through `tf.GradientTape` under
`tf.function` instead of `predict_on_batch`, `train_on_batch` and `fit`.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mnist_models.implementations import keras_tensorflow
from mnist_models.implementations.keras_tensorflow import (  # noqa: F401  (the contract)
    CONVENTIONS,
    configure,
    devices,
    peak_gpu_memory,
    set_precision,
    versions,
)
from mnist_models.networks import Network
from mnist_models.recipe import Recipe


class Trainer(keras_tensorflow.Trainer):
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        super().__init__(network, recipe, device, dtype)
        self.compilation = "graph"

    @tf.function
    def forward(self, images: tf.Tensor) -> tf.Tensor:
        return self.model(images, training=False)

    @tf.function
    def train_step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self.model.loss(labels, self.model(images, training=True))
        variables = self.model.trainable_variables
        self.model.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def train_epoch(
        self, images: tf.Tensor, labels: tf.Tensor, order: np.ndarray, trained: Callable[[], None]
    ) -> None:
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            self.train_step(tf.gather(images, batch), tf.gather(labels, batch))
        trained()
