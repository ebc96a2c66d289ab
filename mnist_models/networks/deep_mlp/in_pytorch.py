"""The network as PyTorch's users write it."""

import torch
from torch import nn


class DeepMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(28 * 28, 512)
        self.hidden2 = nn.Linear(512, 256)
        self.hidden3 = nn.Linear(256, 128)
        self.logits = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.hidden1(images.flatten(1)).relu()
        x = self.hidden2(x).relu()
        x = self.hidden3(x).relu()
        return self.logits(x)
