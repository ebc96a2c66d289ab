"""Write the training step out, to change it: what `train` does, step by step."""

import keras
import tensorflow as tf


class CustomModel(keras.Model):
    def train_step(self, data):
        images, labels = data
        with tf.GradientTape() as tape:
            logits = self(images, training=True)
            loss = self.compute_loss(y=labels, y_pred=logits)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(labels, logits)
        return {metric.name: metric.result() for metric in self.metrics}


def train(model, images, labels, epochs):
    custom = CustomModel(model.inputs, model.outputs[0])
    custom.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    custom.fit(images, labels, batch_size=128, epochs=epochs)


if __name__ == "__main__":
    from examples.keras_tasks.define import build_model
    from mnist_models import data

    mnist = data.load()
    train(build_model(), data.preprocess(mnist.train_images), mnist.train_labels.astype(int), 1)
    print("trained for one epoch")
