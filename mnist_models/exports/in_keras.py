"""How Keras's users ship a network that computes with TensorFlow."""

from pathlib import Path

import keras
import numpy as np

from mnist_models.exports import Route, runtimes


def without_optimiser(trainer) -> None:
    # A compiled model saves its optimiser as well, which is not needed to predict.
    trainer.plain = trainer.network.in_keras()
    trainer.plain.set_weights(trainer.model.get_weights())


def save_keras(trainer, path: Path) -> None:
    trainer.plain.save(path)


def load_keras(trainer, path: Path, threads: int):
    model = keras.saving.load_model(path, compile=False)
    return model.predict_on_batch


def exporting(form: str):
    def export(trainer, path: Path) -> None:
        trainer.model.export(str(path), format=form, verbose=False)

    return export


def load_saved_model(trainer, path: Path, threads: int):
    import tensorflow as tf

    # The object owns the weights: after it is deleted, a call fails.
    loaded = tf.saved_model.load(str(path))
    return lambda images, loaded=loaded: loaded.serve(images).numpy()


def load_litert(trainer, path: Path, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    [images], [logits] = interpreter.get_input_details(), interpreter.get_output_details()
    shape = ()

    def predict(batch: np.ndarray) -> np.ndarray:
        nonlocal shape
        if batch.shape != shape:
            interpreter.resize_tensor_input(images["index"], batch.shape)
            interpreter.allocate_tensors()
            shape = batch.shape
        interpreter.set_tensor(images["index"], batch)
        interpreter.invoke()
        return interpreter.get_tensor(logits["index"])

    return predict


ROUTES = {
    "keras": Route(
        *(".keras", save_keras, load_keras),
        own=True,
        prepare=without_optimiser,
        runtime="tensorflow",
    ),
    "SavedModel": Route("", exporting("tf_saved_model"), load_saved_model, runtime="tensorflow"),
    "ONNX": Route(
        *(".onnx", exporting("onnx"), runtimes.onnx, ("tf2onnx", "onnxruntime")),
        runtime="onnxruntime",
    ),
    "LiteRT": Route(
        *(".tflite", exporting("litert"), load_litert, ("ai_edge_litert",)),
        runtime="ai-edge-litert",
    ),
    "OpenVINO": Route(
        *(".xml", exporting("openvino"), runtimes.openvino, ("openvino",)), runtime="openvino"
    ),
}
