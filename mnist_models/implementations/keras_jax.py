"""Keras on JAX: the same Keras code on another backend.

keras_trainer.py has the Keras code, this file what JAX needs.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

from contextlib import suppress
from pathlib import Path

import jax
import keras
import numpy as np

from mnist_models import keras_trainer
from mnist_models.defaults import in_keras
from mnist_models.keras_trainer import CONVENTIONS  # noqa: F401  (the contract)
from mnist_models.networks import Network
from mnist_models.recipe import Recipe

DEFAULTS = in_keras
COMPILED: list[float] = []  # seconds of each program


def note(event: str, seconds: float, **_: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        COMPILED.append(seconds)


jax.monitoring.register_event_duration_secs_listener(note)


def versions() -> dict[str, str]:
    return {"jax": jax.__version__, "keras": keras.__version__}


def devices() -> list[str]:
    return ["cpu", "gpu"] if jax.default_backend() == "gpu" else ["cpu"]


def configure(threads: int) -> dict[str, object]:
    # JAX has no setting for threads: XLA reads NPROC when JAX looks for devices, which is below.
    os.environ["NPROC"] = str(threads)
    jax.numpy.zeros(1).block_until_ready()
    return {"threads": max(threads, pool())}


def set_precision(precision: str) -> dict[str, bool]:
    # JAX's own default is TF32 for convolutions and matrix products alike.
    tf32 = "tensorfloat32" if precision == "tf32" else "float32"
    jax.config.update("jax_default_matmul_precision", tf32)
    return {"tf32": jax.config.jax_default_matmul_precision == "tensorfloat32"}


def peak_gpu_memory() -> int:
    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]


def pool() -> int:
    """Return the number of threads in XLA's pool, as Linux lists them: JAX does not tell."""
    found = 0
    for name in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # a thread that has just ended
            found += name.read_text().startswith("tf_XLAEigen")
    return found


def compute_in_float64() -> None:
    """Undo two conversions to float32 that nobody can switch off; it changes no timed path."""
    from keras.src.backend.common import dtypes

    # Keras normalises and attends in float32, whatever the type (keras-team/keras#23704).
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"

    def attention(query, key, value, bias=None, mask=None, *, scale=None, is_causal=False, **_):
        # JAX's own has a softmax in float32.
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        scores = scale * jax.numpy.einsum("bthd,bshd->bhts", query, key)
        scores = scores if bias is None else scores + bias
        if is_causal:
            mask = jax.numpy.tri(query.shape[1], dtype=bool)
        scores = scores if mask is None else jax.numpy.where(mask, scores, -jax.numpy.inf)
        return jax.numpy.einsum("bhts,bshd->bthd", jax.nn.softmax(scores), value)

    jax.nn.dot_product_attention = attention


class Trainer(keras_trainer.Trainer):
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        if dtype == "float64":
            # Without it JAX takes float64 for float32. No worker that is timed needs this.
            jax.config.update("jax_enable_x64", True)
            compute_in_float64()
        super().__init__(network, recipe, device, dtype)
        # The default jit_compile="auto" means XLA, wherever JAX runs.
        self.compilation = "XLA" if self.model.jit_compile else "eager"

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[jax.Array, jax.Array]:
        return jax.numpy.array(images, self.dtype), jax.numpy.array(labels, "int32")

    def ordered(
        self, images: jax.Array, labels: jax.Array, order: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        # Keras takes a JAX array back to the host before it slices it.
        return np.asarray(images)[order], np.asarray(labels)[order]

    def device_of(self, tensor: jax.Array) -> str:
        return tensor.device.platform

    def compilations(self) -> int:
        return len(COMPILED)

    def synchronize(self) -> None:
        # JAX waits for arrays, not for the device; these are all that a step or a reset leaves.
        variables = self.model.variables + self.model.optimizer.variables
        jax.block_until_ready([variable.value for variable in variables])
