"""The network as PyTorch's users write it."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(64)
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
        self.norm2 = nn.LayerNorm(64)
        self.dense1 = nn.Linear(64, 64)
        self.gelu = nn.GELU()
        self.dense2 = nn.Linear(64, 64)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        # The weights of attention, which are returned by default, cost the fused kernel.
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + self.dropout(y)
        y = self.gelu(self.dense1(self.norm2(x)))
        return x + self.dropout(self.dense2(y))


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 64, kernel_size=7, stride=7)
        self.positions = nn.Embedding(16, 64)
        self.block1 = Block()
        self.block2 = Block()
        self.norm = nn.LayerNorm(64)
        self.logits = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = x + self.positions.weight
        x = self.block2(self.block1(x))
        return self.logits(self.norm(x).mean(dim=1))
