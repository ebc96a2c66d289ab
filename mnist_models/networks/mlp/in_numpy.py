"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import Dense, Flatten, ReLU, Sequential


def build() -> Sequential:
    return Sequential(
        flatten=Flatten(),
        hidden=Dense(28 * 28, 512),
        relu=ReLU(),
        logits=Dense(512, 10),
    )
