"""Keras on JAX 0.7.2 to 0.8.1: a second call of `train_on_batch` computes another loss."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np

chance = np.random.default_rng(0)
images = chance.random((256, 784), np.float32)
labels = chance.integers(0, 10, 256, np.int32)
keras.utils.set_random_seed(0)
layers = keras.layers.Dense(256, "relu"), keras.layers.Dense(10)
model = keras.Sequential([keras.Input((784,)), *layers])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.001), loss)
model.train_on_batch(images[:128], labels[:128])
before = float(loss(labels[128:], model(images[128:])))
said = float(model.train_on_batch(images[128:], labels[128:]))
print(f"JAX {jax.__version__}: the loss before the step is {before:.4f}, it says {said:.4f}")
