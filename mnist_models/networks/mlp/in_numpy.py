"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import Dense, Flatten, ReLU, Sequential


def build(units: int = 512) -> Sequential:
    return Sequential(
        flatten=Flatten(),
        hidden=Dense(28 * 28, units),
        relu=ReLU(),
        logits=Dense(units, 10),
    )
