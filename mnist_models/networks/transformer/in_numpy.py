"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import (
    GELU,
    Attention,
    Chain,
    Convolution,
    Dense,
    Dropout,
    LayerNormalization,
    Mean,
    Positions,
    Reshape,
    Residual,
    Sequential,
)


def norm() -> LayerNormalization:
    return LayerNormalization(64, epsilon=1e-5)


def block() -> Chain:
    return Chain(
        Residual(
            norm1=norm(),
            attention=Attention(64, heads=4),
            dropout1=Dropout(0.1),
        ),
        Residual(
            norm2=norm(),
            dense1=Dense(64, 64),
            gelu=GELU(),
            dense2=Dense(64, 64),
            dropout2=Dropout(0.1),
        ),
    )


def build() -> Sequential:
    return Sequential(
        patches=Convolution(1, 64, size=7, stride=7),
        tokens=Reshape(16, 64),
        positions=Positions(16, 64),
        block1=block(),
        block2=block(),
        norm=norm(),
        mean=Mean(),
        logits=Dense(64, 10),
    )
