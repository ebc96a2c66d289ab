"""Adam's second moment of an embedding in Keras, for a token that comes twice in a batch."""

import keras
import numpy as np
from keras import layers

model = keras.Sequential(
    [
        keras.Input((2,), dtype="int32"),
        layers.Embedding(2, 1, embeddings_initializer="zeros"),
        layers.Lambda(lambda x: keras.ops.sum(x, axis=1)),
    ]
)
model.compile(keras.optimizers.Adam(beta_2=0.5), loss="mse")
model.train_on_batch(np.array([[0, 0]]), np.array([[1.0]]))
# The loss is (2w - 1)², so that its gradient at w = 0 is -4, and v = (1 - beta_2) · 16 = 8.
velocity = next(v for v in model.optimizer.variables if "velocity" in v.path)
print(f"{keras.backend.backend()}: v = {np.asarray(velocity.value)[0, 0]:g}, by the textbook 8")
