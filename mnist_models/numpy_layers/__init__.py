"""The reference's layers in NumPy. Each keeps in `forward` what it needs in `backward`.

`forward` maps a batch of inputs to outputs. `backward` maps the gradient of the loss with respect
to the outputs to that with respect to the inputs, and stores those of the weights in `gradients`.
Images are (n, height, width, channels), sequences (n, steps, features).
"""

from mnist_models.numpy_layers.attention import Attention
from mnist_models.numpy_layers.base import Chain, Layer, Residual, Sequential, Weight, leaves
from mnist_models.numpy_layers.dense import (
    GELU,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Mean,
    Positions,
    ReLU,
    Reshape,
)
from mnist_models.numpy_layers.images import AveragePool, Convolution, DepthwiseConvolution, MaxPool
from mnist_models.numpy_layers.normalization import BatchNormalization, LayerNormalization
from mnist_models.numpy_layers.recurrent import GRU, LSTM

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "Attention",
    "AveragePool",
    "BatchNormalization",
    "Chain",
    "Convolution",
    "Dense",
    "DepthwiseConvolution",
    "Dropout",
    "Embedding",
    "Flatten",
    "Layer",
    "LayerNormalization",
    "MaxPool",
    "Mean",
    "Positions",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "Weight",
    "leaves",
]
