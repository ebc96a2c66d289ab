"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import LSTM, Dense, Reshape, Sequential


def build() -> Sequential:
    return Sequential(
        rows=Reshape(28, 28),
        lstm=LSTM(28, 128),
        logits=Dense(128, 10),
    )
