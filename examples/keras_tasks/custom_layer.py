"""Write a layer of one's own: a fully connected one, with its kernel and its bias."""

import keras


class Affine(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    # Keras asks for the weights when it first sees an input's shape.
    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.kernel) + self.bias


if __name__ == "__main__":
    from mnist_models import data

    images = data.preprocess(data.load().test_images[:5])
    print(Affine(10)(images.reshape(5, 784)))
