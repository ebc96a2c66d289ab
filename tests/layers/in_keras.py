"""Each type of layer alone, in Keras: behind a layer that shows the gradient of its input."""

import keras
from keras import layers, ops


def of_image(*middle, bias=True):
    """Layers on a convolution's output, 26×26×4."""
    before = layers.Conv2D(4, 3, use_bias=bias, name="before")
    return [before, *middle, layers.Flatten(), layers.Dense(10, name="logits")]


def of_rows(*middle, after=(layers.Flatten,)):
    """Layers on 28 rows of 8 features."""
    before = [layers.Reshape((28, 28)), layers.Dense(8, name="before")]
    return [*before, *middle, *(each() for each in after), layers.Dense(10, name="logits")]


def of_numbers(*middle):
    """Layers on 16 features."""
    before = [layers.Flatten(), layers.Dense(16, name="before")]
    return [*before, *middle, layers.Dense(10, name="logits")]


class SelfAttention(layers.MultiHeadAttention):
    causal = False

    def call(self, x):
        return super().call(x, x, use_causal_mask=self.causal)

    def build(self, shape):
        super().build(shape, shape)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


class CausalSelfAttention(SelfAttention):
    causal = True


class Tokens(layers.Layer):
    """The middle row as 28 whole numbers up to 16."""

    def call(self, images):
        return ops.cast(images[:, 14, :, 0] * 16, "int32")


def norm(epsilon):
    return layers.BatchNormalization(momentum=0.875, epsilon=epsilon, name="layer")


LAYERS = {
    "dense": lambda: of_numbers(layers.Dense(12, name="layer")),
    "convolution": lambda: of_image(layers.Conv2D(3, 3, padding="same", name="layer")),
    "strided": lambda: of_image(
        layers.ZeroPadding2D(1), layers.Conv2D(3, 3, strides=2, name="layer")
    ),
    "depthwise": lambda: of_image(
        layers.ZeroPadding2D(1),
        layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, name="layer"),
    ),
    "max_pooling": lambda: of_image(layers.MaxPooling2D(3)),
    "average_pooling": lambda: of_image(layers.AveragePooling2D(3)),
    "batch_normalization": lambda: of_image(norm(2**-10), bias=False),
    "layer_normalization": lambda: of_rows(layers.LayerNormalization(epsilon=2**-10, name="layer")),
    "gelu": lambda: of_numbers(layers.Activation("gelu")),
    "gelu_tanh": lambda: of_numbers(
        layers.Activation(lambda x: keras.activations.gelu(x, approximate=True))
    ),
    "lstm": lambda: of_rows(layers.LSTM(6, name="layer"), after=()),
    "gru": lambda: of_rows(layers.GRU(6, name="layer"), after=()),
    "attention": lambda: of_rows(SelfAttention(2, 4, name="layer")),
    "causal_attention": lambda: of_rows(CausalSelfAttention(2, 4, name="layer")),
    "embedding": lambda: [
        Tokens(),
        layers.Embedding(17, 8, name="layer"),
        layers.Flatten(),
        layers.Dense(10, name="logits"),
    ],
    "dropout": lambda: of_numbers(layers.Dropout(0.25)),
}


def build(name):
    return keras.Sequential([keras.Input((28, 28, 1)), *LAYERS[name]()])
