"""Keras's `DataParallel` on JAX: all devices in one process."""

from contextlib import contextmanager
from time import perf_counter

from mnist_models import networks

from mnist_models.implementations import keras_jax  # isort: skip (it chooses the backend)
import jax
import keras

from mnist_models.parallel import TIMED, WARM_UP
from mnist_models.recipe import Recipe


@contextmanager
def group(job):
    keras_jax.configure(1)
    if (found := len(jax.devices("cpu"))) != job["devices"]:
        raise RuntimeError(f"asked for {job['devices']} devices, JAX has {found}")
    if job["devices"] > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    yield


def train(job, images, labels, start):
    network, recipe = networks.load(job["architecture"]), Recipe.from_record(job["recipe"])
    trainer = keras_jax.Trainer(network, recipe, "cpu", job["dtype"])
    trainer.disable_dropout()
    trainer.set_weights(start)
    size = recipe.batch_size
    batches = [
        trainer.put(images[first : first + size], labels[first : first + size])
        for first in range(0, len(images), size)
    ]
    if job["fault"] == "last batch lost":
        batches = batches[:-1]
    for batch in batches:
        trainer.train_step(*batch)
    end = trainer.get_weights()
    if not job["timed"]:
        return {}, end
    together = seconds(trainer, batches)
    # Keras has no way to leave the communication out.
    return {"seconds": together, "alone": None}, end


def seconds(trainer, batches):
    for step in range(WARM_UP):
        trainer.train_step(*batches[step % len(batches)])
    trainer.synchronize()
    began = perf_counter()
    for step in range(TIMED):
        trainer.train_step(*batches[step % len(batches)])
    trainer.synchronize()
    return (perf_counter() - began) / TIMED
