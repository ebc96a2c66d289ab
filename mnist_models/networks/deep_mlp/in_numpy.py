"""The network by hand, in NumPy."""

from mnist_models.numpy_layers import Dense, Flatten, ReLU, Sequential


def build() -> Sequential:
    return Sequential(
        flatten=Flatten(),
        hidden1=Dense(28 * 28, 512),
        relu1=ReLU(),
        hidden2=Dense(512, 256),
        relu2=ReLU(),
        hidden3=Dense(256, 128),
        relu3=ReLU(),
        logits=Dense(128, 10),
    )
