"""Train with a learning rate that falls from step to step, along a cosine, to zero."""

import math

import keras


def train(model, images, labels, epochs):
    steps = epochs * math.ceil(len(images) / 128)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(images, labels, batch_size=128, epochs=epochs)


if __name__ == "__main__":
    from examples.keras_tasks.define import build_model
    from mnist_models import data

    mnist = data.load()
    train(build_model(), data.preprocess(mnist.train_images), mnist.train_labels.astype(int), 1)
    print("trained for one epoch")
