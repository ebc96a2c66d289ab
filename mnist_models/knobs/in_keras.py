"""What Keras's users change, or forget to change, with an effect on times."""

from types import SimpleNamespace

import keras

from mnist_models import knobs


def model_with(module, **settings):
    """The same model with other settings of `compile`."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            for name, value in settings.items():
                setattr(self.model, name, value)

    return Trainer


def xla(module):
    """`jit_compile=True`: XLA compiles what is a graph by default."""
    return model_with(module, jit_compile=True)


def changed_batch(module):
    """An epoch in which each batch has another size: `fit` on a `PyDataset` of them."""

    class Batches(keras.utils.PyDataset):
        def __init__(self, images, labels, batch_size):
            super().__init__()
            self.images, self.labels = images, labels
            self.parts = list(knobs.parts(len(labels), batch_size))

        def __len__(self):
            return len(self.parts)

        def __getitem__(self, number):
            part = self.parts[number]
            return self.images[part], self.labels[part]

    class Trainer(module.Trainer):
        def train_epoch(self, images, labels, order, trained):
            images, labels = map(self.fetch, self.ordered(images, labels, order))
            batches = Batches(images, labels, self.batch_size)
            after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained())
            self.model.fit(batches, shuffle=False, verbose=0, callbacks=[after])

    return Trainer


def xla_changed_batch(module):
    """`jit_compile=True`, and each batch has another size."""
    return changed_batch(SimpleNamespace(Trainer=xla(module)))


def eager(module):
    """`run_eagerly=True`, as for debugging."""
    return model_with(module, run_eagerly=True)


def accuracy_metric(module):
    """`metrics=["accuracy"]` in `compile`."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            model = self.model
            model.compile(model.optimizer, model.loss, metrics=["accuracy"])

        def train_step(self, images, labels):
            return super().train_step(images, labels)[0]

    return Trainer


def predict(module):
    """`predict` for each batch, in place of `predict_on_batch`."""

    class Trainer(module.Trainer):
        def forward(self, images):
            return self.model.predict(images, batch_size=self.batch_size, verbose=0)

    return Trainer


def call(module):
    """`model(images)`, which is not compiled, in place of `predict_on_batch`."""

    class Trainer(module.Trainer):
        def forward(self, images):
            return self.model(images, training=False)

    return Trainer


def bfloat16(module):
    """`mixed_bfloat16`: the model computes in bfloat16, with weights in float32."""

    class Trainer(module.Trainer):
        def __init__(self, network, recipe, device, dtype):
            policy = keras.mixed_precision.set_dtype_policy
            # The trainer sets a policy itself, which must not replace this one.
            keras.mixed_precision.set_dtype_policy = lambda name: policy("mixed_bfloat16")
            try:
                super().__init__(network, recipe, device, dtype)
            finally:
                keras.mixed_precision.set_dtype_policy = policy

        def forward(self, images):
            return super().forward(images).astype("float32")

    return Trainer


def steps_per_execution(module):
    """`steps_per_execution=10`: `fit` runs ten steps in one call."""
    return model_with(module, steps_per_execution=10)


def shuffled(module):
    """`fit(shuffle=True)`, Keras's default: `fit` draws its own order, inside the clock."""

    class Trainer(module.Trainer):
        def train_epoch(self, images, labels, order, trained):
            after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained())
            self.model.fit(images, labels, batch_size=self.batch_size, verbose=0, callbacks=[after])

    return Trainer


def autotuner_off(module):
    """`fit` on a data set of tf.data without its autotuner."""
    import tensorflow as tf

    class Trainer(module.Trainer):
        def train_epoch(self, images, labels, order, trained):
            options = tf.data.Options()
            options.autotune.enabled = False
            data = tf.data.Dataset.from_tensor_slices(self.ordered(images, labels, order))
            data = data.batch(self.batch_size).prefetch(2).with_options(options)
            after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained())
            self.model.fit(data, verbose=0, callbacks=[after])

    return Trainer
