"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import Convolution, Dense, Flatten, MaxPool, ReLU, Sequential


def build() -> Sequential:
    return Sequential(
        conv1=Convolution(1, 6, size=5, padding=2),
        relu1=ReLU(),
        pool1=MaxPool(2),
        conv2=Convolution(6, 16, size=5),
        relu2=ReLU(),
        pool2=MaxPool(2),
        flatten=Flatten(),
        hidden1=Dense((5, 5, 16), 120),
        relu3=ReLU(),
        hidden2=Dense(120, 84),
        relu4=ReLU(),
        logits=Dense(84, 10),
    )
