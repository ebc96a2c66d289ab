"""Runs all Keras's that is in examples/, in a process of its own, for test_ease_of_use.py."""

import sys
from functools import partial, partialmethod
from pathlib import Path

import keras
import numpy as np

from examples import record
from examples.keras_tasks import (
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
from tests.scripts import run_scripts

START = [*weights.initial(networks.load("lenet5"), seed=0).values()]
REPORTED = []  # of every call of `fit`, the loss after each epoch


def fit(self, *given, original=keras.Model.fit, **named):
    """Keras's own `fit`, silent and overheard."""
    history = original(self, *given, **named | {"verbose": 0})
    REPORTED.append(history.history["loss"])
    return history


def fresh():
    model = define.build_model()
    model.set_weights(START)
    return model


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays])


def trained(images, labels, test_images, test_labels, folder):
    model, path = define.build_model(), folder / "model.keras"
    train.train(model, images, labels, epochs=8)
    save_and_load.save(model, path)
    return {
        "evaluated": evaluate.evaluate(model, test_images, test_labels),
        "logits": model.predict(test_images, verbose=0),
        "loaded": save_and_load.load(path).predict(test_images, verbose=0),
    }


def steps(images, labels):
    ordinary, custom = fresh(), fresh()
    train.train(ordinary, images, labels, epochs=3)
    custom_training_step.train(custom, images, labels, epochs=3)
    return {
        "ordinary": flat(ordinary.get_weights()),
        "custom": flat(custom.get_weights()),
        "reported": REPORTED[-2:],
    }


def layers(rows):
    affine, dense = custom_layer.Affine(7), keras.layers.Dense(7)
    dense.build(rows.shape)
    affine.build(rows.shape)
    affine.set_weights(dense.get_weights())
    return {"affine": affine(rows), "dense": dense(rows)}


def rates(images, labels):
    model, found = fresh(), []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: found.append(float(model.optimizer.learning_rate))
    )
    model.fit = partial(model.fit, callbacks=[look])
    learning_rate_schedule.train(model, images, labels, epochs=2)
    return {"rates": found}


def main(folder):
    images, labels, test_images, test_labels = record.read_digits(folder, "keras")
    keras.utils.set_random_seed(0)
    keras.Model.fit = fit
    keras.Model.evaluate = partialmethod(keras.Model.evaluate, verbose=0)
    some = images[:100], labels[:100]
    found = {"started": flat(define.build_model().get_weights()).shape}
    found |= trained(images[:2000], labels[:2000], test_images, test_labels, folder)
    found |= steps(*some) | layers(images[:5].reshape(5, -1)) | rates(images[:300], labels[:300])
    found["gradients"] = flat(gradient.gradients(fresh(), *some))
    np.savez(folder / "keras.npz", **found)
    run_scripts("keras", folder)
    record.main("keras", folder, seeds=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
