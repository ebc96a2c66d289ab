"""The network as PyTorch's users write it."""

from collections import OrderedDict

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(channels, filters, 1, stride, bias=False),
                    norm=nn.BatchNorm2d(filters),
                )
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(y))
        return (y + self.shortcut(x)).relu()


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.block1 = Block(8, 8, stride=1)
        self.block2 = Block(8, 16, stride=2)
        self.block3 = Block(16, 32, stride=2)
        self.logits = nn.Linear(32, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(images)).relu()
        x = self.block3(self.block2(self.block1(x)))
        return self.logits(x.mean(dim=(2, 3)))
