"""TensorFlow's `MirroredStrategy` with a custom loop: all devices in one process."""

from contextlib import contextmanager
from functools import cache, partial

import tensorflow as tf

from mnist_models import networks
from mnist_models.implementations import tensorflow_function
from mnist_models.parallel import seconds
from mnist_models.recipe import Recipe


@contextmanager
def group(job):
    count = job["devices"]
    tensorflow_function.configure(1)
    # One thread for each device, because with one for all they would take turns.
    tf.config.threading.set_inter_op_parallelism_threads(count)
    [cpu] = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(cpu, logical)
    yield


def train(job, images, labels, start):
    count, recipe = job["devices"], Recipe.from_record(job["recipe"])
    strategy = mirrored(count)
    with strategy.scope():
        network = networks.load(job["architecture"])
        trainer = tensorflow_function.Trainer(network, recipe, "cpu", job["dtype"])
    trainer.disable_dropout()
    trainer.set_weights(start)
    images, labels = trainer.put(images, labels)
    size = recipe.batch_size
    batches = [
        split(strategy, images[first : first + size], labels[first : first + size])
        for first in range(0, len(images), size)
    ]
    step = stepping(strategy, trainer, job["case"])
    for batch in batches:
        step(*batch)
    end = trainer.get_weights()
    if not job["timed"]:
        return {}, end
    # TensorFlow has no way to leave the communication out.
    return {"seconds": seconds(step, batches, trainer.synchronize), "alone": None}, end


@cache
def mirrored(count):
    """The only strategy of the process: the collectives of a second one would collide with it."""
    return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(count)])


def split(strategy, *tensors):
    """Each replica's part of a batch."""
    return [
        strategy.experimental_distribute_values_from_function(partial(part, tensor))
        for tensor in tensors
    ]


def part(tensor, context):
    """This replica's part of a tensor; the first ones have one more if it does not divide."""
    replicas, number = context.num_replicas_in_sync, context.replica_id_in_sync_group
    sizes = [(len(tensor) + replicas - 1 - one) // replicas for one in range(replicas)]
    return tf.split(tensor, sizes)[number]


def stepping(strategy, trainer, case):
    """A training step on all replicas; Keras's optimiser sums their gradients.

    Keras's losses already divide by the number of replicas. A second division, as in TensorFlow's
    guide for custom losses, would train with a part of the gradient.
    """
    model, replicas = trainer.model, strategy.num_replicas_in_sync
    variables = model.trainable_variables

    def weight(labels):
        """The factor of this replica's loss."""
        if case == "summed":
            return replicas
        if case == "uneven, weighed":
            count = tf.cast(len(labels), trainer.dtype)
            return count * replicas / tf.distribute.get_replica_context().all_reduce("SUM", count)
        return 1

    def replica(images, labels):
        with tf.GradientTape() as tape:
            loss = model.loss(labels, model(images, training=True)) * weight(labels)
        model.optimizer.apply(tape.gradient(loss, variables), variables)

    @tf.function
    def step(images, labels):
        strategy.run(replica, (images, labels))

    return step
