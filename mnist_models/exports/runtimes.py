"""Runtimes that load what either framework exports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_models.exports import Predict


def onnx(
    trainer: Any, path: Path, threads: int, settings: Mapping[str, str] | None = None
) -> Predict:
    """ONNX Runtime on the CPU; `settings` are further ones of its session."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for name, value in (settings or {}).items():
        options.add_session_config_entry(name, value)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [images], [logits] = session.get_inputs(), session.get_outputs()
    return lambda batch: session.run([logits.name], {images.name: batch})[0]


def openvino(trainer: Any, path: Path, threads: int) -> Predict:
    """OpenVINO on the CPU, in float32, for one request after the other."""
    from openvino import compile_model

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = compile_model(path, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"})
    return lambda batch: compiled(batch)[0]
