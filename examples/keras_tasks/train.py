"""Train a model for some epochs, in shuffled batches, with Adam."""

import keras


def train(model, images, labels, epochs):
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],  # for `evaluate`
    )
    model.fit(images, labels, batch_size=128, epochs=epochs)


if __name__ == "__main__":
    from examples.keras_tasks.define import build_model
    from mnist_models import data

    mnist = data.load()
    train(build_model(), data.preprocess(mnist.train_images), mnist.train_labels.astype(int), 1)
    print("trained for one epoch")
