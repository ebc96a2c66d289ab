"""The network as Keras's users write it."""

import keras
from keras import layers


def build() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Reshape((28, 28)),
            layers.LSTM(128, name="lstm"),
            layers.Dense(10, name="logits"),
        ]
    )
