"""The loops that PyTorch's users write where Keras has a call."""

import torch


def batches(trainer, images, labels):
    size = trainer.batch_size
    return zip(images.split(size), labels.split(size), strict=True)


def fit(trainer, images, labels):
    for batch, answers in batches(trainer, images, labels):
        trainer.train_step(batch, answers)


def evaluate(trainer, images, labels):
    total = 0.0
    for batch, answers in batches(trainer, images, labels):
        total += trainer.loss(trainer.forward(batch), answers).item() * len(answers)


def predict(trainer, images, labels):
    torch.cat([trainer.forward(batch) for batch in images.split(trainer.batch_size)])


CALLS = {"fit": fit, "evaluate": evaluate, "predict": predict}
