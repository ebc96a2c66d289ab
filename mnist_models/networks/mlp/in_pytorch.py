"""The network as PyTorch's users write it."""

import torch
from torch import nn


class MLP(nn.Module):
    def __init__(self, units: int = 512) -> None:
        super().__init__()
        self.hidden = nn.Linear(28 * 28, units)
        self.logits = nn.Linear(units, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(images.flatten(1)).relu()
        return self.logits(hidden)
