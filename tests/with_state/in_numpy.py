"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import (
    BatchNormalization,
    Convolution,
    Dense,
    Flatten,
    ReLU,
    Sequential,
)


def build() -> Sequential:
    return Sequential(
        block=Sequential(
            conv=Convolution(1, 4, size=3, bias=False),
            norm=BatchNormalization(4, keep=0.9, epsilon=1e-3),
            relu=ReLU(),
        ),
        flatten=Flatten(),
        logits=Dense((26, 26, 4), 10),
    )
