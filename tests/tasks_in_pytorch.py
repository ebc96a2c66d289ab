"""Runs all PyTorch's that is in examples/, in a process of its own, for test_ease_of_use.py."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from examples import record
from examples.pytorch_tasks import (
    custom_layer,
    custom_training_step,
    define,
    evaluate,
    gradient,
    learning_rate_schedule,
    save_and_load,
    train,
)
from mnist_models import networks, weights
from mnist_models.pytorch_weights import PLACES
from tests.scripts import run_scripts

LENET5 = networks.load("lenet5")


def places(model):
    """For each weight of the shared layout: its layer in a Sequential without names, its place."""
    layers = [layer for layer in model if type(layer) in PLACES]
    found = [(layer, place) for layer in layers for place in PLACES[type(layer)].values()]
    return zip(found, LENET5.weights.items(), strict=True)


@torch.no_grad()
def fresh():
    model, start = define.build_model(), weights.initial(LENET5, seed=0)
    for (layer, place), (name, weight) in places(model):
        [tensor] = place.tensors(layer)
        tensor.copy_(torch.from_numpy(place.to_pytorch(start[name], weight).copy()))
    return model


def flat(tensors):
    """A model's tensors in the shared layout, one after the other."""
    arrays = [
        place.from_pytorch(tensor.numpy(force=True), weight)
        for tensor, ((_, place), (_, weight)) in zip(
            tensors, places(define.build_model()), strict=True
        )
    ]
    return np.concatenate([array.ravel() for array in arrays])


@torch.inference_mode()
def predict(model, images):
    return model(torch.from_numpy(images)).numpy()


def trained(images, labels, test_images, test_labels, folder):
    model, path = define.build_model(), folder / "model.pt"
    train.train(model, images, labels, epochs=8)
    save_and_load.save(model, path)
    return {
        "evaluated": evaluate.evaluate(model, test_images, test_labels),
        "logits": predict(model, test_images),
        "loaded": predict(save_and_load.load(path), test_images),
    }


def steps(images, labels):
    ordinary, custom = fresh(), fresh()
    train.train(ordinary, images, labels, epochs=3)
    custom_training_step.train(custom, images, labels, epochs=3)
    return {"ordinary": flat(ordinary.parameters()), "custom": flat(custom.parameters())}


@torch.no_grad()
def layers(rows):
    affine, linear = custom_layer.Affine(rows.shape[1], 7), nn.Linear(rows.shape[1], 7)
    affine.weight.copy_(linear.weight)
    affine.bias.copy_(linear.bias)
    rows = torch.from_numpy(rows)
    return {"affine": affine(rows), "dense": linear(rows)}


def rates(images, labels):
    found = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: found.append(optimizer.param_groups[0]["lr"])
    )
    learning_rate_schedule.train(fresh(), images, labels, epochs=2)
    hook.remove()
    return {"rates": found}


def main(folder):
    images, labels, test_images, test_labels = record.read_digits(folder, "pytorch")
    torch.manual_seed(0)
    some = images[:100], labels[:100]
    found = {"started": flat(define.build_model().parameters()).shape}
    found |= trained(images[:2000], labels[:2000], test_images, test_labels, folder)
    found |= steps(*some) | layers(images[:5].reshape(5, -1)) | rates(images[:300], labels[:300])
    found["gradients"] = flat(map(torch.from_numpy, gradient.gradients(fresh(), *some)))
    np.savez(folder / "pytorch.npz", **found)
    run_scripts("pytorch", folder)
    record.main("pytorch", folder, seeds=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
