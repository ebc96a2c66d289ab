"""What PyTorch does by itself, where this package says something else."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import nn, optim

from mnist_models.defaults import IMAGES, TOPICS, Topic, gradients, shown, spread, weights_of
from mnist_models.networks import Network
from mnist_models.numpy_layers import Weight
from mnist_models.pytorch_weights import held
from mnist_models.recipe import Adam


def seed(number: int) -> None:
    """Make random starting weights and dropout those of a seed."""
    torch.manual_seed(number)


def adam() -> Adam:
    """The optimiser with the values that it has when none is given."""
    given = default_of(optim.Adam)
    beta_1, beta_2 = given["betas"]
    return Adam(given["lr"], beta_1, beta_2, given["eps"])


def default_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a class or function that have a default, with it."""
    found = signature(kind).parameters.values()
    return {each.name: each.default for each in found if each.default is not each.empty}


class Own(Network):
    """A network whose layers have the settings that PyTorch gives them."""

    def in_pytorch(self) -> nn.Module:
        """A new model; an LSTM trains both of its biases."""
        model = super().in_pytorch()
        for layer in model.modules():
            if isinstance(layer, nn.LSTM):
                layer.reset_parameters()
                layer.requires_grad_(True)
        return model


LAYERS = {
    "dense": lambda: nn.Linear(64, 64),
    "dense in float64": lambda: nn.Linear(64, 64, dtype=torch.float64),
    "convolution": lambda: nn.Conv2d(8, 16, 3),
    # "same" is not possible with a stride here; this has the same size.
    "convolution, same, stride 2": lambda: nn.Conv2d(8, 16, 3, stride=2, padding=1),
    "depthwise convolution": lambda: nn.Conv2d(8, 8, 3, groups=8),
    "max pooling": lambda: nn.MaxPool2d(2),
    "average pooling": lambda: nn.AvgPool2d(2),
    "upsampling": lambda: nn.Upsample(scale_factor=2),
    "flatten": lambda: nn.Flatten(),
    "batch normalisation": lambda: nn.BatchNorm2d(8),
    "layer normalisation": lambda: nn.LayerNorm(64),
    "group normalisation": lambda: nn.GroupNorm(4, 8),
    "RMS normalisation": lambda: nn.RMSNorm(64),
    "LSTM": lambda: nn.LSTM(64, 64, batch_first=True),
    "GRU": lambda: nn.GRU(64, 64, batch_first=True),
    "embedding": lambda: nn.Embedding(50, 64),
    "attention": lambda: nn.MultiheadAttention(64, 4, batch_first=True),
    "dropout": lambda: nn.Dropout(0.5),
    "leaky ReLU": lambda: nn.LeakyReLU(),
    "PReLU": lambda: nn.PReLU(),
    "ELU": lambda: nn.ELU(),
    "GELU": lambda: nn.GELU(),
    "SiLU": lambda: nn.SiLU(),
    "hard sigmoid": lambda: nn.Hardsigmoid(),
    "softplus": lambda: nn.Softplus(),
    "Mish": lambda: nn.Mish(),
    "SELU": lambda: nn.SELU(),
}
INITIALISERS = {
    "random normal": nn.init.normal_,
    "random uniform": nn.init.uniform_,
    "truncated normal": nn.init.trunc_normal_,
    "Glorot (Xavier) uniform": nn.init.xavier_uniform_,
    "Glorot (Xavier) normal": nn.init.xavier_normal_,
    "He (Kaiming) uniform": nn.init.kaiming_uniform_,
    "He (Kaiming) normal": nn.init.kaiming_normal_,
    "orthogonal": nn.init.orthogonal_,
}
OPTIMISERS = {
    "SGD": optim.SGD,
    "Adam": optim.Adam,
    "AdamW": optim.AdamW,
    "RMSprop": optim.RMSprop,
    "Adagrad": optim.Adagrad,
    "Adadelta": optim.Adadelta,
    "Adamax": optim.Adamax,
    "NAdam": optim.NAdam,
}
LOSSES = {
    "cross-entropy": nn.CrossEntropyLoss,
    "binary cross-entropy": nn.BCELoss,
    "mean squared error": nn.MSELoss,
    "Huber": nn.HuberLoss,
    "Poisson": nn.PoissonNLLLoss,
    "the loss of the second step": nn.MSELoss,
    "Kullback-Leibler divergence": nn.KLDivLoss,
}


def probe() -> dict[str, dict[str, Any]]:
    """What each topic is, starts with and answers, by its name."""
    return {name: found(name, topic) for name, topic in TOPICS.items()}


