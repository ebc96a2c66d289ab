"""Inspect a gradient: that of the mean loss, for each of the model's weights, as NumPy arrays."""

import keras
import tensorflow as tf


def gradients(model, images, labels):
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        loss = loss_function(labels, model(images))
    found = tape.gradient(loss, model.trainable_variables)
    return [gradient.numpy() for gradient in found]


if __name__ == "__main__":
    from examples.keras_tasks.define import build_model
    from mnist_models import data

    mnist = data.load()
    images, labels = data.preprocess(mnist.test_images[:128]), mnist.test_labels[:128].astype(int)
    for gradient in gradients(build_model(), images, labels):
        print(gradient.shape, abs(gradient).max())
