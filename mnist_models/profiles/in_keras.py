"""Keras's training step on TensorFlow, taken apart."""

import re
import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from mnist_models.profiles import summed

# Names of what TensorFlow does backwards begin so.
BACKWARD = "gradient_tape/"


def stages(trainer):
    model, jit = trainer.model, trainer.model.jit_compile

    @tf.function(jit_compile=jit)
    def forward(images, labels):
        return model.compute_loss(images, labels, model(images, training=True), training=True)

    @tf.function(jit_compile=jit)
    def gradients(images, labels):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(images, labels, model(images, training=True), training=True)
        return tape.gradient(loss, model.trainable_weights)

    @tf.function(jit_compile=jit)
    def update(images, labels):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(images, labels, model(images, training=True), training=True)
        weights = model.trainable_weights
        model.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return forward, gradients, update


def profiled(trainer, batches):
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for batch in batches:
                trainer.train_step(*batch)
        [file] = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    # An operation of the graph has its type as its display name.
    kernels = [
        (plane.event_metadata[event.metadata_id], event.duration_ps / 1e12)
        for plane in space.planes
        for line in plane.lines
        for event in line.events
        if plane.event_metadata[event.metadata_id].display_name
    ]
    parts: dict[str, float] = {}
    for kernel, seconds in kernels:
        part = part_of(kernel.name, type(trainer.model.optimizer).__name__)
        parts[part] = parts.get(part, 0.0) + seconds
    return parts, summed((kernel.display_name, seconds) for kernel, seconds in kernels)


def part_of(name: str, optimiser: str) -> str:
    if name.startswith(BACKWARD):
        return "backward"
    # Of a second optimiser in the process the name ends in a number.
    itself = re.match(rf"{optimiser}(_\d+)*/", name, re.IGNORECASE)
    return "optimiser" if itself else "forward"
