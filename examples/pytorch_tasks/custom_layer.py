"""Write a layer of one's own: a fully connected one, with its kernel and its bias."""

import torch
from torch import nn


class Affine(nn.Module):
    def __init__(self, in_features, units):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(in_features, units))
        self.bias = nn.Parameter(torch.zeros(units))
        nn.init.xavier_uniform_(self.kernel)

    def forward(self, inputs):
        return inputs @ self.kernel + self.bias


if __name__ == "__main__":
    from mnist_models import data

    images = data.preprocess(data.load().test_images[:5])
    print(Affine(784, 10)(torch.from_numpy(images.reshape(5, 784))))
