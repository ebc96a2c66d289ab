"""Train with a learning rate that falls from step to step, along a cosine, to zero."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def train(model, images, labels, epochs):
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    loader = DataLoader(dataset, batch_size=128, shuffle=True)
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            schedule.step()


if __name__ == "__main__":
    from examples.pytorch_tasks.define import build_model
    from mnist_models import data

    mnist = data.load()
    images = data.preprocess(mnist.train_images).transpose(0, 3, 1, 2)
    train(build_model(), images, mnist.train_labels.astype(int), 1)
    print("trained for one epoch")
