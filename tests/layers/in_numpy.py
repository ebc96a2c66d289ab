"""Each type of layer alone, by hand: behind a layer that shows the gradient of its input."""

from mnist_models.numpy_layers import (
    GELU,
    GRU,
    LSTM,
    Attention,
    AveragePool,
    BatchNormalization,
    Convolution,
    Dense,
    DepthwiseConvolution,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    LayerNormalization,
    MaxPool,
    Reshape,
    Sequential,
)


class Tokens(Layer):
    """The middle row as 28 whole numbers up to 16."""

    def forward(self, x, training=False):
        return (x[:, 14, :, 0] * 16).astype(int)

    def backward(self, delta):
        return delta


def of_image(layer, shape, bias=True):
    before = Convolution(1, 4, 3, bias=bias)
    return Sequential(before=before, layer=layer, flatten=Flatten(), logits=Dense(shape, 10))


def of_rows(layer, features=28 * 8, last=False):
    after = {} if last else {"flatten": Flatten()}
    rows, before = Reshape(28, 28), Dense(28, 8)
    return Sequential(rows=rows, before=before, layer=layer, **after, logits=Dense(features, 10))


def of_numbers(layer, features=16):
    before = Dense((28, 28, 1), 16)
    return Sequential(flatten=Flatten(), before=before, layer=layer, logits=Dense(features, 10))


LAYERS = {
    "dense": lambda: of_numbers(Dense(16, 12), 12),
    "convolution": lambda: of_image(Convolution(4, 3, 3, padding=1), (26, 26, 3)),
    "strided": lambda: of_image(Convolution(4, 3, 3, padding=1, stride=2), (13, 13, 3)),
    "depthwise": lambda: of_image(DepthwiseConvolution(4, 2, 3, padding=1, stride=2), (13, 13, 8)),
    "max_pooling": lambda: of_image(MaxPool(3), (8, 8, 4)),
    "average_pooling": lambda: of_image(AveragePool(3), (8, 8, 4)),
    "batch_normalization": lambda: of_image(
        BatchNormalization(4, keep=0.875, epsilon=2**-10), (26, 26, 4), bias=False
    ),
    "layer_normalization": lambda: of_rows(LayerNormalization(8, 2**-10)),
    "gelu": lambda: of_numbers(GELU()),
    "gelu_tanh": lambda: of_numbers(GELU(tanh=True)),
    "lstm": lambda: of_rows(LSTM(8, 6), 6, last=True),
    "gru": lambda: of_rows(GRU(8, 6), 6, last=True),
    "attention": lambda: of_rows(Attention(8, heads=2)),
    "causal_attention": lambda: of_rows(Attention(8, heads=2, causal=True)),
    "embedding": lambda: Sequential(
        tokens=Tokens(), layer=Embedding(17, 8), flatten=Flatten(), logits=Dense(28 * 8, 10)
    ),
    "dropout": lambda: of_numbers(Dropout(0.25)),
}


def build(name):
    return LAYERS[name]()
