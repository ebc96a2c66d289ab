"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import (
    BatchNormalization,
    Chain,
    Convolution,
    Dense,
    Mean,
    ReLU,
    Residual,
    Sequential,
)


def norm(filters: int) -> BatchNormalization:
    return BatchNormalization(filters, keep=0.9, epsilon=1e-5)


def conv(channels: int, filters: int, stride: int = 1) -> Convolution:
    return Convolution(channels, filters, 3, padding=1, stride=stride, bias=False)


def block(channels: int, filters: int, stride: int) -> Chain:
    shortcut = None
    if stride != 1:
        project = Convolution(channels, filters, 1, stride=stride, bias=False)
        shortcut = Sequential(conv=project, norm=norm(filters))
    residual = Residual(
        shortcut,
        conv1=conv(channels, filters, stride),
        norm1=norm(filters),
        relu1=ReLU(),
        conv2=conv(filters, filters),
        norm2=norm(filters),
    )
    return Chain(residual, Sequential(relu2=ReLU()))


def build() -> Sequential:
    return Sequential(
        conv=conv(1, 8, stride=2),
        norm=norm(8),
        relu=ReLU(),
        block1=block(8, 8, stride=1),
        block2=block(8, 16, stride=2),
        block3=block(16, 32, stride=2),
        pool=Mean(),
        logits=Dense(32, 10),
    )
