"""The network as Keras's users write it."""

import keras
from keras import layers


@keras.saving.register_keras_serializable("mnist_models")
class Positions(layers.Layer):
    def build(self, shape):
        self.embeddings = self.add_weight(shape=shape[1:], name="embeddings")

    def call(self, x):
        return x + self.embeddings


def norm(name):
    # Keras's own default is 1e-3, PyTorch's is 1e-5.
    return layers.LayerNormalization(epsilon=1e-5, name=name)


def block(x, name):
    y = norm(f"{name}_norm1")(x)
    # Keras counts the features of one head, PyTorch those of all.
    y = layers.MultiHeadAttention(4, 16, name=f"{name}_attention")(y, y)
    x = x + layers.Dropout(0.1)(y)
    y = norm(f"{name}_norm2")(x)
    y = layers.Dense(64, activation="gelu", name=f"{name}_dense1")(y)
    y = layers.Dense(64, name=f"{name}_dense2")(y)
    return x + layers.Dropout(0.1)(y)


def build() -> keras.Model:
    images = keras.Input((28, 28, 1))
    x = layers.Conv2D(64, 7, strides=7, name="patches")(images)
    x = layers.Reshape((16, 64))(x)
    x = Positions(name="positions")(x)
    x = block(x, "block1")
    x = block(x, "block2")
    x = layers.GlobalAveragePooling1D()(norm("norm")(x))
    return keras.Model(images, layers.Dense(10, name="logits")(x))