def found(name: str, topic: Topic) -> dict[str, Any]:
    """One topic; only "missing" where this release does not have it."""
    torch.manual_seed(0)
    try:
        match topic.kind:
            case "initialiser":
                return described(INITIALISERS[name]) | {"start": {"": drawn(name, topic)}}
            case "optimiser":
                return described(OPTIMISERS[name]) | {"answers": {"weights": stepped(name, topic)}}
            case "loss":
                return described(LOSSES[name]) | {"answers": {"loss": lost(name, topic)}}
        return of_layer(name, topic)
    except AttributeError as error:
        return {"missing": str(error)}


def described(kind: Any) -> dict[str, Any]:
    """Its name, and its settings as they come, with those of its call."""
    given = default_of(kind) | default_of(getattr(kind, "forward", kind))
    return {"name": kind.__name__, "settings": {key: shown(given[key]) for key in given}}


def of_layer(name: str, topic: Topic) -> dict[str, Any]:
    """A layer's starting weights, and its outputs and state with those that both are given."""
    layer, inputs = LAYERS[name](), torch.from_numpy(topic.inputs())
    if topic.shape == IMAGES:
        inputs = inputs.permute(0, 3, 1, 2).contiguous()
    model = nn.ModuleDict({"layer": layer})
    places = {key.partition("/")[2]: place for key, place in held(model).items()}
    start = {key: spread(parameter.numpy(force=True)) for key, parameter in start_of(layer, places)}
    counted = sum(parameter.numel() for parameter in layer.parameters() if parameter.requires_grad)
    for key, array in weights_of(topic).items():
        for tensor, part in zip(
            places[key].tensors, places[key].converted(array, Weight(array.shape, 0.0)), strict=True
        ):
            tensor.copy_(part)
    if isinstance(layer, nn.LSTM):
        nn.init.zeros_(layer.bias_hh_l0)
    answers = {}
    if name != "dropout":
        answers["inference"] = called(layer.eval(), inputs, topic)
        answers["training"] = called(layer.train(), inputs, topic)
        buffers = dict(layer.named_buffers())
        renamed = {"running_mean": "moving_mean", "running_var": "moving_variance"}
        answers |= {
            new: buffers[old].numpy(force=True) for old, new in renamed.items() if old in buffers
        }
    return described(type(layer)) | {"parameters": counted, "start": start, "answers": answers}


def start_of(layer: nn.Module, places: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
    """The starting weights under their shared names; PReLU's, which has none, under its own."""
    shared = [
        (key, torch.cat([t.flatten() for t in place.tensors])) for key, place in places.items()
    ]
    return shared or list(layer.named_parameters())


def called(layer: nn.Module, inputs: torch.Tensor, topic: Topic) -> np.ndarray:
    """Outputs in Keras's layout; of a recurrent layer the last."""
    if isinstance(layer, nn.MultiheadAttention):
        outputs, _ = layer(inputs, inputs, inputs)
    else:
        outputs = layer(inputs)
    if isinstance(layer, nn.LSTM | nn.GRU):
        outputs = outputs[0][:, -1]
    if outputs.ndim == 4:
        outputs = outputs.permute(0, 2, 3, 1)
    return outputs.numpy(force=True).copy()


def drawn(name: str, topic: Topic) -> list[float]:
    """How wide an initialiser draws."""
    return spread(INITIALISERS[name](torch.empty(topic.shape)).numpy(force=True))


def stepped(name: str, topic: Topic) -> np.ndarray:
    """How far an optimiser moves weights by the gradients that both are given."""
    parameter = nn.Parameter(torch.from_numpy(topic.inputs()))
    optimizer = OPTIMISERS[name]([parameter])
    for gradient in gradients():
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    return parameter.numpy(force=True) - topic.inputs()


def lost(name: str, topic: Topic) -> np.ndarray:
    """A loss of the outputs of a network's last layer, as they are."""
    outputs = torch.from_numpy(topic.inputs())
    loss = LOSSES[name]()
    if name == "the loss of the second step":
        return loss((2 * outputs).relu(), outputs).numpy()
    if name == "cross-entropy":
        return loss(outputs, torch.arange(len(outputs))).numpy()
    targets = outputs.abs() / outputs.abs().sum(dim=1, keepdim=True)
    try:
        return loss(outputs, targets).numpy()
    except RuntimeError:  # BCELoss refuses what is no probability
        return np.array(np.nan)
