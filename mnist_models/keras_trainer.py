"""Keras as its users write it: `compile`, `fit`, `train_on_batch`, `predict_on_batch`.

All backends share it. The files keras_tensorflow.py, keras_jax.py and keras_torch.py choose the
backend and have what differs.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mnist_models.conventions import Conventions
from mnist_models.keras_weights import names
from mnist_models.networks import Network
from mnist_models.recipe import SGD, Adam, AdamW, Recipe
from mnist_models.weights import Weights

CONVENTIONS = Conventions(adam_epsilon="hat")


class Trainer:
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        # Keras computes on the GPU whenever its backend sees one; a worker for the CPU hides it.
        self.network = network
        self.batch_size = recipe.batch_size
        self.dtype = dtype
        keras.config.set_floatx(dtype)
        # `keras.config` has it, too, but not before Keras 3.3.
        keras.mixed_precision.set_dtype_policy(dtype)
        self.model = network.in_keras()
        rate = recipe.optimizer.learning_rate
        if recipe.cosine_steps:
            # Of a Python float Keras makes a float32 on TensorFlow, and computes in that.
            rate = np.asarray(rate, dtype)
            rate = keras.optimizers.schedules.CosineDecay(rate, recipe.cosine_steps)
        match recipe.optimizer:
            case SGD(_, momentum, nesterov):
                optimizer = keras.optimizers.SGD(rate, momentum=momentum, nesterov=nesterov)
            case AdamW(_, beta_1, beta_2, epsilon, decay):
                optimizer = keras.optimizers.AdamW(rate, decay, beta_1, beta_2, epsilon)
            case Adam(_, beta_1, beta_2, epsilon):
                optimizer = keras.optimizers.Adam(rate, beta_1, beta_2, epsilon)
        self.model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(self.model.trainable_variables)
        # As NumPy's copies: with JAX a training step gives away the arrays that it starts from.
        self.fresh_optimizer = [variable.numpy() for variable in optimizer.variables]
        self.names = names(self.model)

    def disable_dropout(self) -> None:
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0

    def reset(self) -> None:
        self.model.set_weights(self.start)
        for variable, fresh in zip(
            self.model.optimizer.variables, self.fresh_optimizer, strict=True
        ):
            variable.assign(fresh)
        self.model.reset_metrics()

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[Any, Any]:
        images = keras.ops.convert_to_tensor(images, self.dtype)
        return images, keras.ops.convert_to_tensor(labels, "int64")

    def fetch(self, tensor: Any) -> np.ndarray:
        return keras.ops.convert_to_numpy(tensor)

    def forward(self, images: Any) -> np.ndarray:
        return self.model.predict_on_batch(images)

    def placement(self, images: Any) -> dict[str, object]:
        convolutions = [part for part in self.model.layers if isinstance(part, keras.layers.Conv2D)]
        outputs = [*(layer.output for layer in convolutions), *self.model.outputs]
        found = keras.Model(self.model.inputs, outputs)(images)
        *features, logits = found if isinstance(found, (list, tuple)) else [found]
        layout = None
        for layer, feature in zip(convolutions, features, strict=True):
            last = feature.shape[-1] == layer.filters
            layout = "channels_last" if last else "channels_first"
        tensors = [*(weight.value for weight in self.model.weights), logits]
        return {
            "devices": sorted({self.device_of(tensor) for tensor in tensors}),
            "dtypes": sorted({keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors}),
            "layout": layout,
        }

    def probabilities(self, images: Any) -> Any:
        return keras.ops.softmax(self.forward(images))

    def train_step(self, images: Any, labels: Any) -> float:
        return self.model.train_on_batch(images, labels)

    def train_epoch(
        self, images: Any, labels: Any, order: np.ndarray, trained: Callable[[], None]
    ) -> None:
        images, labels = self.ordered(images, labels, order)
        after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trained())
        self.model.fit(
            images,
            labels,
            batch_size=self.batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[after],
        )

    def get_weights(self) -> Weights:
        return dict(zip(self.names, self.model.get_weights(), strict=True))

    def set_weights(self, weights: Weights) -> None:
        self.start = [weights[name] for name in self.names]
        self.reset()
