"""The network as Keras's users write it."""

import keras
from keras import layers


def norm(name):
    # Keras's own defaults are 0.99 and 1e-3. PyTorch's 0.1 is 0.9 here, and its epsilon 1e-5.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


def conv(x, filters, stride, name):
    padding = "same"
    if stride == 2:
        # Of an even size, "same" would pad nothing but the right and the lower edge.
        x, padding = layers.ZeroPadding2D(1)(x), "valid"
    return layers.Conv2D(filters, 3, stride, padding, use_bias=False, name=name)(x)


def block(x, filters, stride, name):
    shortcut = x
    x = conv(x, filters, stride, f"{name}_conv1")
    x = layers.ReLU()(norm(f"{name}_norm1")(x))
    x = conv(x, filters, 1, f"{name}_conv2")
    x = norm(f"{name}_norm2")(x)
    if stride != 1:
        project = layers.Conv2D(filters, 1, stride, use_bias=False, name=f"{name}_shortcut_conv")
        shortcut = norm(f"{name}_shortcut_norm")(project(shortcut))
    return layers.ReLU()(x + shortcut)


def build() -> keras.Model:
    images = keras.Input((28, 28, 1))
    x = conv(images, 8, 2, "conv")
    x = layers.ReLU()(norm("norm")(x))
    x = block(x, 8, 1, "block1")
    x = block(x, 16, 2, "block2")
    x = block(x, 32, 2, "block3")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(10, name="logits")(x))
