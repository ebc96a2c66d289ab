"""Write a layer of one's own: a fully connected one, with its weight and its bias."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's users call it so)


class Affine(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, inputs):
        return F.linear(inputs, self.weight, self.bias)


if __name__ == "__main__":
    from mnist_models import data

    images = data.preprocess(data.load().test_images[:5])
    print(Affine(784, 10)(torch.from_numpy(images.reshape(5, 784))))
