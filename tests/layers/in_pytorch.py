"""Each type of layer alone, in PyTorch: behind a layer that shows the gradient of its input."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class OfImage(nn.Module):
    """Layers on a convolution's output, 4×26×26."""

    def __init__(self, layer, features, bias=True):
        super().__init__()
        self.before = nn.Conv2d(1, 4, 3, bias=bias)
        self.layer = layer
        self.logits = nn.Linear(features, 10)

    def forward(self, images):
        return self.logits(self.layer(self.before(images)).flatten(1))


class OfRows(nn.Module):
    """Layers on 28 rows of 8 features."""

    def __init__(self, layer, features=28 * 8):
        super().__init__()
        self.before = nn.Linear(28, 8)
        self.layer = layer
        self.logits = nn.Linear(features, 10)

    def forward(self, images):
        return self.logits(self.middle(self.before(images.squeeze(1))).flatten(1))

    def middle(self, x):
        return self.layer(x)


class Recurrent(OfRows):
    def middle(self, x):
        outputs, _ = self.layer(x)
        return outputs[:, -1]


class Attention(OfRows):
    causal = False

    def middle(self, x):
        # True is where PyTorch must not look; in Keras it is where a query may.
        later = torch.ones(28, 28, dtype=torch.bool).triu(1) if self.causal else None
        outputs, _ = self.layer(x, x, x, attn_mask=later, need_weights=False)
        return outputs


class CausalAttention(Attention):
    causal = True


class OfNumbers(nn.Module):
    """Layers on 16 features."""

    def __init__(self, layer, features=16):
        super().__init__()
        self.before = nn.Linear(28 * 28, 16)
        self.layer = layer
        self.logits = nn.Linear(features, 10)

    def forward(self, images):
        return self.logits(self.layer(self.before(images.flatten(1))))


class OfTokens(nn.Module):
    """The middle row as 28 whole numbers up to 16."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Embedding(17, 8)
        self.logits = nn.Linear(28 * 8, 10)

    def forward(self, images):
        return self.logits(self.layer((images[:, 0, 14] * 16).int()).flatten(1))


class AveragePool(nn.Module):
    def forward(self, x):
        return F.avg_pool2d(x, 3)


def lstm():
    layer = nn.LSTM(8, 6, batch_first=True)
    nn.init.zeros_(layer.bias_hh_l0).requires_grad_(False)
    return layer


LAYERS = {
    "dense": lambda: OfNumbers(nn.Linear(16, 12), 12),
    "convolution": lambda: OfImage(nn.Conv2d(4, 3, 3, padding=1), 3 * 26 * 26),
    "strided": lambda: OfImage(nn.Conv2d(4, 3, 3, stride=2, padding=1), 3 * 13 * 13),
    "depthwise": lambda: OfImage(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4), 8 * 13 * 13),
    "max_pooling": lambda: OfImage(nn.MaxPool2d(3), 4 * 8 * 8),
    "average_pooling": lambda: OfImage(AveragePool(), 4 * 8 * 8),
    "batch_normalization": lambda: OfImage(
        nn.BatchNorm2d(4, eps=2**-10, momentum=0.125), 4 * 26 * 26, bias=False
    ),
    "layer_normalization": lambda: OfRows(nn.LayerNorm(8, eps=2**-10)),
    "gelu": lambda: OfNumbers(nn.GELU()),
    "gelu_tanh": lambda: OfNumbers(nn.GELU("tanh")),
    "lstm": lambda: Recurrent(lstm(), 6),
    "gru": lambda: Recurrent(nn.GRU(8, 6, batch_first=True), 6),
    "attention": lambda: Attention(nn.MultiheadAttention(8, 2, batch_first=True)),
    "causal_attention": lambda: CausalAttention(nn.MultiheadAttention(8, 2, batch_first=True)),
    "embedding": OfTokens,
    "dropout": lambda: OfNumbers(nn.Dropout(0.25)),
}


def build(name):
    return LAYERS[name]()
