"""Inspect a gradient: that of the mean loss, for each of the model's weights, as NumPy arrays."""

import torch
from torch import nn


def gradients(model, images, labels):
    loss_function = nn.CrossEntropyLoss()
    model.zero_grad()
    loss = loss_function(model(torch.from_numpy(images)), torch.from_numpy(labels))
    loss.backward()
    return [parameter.grad.numpy() for parameter in model.parameters()]


if __name__ == "__main__":
    from examples.pytorch_tasks.define import build_model
    from mnist_models import data

    mnist = data.load()
    images = data.preprocess(mnist.test_images[:128]).transpose(0, 3, 1, 2)
    for gradient in gradients(build_model(), images, mnist.test_labels[:128].astype(int)):
        print(gradient.shape, abs(gradient).max())
