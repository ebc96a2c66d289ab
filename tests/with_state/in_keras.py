"""The network as Keras's users write it."""

import keras
from keras import layers


def build() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 3, use_bias=False, name="block_conv"),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name="block_norm"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(10, name="logits"),
        ]
    )
