"""Common mistakes in Keras, each in otherwise right code. Images are (n, 28, 28, 1)."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from examples.mistakes import CannotHappen, accepted


def versions():
    """What the messages depend on."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def fresh_start(seed):
    """Forget all models, and start from a seed's random numbers."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)


# What is right


def build_model(units=64):
    """A small network with a dropout, from images to logits."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(10),
        ]
    )


def train(model, images, labels, loss_function=None, optimizer=None):
    """Compile and fit."""
    if loss_function is None:
        loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if optimizer is None:
        optimizer = keras.optimizers.Adam(0.003)
    model.compile(optimizer=optimizer, loss=loss_function)
    model.fit(images, labels, batch_size=64, epochs=3, verbose=0)


def predict(model, images):
    """The class of each image."""
    return model.predict(images, verbose=0).argmax(axis=1)


def nothing_wrong(images, labels, test_images):
    """Nothing is wrong."""
    model = build_model()
    train(model, images, labels)
    return predict(model, test_images)


# Images


def flattened_images(images, labels, test_images):
    """Images are given as rows of pixels."""
    model = build_model()
    train(model, images.reshape(-1, 784), labels)
    return predict(model, test_images.reshape(-1, 784))


def channels_at_the_wrong_end(images, labels, test_images):
    """The channel axis is where the other framework has it."""
    model = build_model()
    train(model, np.moveaxis(images, -1, 1), labels)
    return predict(model, np.moveaxis(test_images, -1, 1))


@accepted("a channel axis is added to what lacks one")
def no_channel_axis(images, labels, test_images):
    """Images have no channel axis."""
    model = build_model()
    train(model, images[..., 0], labels)
    return predict(model, test_images[..., 0])


def a_single_image(images, labels, test_images):
    """A prediction is asked for one image without a batch axis."""
    model = build_model()
    train(model, images, labels)
    return np.concatenate([predict(model, image) for image in test_images])


@accepted("`fit` and `predict` turn them into float32")
def float64_images(images, labels, test_images):
    """Images are float64."""
    model = build_model()
    train(model, images.astype("float64"), labels)
    return predict(model, test_images.astype("float64"))


def bytes_as_images(images, labels, test_images):
    """Images are bytes from 0 to 255, as they come from the file."""
    images, test_images = (np.rint(255 * each).astype("uint8") for each in (images, test_images))
    model = build_model()
    train(model, images, labels)
    return predict(model, test_images)


def nan_in_an_image(images, labels, test_images):
    """One pixel of one training image is NaN."""
    images = images.copy()
    images.flat[images.size // 2] = np.nan
    model = build_model()
    train(model, images, labels)
    return predict(model, test_images)


# Labels and loss


@accepted("the loss turns them into integers")
def float_labels(images, labels, test_images):
    """Labels are floating-point numbers."""
    model = build_model()
    train(model, images, labels.astype("float32"))
    return predict(model, test_images)


def one_hot_labels(images, labels, test_images):
    """Labels are one-hot, as floating-point numbers, and the loss is the one for class numbers."""
    model = build_model()
    train(model, images, np.eye(10, dtype="float32")[labels])
    return predict(model, test_images)


def integer_one_hot_labels(images, labels, test_images):
    """Labels are one-hot, as integers, and the loss is the one for class numbers."""
    model = build_model()
    train(model, images, np.eye(10, dtype="int64")[labels])
    return predict(model, test_images)


def labels_not_one_hot(images, labels, test_images):
    """Labels are class numbers, and the loss is the one for one-hot labels."""
    model = build_model()
    train(model, images, labels, keras.losses.CategoricalCrossentropy(from_logits=True))
    return predict(model, test_images)


def label_out_of_range(images, labels, test_images):
    """Labels go from 1 to 10."""
    model = build_model()
    train(model, images, labels + 1)
    return predict(model, test_images)


def one_label_too_few(images, labels, test_images):
    """There is one label fewer than there are images."""
    model = build_model()
    train(model, images, labels[:-1])
    return predict(model, test_images)


def labels_of_other_images(images, labels, test_images):
    """Images are shuffled without their labels."""
    model = build_model()
    train(model, np.random.default_rng(0).permutation(images), labels)
    return predict(model, test_images)


def softmax_before_the_loss(images, labels, test_images):
    """The model ends in a softmax, and the loss expects logits."""
    model = build_model()
    model.add(keras.layers.Softmax())
    train(model, images, labels)
    return predict(model, test_images)


def logits_taken_for_probabilities(images, labels, test_images):
    """The model ends in logits, and the loss expects what a softmax or log-softmax gives."""
    model = build_model()
    train(model, images, labels, "sparse_categorical_crossentropy")
    return predict(model, test_images)


# Training


def gradients_not_reset(images, labels, test_images):
    """Gradients are not reset between steps."""
    raise CannotHappen("gradients are computed anew in each step and kept nowhere")


def model_not_compiled(images, labels, test_images):
    """The model is not compiled."""
    model = build_model()
    model.fit(images, labels, batch_size=64, epochs=3, verbose=0)
    return predict(model, test_images)


def no_optimizer(images, labels, test_images):
    """The optimiser's step is left out."""
    raise CannotHappen("`fit` takes the optimiser's step itself")


def optimizer_of_another_model(images, labels, test_images):
    """The optimiser has served a model that was then built anew."""
    optimizer = keras.optimizers.Adam(0.003)
    train(build_model(), images, labels, optimizer=optimizer)
    model = build_model()
    train(model, images, labels, optimizer=optimizer)
    return predict(model, test_images)


def learning_rate_too_large(images, labels, test_images):
    """The learning rate is 1 and should be 0.003."""
    model = build_model()
    train(model, images, labels, optimizer=keras.optimizers.Adam(1.0))
    return predict(model, test_images)


@accepted("`fit` shuffles unless told not to")
def data_not_shuffled(images, labels, test_images):
    """Training data are sorted by class, and nobody asks for shuffling."""
    order = np.argsort(labels, kind="stable")
    model = build_model()
    train(model, images[order], labels[order])
    return predict(model, test_images)


# Layers and weights


def sizes_of_layers(images, labels, test_images):
    """A layer is declared with another input size than what the one before it gives."""
    raise CannotHappen("a layer takes its input size from the layer before it")


class NetworkWithAList(keras.Model):
    """The same network, its layers but the last in a Python list."""

    def __init__(self):
        """Take the layers of the right one."""
        super().__init__()
        *self.hidden, self.logits = build_model().layers

    def call(self, inputs):
        """From images to logits."""
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.logits(inputs)


@accepted("layers in lists are found")
def layers_in_a_list(images, labels, test_images):
    """A model keeps its hidden layers in a plain Python list."""
    model = NetworkWithAList()
    train(model, images, labels)
    return predict(model, test_images)


class PlainKernel(keras.layers.Layer):
    """A fully connected layer whose kernel is no weight."""

    def build(self, input_shape):
        """Draw the kernel."""
        self.kernel = 0.03 * keras.random.normal((input_shape[-1], 64))

    def call(self, inputs):
        """Multiply, and cut off below zero."""
        return keras.ops.relu(keras.ops.matmul(inputs, self.kernel))


def untrained_variable(images, labels, test_images):
    """A custom layer keeps its kernel in a plain tensor."""
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            PlainKernel(),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(10),
        ]
    )
    train(model, images, labels)
    return predict(model, test_images)


def weights_of_another_network(images, labels, test_images):
    """Saved weights are of a network with another number of units."""
    other, model = build_model(units=100), build_model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "other.weights.h5")
        other.save_weights(path)
        model.load_weights(path)
    return predict(model, test_images)


def training_mode_left_on(images, labels, test_images):
    """The model is not told that training is over."""
    raise CannotHappen("`fit` and `predict` each set the mode themselves")
