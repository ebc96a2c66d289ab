"""How PyTorch's users ship a network."""

from pathlib import Path

import numpy as np
import torch

from mnist_models.exports import Route, runtimes


def example(trainer, size=2):
    return torch.zeros((size, 1, 28, 28), dtype=trainer.dtype, device=trainer.device)


def exported(trainer, size=2, most=None):
    batch, images = {0: torch.export.Dim("batch", max=most)}, (example(trainer, size),)
    return torch.export.export(trainer.model.eval(), images, dynamic_shapes=(batch,))


def inference(module):
    def predict(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(images)).numpy()

    return predict


def save_state(trainer, path: Path) -> None:
    torch.save(trainer.model.state_dict(), path)


def load_state(trainer, path: Path, threads: int):
    model = trainer.network.in_pytorch()
    model.load_state_dict(torch.load(path, weights_only=True))
    return inference(model.eval())


def save_program(trainer, path: Path) -> None:
    torch.export.save(exported(trainer), path)


def load_program(trainer, path: Path, threads: int):
    return inference(torch.export.load(path).module())


def save_compiled(trainer, path: Path) -> None:
    torch._inductor.aoti_compile_and_package(exported(trainer), package_path=str(path))


def load_compiled(trainer, path: Path, threads: int):
    return inference(torch._inductor.aoti_load_package(str(path)))


def save_onnx(trainer, path: Path) -> None:
    batch = {0: torch.export.Dim("batch")}
    torch.onnx.export(
        trainer.model.eval(),
        (example(trainer),),
        str(path),
        dynamo=True,  # the default from 2.9 on
        dynamic_shapes=(batch,),
        external_data=False,
        verbose=False,
    )


def save_openvino(trainer, path: Path) -> None:
    import openvino

    shape = [-1, *example(trainer).shape[1:]]
    model = openvino.convert_model(
        trainer.model.eval(), example_input=example(trainer), input=shape
    )
    openvino.save_model(model, path, compress_to_fp16=False)


def save_executorch(trainer, path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    # ExecuTorch plans the memory beforehand: the example has as many images as ever come. One
    # image alone would become a constant.
    size = max(2, trainer.batch_size)
    program = exported(trainer, size, most=size)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


def load_executorch(trainer, path: Path, threads: int):
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    portable_lib._unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(path).load_method("forward")
    return lambda images: method.execute([torch.from_numpy(images)])[0].numpy()


ROUTES = {
    "state_dict": Route(".pt", save_state, load_state, own=True, runtime="torch"),
    "torch.export": Route(".pt2", save_program, load_program, runtime="torch"),
    "AOTInductor": Route(".pt2", save_compiled, load_compiled, program="g++", runtime="torch"),
    "ONNX": Route(
        *(".onnx", save_onnx, runtimes.onnx, ("onnx", "onnxscript", "onnxruntime")),
        runtime="onnxruntime",
    ),
    "OpenVINO": Route(
        *(".xml", save_openvino, runtimes.openvino, ("openvino",)), runtime="openvino"
    ),
    "ExecuTorch": Route(
        *(".pte", save_executorch, load_executorch, ("executorch",)),
        extra="executorch",
        runtime="executorch",
        beside=("torch",),
    ),
}
