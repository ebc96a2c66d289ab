"""What may move a time: one object for each knob and for each classic mistake.

`python -m benchmarks explain` measures each against the same thing unchanged. Those that are code
stand in `mnist_models/knobs`, under the same name.
"""

import ctypes.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.measuring.environments import STEADY, Environment, local_spec
from mnist_models import cpus
from mnist_models.implementations import PAIR, not_installed
from mnist_models.operations import EPOCH, FORWARD, TRAIN_STEP, Operation

KERAS, PYTORCH = PAIR
BOTH = PAIR
CALLS = (TRAIN_STEP, FORWARD)
ONNX = ("onnx", "onnxscript", "onnxruntime", "tf2onnx")


@dataclass(frozen=True)
class Knob:
    """One thing to change, in whom of the pair, where it can matter, and how a user changes it.

    `variables` are set before the process starts. `library` is loaded before the C library, if it
    is installed. `threads` takes the place of one. All else is code. `needs` are packages.
    `mistake` marks what a published comparison should not have.
    """

    name: str
    title: str
    who: tuple[str, ...] = BOTH
    operations: tuple[Operation, ...] = CALLS
    variables: Mapping[str, str] = field(default_factory=dict)
    library: str = ""
    threads: int | None = None
    needs: tuple[str, ...] = ()
    mistake: bool = False

    def missing(self) -> str:
        """Why it cannot be changed on this machine; empty where it can."""
        if lacks := not_installed(self.needs, "deploy"):
            return lacks
        if self.library and not ctypes.util.find_library(self.library):
            return f"lib{self.library} is not installed"
        if self.threads and self.threads > len(cpus.available()):
            return f"there are {len(cpus.available())} CPUs"
        return ""

    @property
    def is_code(self) -> bool:
        """Whether it is a change of code, in `mnist_models/knobs`."""
        return not (self.variables or self.library or self.threads)

    def environment(self) -> Environment:
        """The knob as an environment of a session."""
        variables = dict(self.variables)
        if self.library:
            variables["LD_PRELOAD"] = str(ctypes.util.find_library(self.library))
        spec = local_spec(sys.executable, variables)
        code = self.name if self.is_code else ""
        return Environment(self.name, spec, knob=code, threads=self.threads)


KNOBS = (
    Knob("steady", "glibc keeps freed memory (`MALLOC_TRIM_THRESHOLD_` …)", variables=STEADY),
    Knob(
        "huge_pages",
        "glibc asks for huge pages (`GLIBC_TUNABLES`)",
        variables={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    ),
    Knob("jemalloc", "jemalloc in place of glibc's allocator", library="jemalloc"),
    Knob("tcmalloc", "tcmalloc in place of glibc's allocator", library="tcmalloc_minimal"),
    Knob("two_threads", "two threads in place of one", threads=2),
    Knob(
        "two_interop_threads",
        "two threads across operations, on one CPU",
        variables={cpus.INTEROP: "2"},
    ),
    Knob("bfloat16", "bfloat16 (`mixed_bfloat16`, `autocast`)", operations=(*CALLS, EPOCH)),
    Knob("gc_off", "`gc.disable()`"),
    Knob(
        "tensorflow_onednn_off",
        "TensorFlow without oneDNN",
        (KERAS,),
        variables={"TF_ENABLE_ONEDNN_OPTS": "0"},
    ),
    # Off by default on processors without AVX512 VNNI and the like.
    Knob(
        "tensorflow_onednn_on",
        "TensorFlow with oneDNN",
        (KERAS,),
        variables={"TF_ENABLE_ONEDNN_OPTS": "1"},
    ),
    Knob("onednn_off", "PyTorch without oneDNN", (PYTORCH,)),
    Knob(
        "avx2",
        "oneDNN without AVX-512 (`ONEDNN_MAX_CPU_ISA=AVX2`)",
        variables={"ONEDNN_MAX_CPU_ISA": "AVX2"},
    ),
    # TensorFlow's wheels have no MKL. On processors of other makers MKL takes no AVX-512 anyway.
    Knob(
        "mkl_avx2",
        "MKL without AVX-512 (`MKL_ENABLE_INSTRUCTIONS=AVX2`)",
        (PYTORCH,),
        variables={"MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    ),
    Knob("xla", "`jit_compile=True`", (KERAS,)),
    Knob("compiled", "`model.compile()`", (PYTORCH,)),
    Knob("channels_last", "`channels_last`", (PYTORCH,)),
    Knob("fused", "Adam with `fused=True`", (PYTORCH,), (TRAIN_STEP,)),
    Knob("foreach", "Adam with `foreach=True`", (PYTORCH,), (TRAIN_STEP,)),
    Knob("gradients_zeroed", "`zero_grad(set_to_none=False)`", (PYTORCH,), (TRAIN_STEP,)),
    Knob("deterministic", "`use_deterministic_algorithms(True)`", (PYTORCH,)),
    Knob("no_grad", "`no_grad` in place of `inference_mode`", (PYTORCH,), (FORWARD,)),
    Knob("call", "`model(images)` in place of `predict_on_batch`", (KERAS,), (FORWARD,)),
    Knob(
        "onnx_runtime",
        "ONNX Runtime in place of the framework",
        operations=(FORWARD,),
        needs=ONNX,
    ),
    Knob("accuracy_metric", '`metrics=["accuracy"]`', (KERAS,), (TRAIN_STEP,)),
    Knob("loss_read", "the loss is read at every step", operations=(TRAIN_STEP,)),
    Knob("loss_printed", "the loss is printed at every step", operations=(TRAIN_STEP,)),
    Knob("steps_per_execution", "`steps_per_execution=10`", (KERAS,), (EPOCH,)),
    Knob("autotuner_off", "tf.data without its autotuner", (KERAS,), (EPOCH,)),
    Knob("from_numpy", "batches come as NumPy arrays", mistake=True),
    Knob("predict", "`predict` for each batch", (KERAS,), (FORWARD,), mistake=True),
    Knob(
        "loader_workers",
        "`DataLoader` with two workers, of images in memory",
        (PYTORCH,),
        (EPOCH,),
        mistake=True,
    ),
    Knob("shuffled", "the epoch is shuffled inside the clock", operations=(EPOCH,), mistake=True),
    Knob("eager", "`run_eagerly=True` forgotten", (KERAS,), mistake=True),
    Knob(
        "changed_batch",
        "each batch has another size, of 81 to 128 images",
        operations=(EPOCH,),
        mistake=True,
    ),
    Knob(
        "xla_changed_batch",
        "each batch has another size, with `jit_compile=True`",
        (KERAS,),
        (EPOCH,),
        mistake=True,
    ),
    Knob(
        "compiled_changed_batch",
        "each batch has another size, with `model.compile()`",
        (PYTORCH,),
        (EPOCH,),
        mistake=True,
    ),
    Knob(
        "onnx_runtime_spins",
        "ONNX Runtime with a second thread that spins on the same CPU",
        operations=(FORWARD,),
        needs=ONNX,
        mistake=True,
    ),
    Knob("gradients_kept", "forward pass without `no_grad`", (PYTORCH,), (FORWARD,), mistake=True),
    Knob(
        "anomalies_detected",
        "`set_detect_anomaly(True)` forgotten",
        (PYTORCH,),
        (TRAIN_STEP,),
        mistake=True,
    ),
    Knob("both_frameworks", "both frameworks in one process", mistake=True),
    Knob("float64", "float64 in place of float32", mistake=True),
    Knob("other_epsilon", "another epsilon of Adam", operations=(TRAIN_STEP,), mistake=True),
)
