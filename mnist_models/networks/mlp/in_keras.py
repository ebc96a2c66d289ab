"""The network as Keras's users write it."""

import keras
from keras import layers


def build(units: int = 512) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(units, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )
