"""Common mistakes in PyTorch, each in otherwise right code. Images are (n, 1, 28, 28)."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from examples.mistakes import CannotHappen, accepted


def versions():
    """What the messages depend on."""
    return {"torch": torch.__version__.split("+")[0]}


def fresh_start(seed):
    """Start from a seed's random numbers."""
    torch.manual_seed(seed)


# What is right


def build_model(units=64):
    """A small network with a dropout, from images to logits."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 13 * 13, units),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(units, 10),
    )


def batches(images, labels):
    """Pairs of tensors, 64 images and labels each."""
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    return DataLoader(dataset, batch_size=64, shuffle=True)


def train(model, loader, loss_function=None, optimizer=None):
    """The plain loop."""
    loss_function = loss_function or nn.CrossEntropyLoss()
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.003)
    model.train()
    for _ in range(3):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()


def predict(model, images):
    """The class of each image."""
    model.eval()
    with torch.inference_mode():
        return model(torch.from_numpy(images)).argmax(dim=1).numpy()


def nothing_wrong(images, labels, test_images):
    """Nothing is wrong."""
    model = build_model()
    train(model, batches(images, labels))
    return predict(model, test_images)


# Images


def flattened_images(images, labels, test_images):
    """Images are given as rows of pixels."""
    model = build_model()
    train(model, batches(images.reshape(-1, 784), labels))
    return predict(model, test_images.reshape(-1, 784))


def channels_at_the_wrong_end(images, labels, test_images):
    """The channel axis is where the other framework has it."""
    model = build_model()
    train(model, batches(np.moveaxis(images, 1, -1), labels))
    return predict(model, np.moveaxis(test_images, 1, -1))


def no_channel_axis(images, labels, test_images):
    """Images have no channel axis."""
    model = build_model()
    train(model, batches(images[:, 0], labels))
    return predict(model, test_images[:, 0])


def a_single_image(images, labels, test_images):
    """A prediction is asked for one image without a batch axis."""
    model = build_model()
    train(model, batches(images, labels))
    return np.concatenate([predict(model, image) for image in test_images])


def float64_images(images, labels, test_images):
    """Images are float64."""
    model = build_model()
    train(model, batches(images.astype("float64"), labels))
    return predict(model, test_images.astype("float64"))


def bytes_as_images(images, labels, test_images):
    """Images are bytes from 0 to 255, as they come from the file."""
    images, test_images = (np.rint(255 * each).astype("uint8") for each in (images, test_images))
    model = build_model()
    train(model, batches(images, labels))
    return predict(model, test_images)


def nan_in_an_image(images, labels, test_images):
    """One pixel of one training image is NaN."""
    images = images.copy()
    images.flat[images.size // 2] = np.nan
    model = build_model()
    train(model, batches(images, labels))
    return predict(model, test_images)


# Labels and loss


def float_labels(images, labels, test_images):
    """Labels are floating-point numbers."""
    model = build_model()
    train(model, batches(images, labels.astype("float32")))
    return predict(model, test_images)


@accepted("`CrossEntropyLoss` takes them for the classes' probabilities")
def one_hot_labels(images, labels, test_images):
    """Labels are one-hot, as floating-point numbers, and the loss is the one for class numbers."""
    model = build_model()
    train(model, batches(images, np.eye(10, dtype="float32")[labels]))
    return predict(model, test_images)


def integer_one_hot_labels(images, labels, test_images):
    """Labels are one-hot, as integers, and the loss is the one for class numbers."""
    model = build_model()
    train(model, batches(images, np.eye(10, dtype="int64")[labels]))
    return predict(model, test_images)


def labels_not_one_hot(images, labels, test_images):
    """Labels are class numbers, and the loss is the one for one-hot labels."""
    raise CannotHappen("one loss, `CrossEntropyLoss`, takes both kinds of labels")


def label_out_of_range(images, labels, test_images):
    """Labels go from 1 to 10."""
    model = build_model()
    train(model, batches(images, labels + 1))
    return predict(model, test_images)


def one_label_too_few(images, labels, test_images):
    """There is one label fewer than there are images."""
    model = build_model()
    train(model, batches(images, labels[:-1]))
    return predict(model, test_images)


def labels_of_other_images(images, labels, test_images):
    """Images are shuffled without their labels."""
    model = build_model()
    train(model, batches(np.random.default_rng(0).permutation(images), labels))
    return predict(model, test_images)


def softmax_before_the_loss(images, labels, test_images):
    """The model ends in a softmax, and the loss expects logits."""
    model = build_model()
    model.append(nn.Softmax(dim=1))
    train(model, batches(images, labels))
    return predict(model, test_images)


def logits_taken_for_probabilities(images, labels, test_images):
    """The model ends in logits, and the loss expects what a softmax or log-softmax gives."""
    model = build_model()
    train(model, batches(images, labels), nn.NLLLoss())
    return predict(model, test_images)


# Training


def gradients_not_reset(images, labels, test_images):
    """Gradients are not reset between steps."""
    model = build_model()
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(3):
        for inputs, targets in batches(images, labels):
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
    return predict(model, test_images)


def model_not_compiled(images, labels, test_images):
    """The model is not compiled."""
    raise CannotHappen("there is nothing to compile")


def no_optimizer(images, labels, test_images):
    """The optimiser's step is left out."""
    model = build_model()
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(3):
        for inputs, targets in batches(images, labels):
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
    return predict(model, test_images)


def optimizer_of_another_model(images, labels, test_images):
    """The optimiser has served a model that was then built anew."""
    model = build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    train(model, batches(images, labels), optimizer=optimizer)
    model = build_model()
    train(model, batches(images, labels), optimizer=optimizer)
    return predict(model, test_images)


def learning_rate_too_large(images, labels, test_images):
    """The learning rate is 1 and should be 0.003."""
    model = build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    train(model, batches(images, labels), optimizer=optimizer)
    return predict(model, test_images)


def data_not_shuffled(images, labels, test_images):
    """Training data are sorted by class, and nobody asks for shuffling."""
    order = np.argsort(labels, kind="stable")
    dataset = TensorDataset(torch.from_numpy(images[order]), torch.from_numpy(labels[order]))
    model = build_model()
    train(model, DataLoader(dataset, batch_size=64))
    return predict(model, test_images)


# Layers and weights


def sizes_of_layers(images, labels, test_images):
    """A layer is declared with another input size than what the one before it gives."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(100, 64),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(64, 10),
    )
    train(model, batches(images, labels))
    return predict(model, test_images)


class NetworkWithAList(nn.Module):
    """The same network, its layers but the last in a Python list."""

    def __init__(self):
        """Take the layers of the right one."""
        super().__init__()
        *self.hidden, self.logits = build_model()

    def forward(self, inputs):
        """From images to logits."""
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.logits(inputs)


def layers_in_a_list(images, labels, test_images):
    """A model keeps its hidden layers in a plain Python list."""
    model = NetworkWithAList()
    train(model, batches(images, labels))
    return predict(model, test_images)


class PlainKernel(nn.Module):
    """A fully connected layer whose kernel is no parameter."""

    def __init__(self):
        """Draw the kernel."""
        super().__init__()
        self.kernel = 0.03 * torch.randn(8 * 13 * 13, 64)

    def forward(self, inputs):
        """Multiply, and cut off below zero."""
        return (inputs @ self.kernel).relu()


def untrained_variable(images, labels, test_images):
    """A custom layer keeps its kernel in a plain tensor."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        PlainKernel(),
        nn.Dropout(0.25),
        nn.Linear(64, 10),
    )
    train(model, batches(images, labels))
    return predict(model, test_images)


def weights_of_another_network(images, labels, test_images):
    """Saved weights are of a network with another number of units."""
    other, model = build_model(units=100), build_model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "other.pt")
        torch.save(other.state_dict(), path)
        model.load_state_dict(torch.load(path, weights_only=True))
    return predict(model, test_images)


def training_mode_left_on(images, labels, test_images):
    """The model is not told that training is over."""
    model = build_model()
    train(model, batches(images, labels))
    with torch.inference_mode():
        return model(torch.from_numpy(test_images)).argmax(dim=1).numpy()
