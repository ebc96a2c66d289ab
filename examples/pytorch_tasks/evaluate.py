"""Evaluate a model: mean loss and accuracy."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@torch.inference_mode()
def evaluate(model, images, labels):
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    loss_function = nn.CrossEntropyLoss(reduction="sum")
    loss = correct = 0
    model.eval()
    for inputs, targets in DataLoader(dataset, batch_size=128):
        logits = model(inputs)
        loss += loss_function(logits, targets).item()
        correct += (logits.argmax(1) == targets).sum().item()
    return loss / len(dataset), correct / len(dataset)


if __name__ == "__main__":
    from examples.pytorch_tasks.define import build_model
    from examples.pytorch_tasks.train import train
    from mnist_models import data

    mnist = data.load()
    model = build_model()
    images = data.preprocess(mnist.train_images).transpose(0, 3, 1, 2)
    train(model, images, mnist.train_labels.astype(int), 1)
    images = data.preprocess(mnist.test_images).transpose(0, 3, 1, 2)
    print(evaluate(model, images, mnist.test_labels.astype(int)))
