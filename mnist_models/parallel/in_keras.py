"""Keras's `DataParallel` on JAX: all devices in one process."""

from contextlib import contextmanager

from mnist_models import networks

from mnist_models.implementations import keras_jax  # isort: skip (it chooses the backend)
import jax
import keras

from mnist_models.parallel import seconds
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
    for batch in batches:
        trainer.train_step(*batch)
    end = trainer.get_weights()
    if not job["timed"]:
        return {}, end
    together = seconds(trainer.train_step, batches, trainer.synchronize)
    # Keras has no way to leave the communication out.
    return {"seconds": together, "alone": None}, end
