"""Evaluate a model that was compiled with accuracy as a metric: mean loss and accuracy."""


def evaluate(model, images, labels):
    return model.evaluate(images, labels, batch_size=128)


if __name__ == "__main__":
    from examples.keras_tasks.define import build_model
    from examples.keras_tasks.train import train
    from mnist_models import data

    mnist = data.load()
    model = build_model()
    train(model, data.preprocess(mnist.train_images), mnist.train_labels.astype(int), 1)
    print(evaluate(model, data.preprocess(mnist.test_images), mnist.test_labels.astype(int)))
