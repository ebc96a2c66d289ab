"""PyTorch as its users write it: an `nn.Module` and the plain training loop, run eagerly."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from mnist_models import cpus
from mnist_models.conventions import Conventions
from mnist_models.defaults import in_pytorch
from mnist_models.networks import IMAGE_SHAPE, Network
from mnist_models.pytorch_weights import held
from mnist_models.recipe import SGD, Adam, AdamW, Recipe
from mnist_models.weights import Weights

CONVENTIONS = Conventions(running_variance="unbiased", velocity="gradients")
DEFAULTS = in_pytorch


def versions() -> dict[str, str]:
    return {"torch": str(torch.__version__)}


def devices() -> list[str]:
    return ["cpu", "gpu"] if torch.cuda.is_available() else ["cpu"]


def configure(threads: int) -> dict[str, object]:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(cpus.across(threads))
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "onednn": torch.backends.mkldnn.enabled and torch.backends.mkldnn.is_available(),
    }


def set_precision(precision: str) -> dict[str, bool]:
    # PyTorch's own default is TF32 for convolutions and float32 for matrix products.
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return {
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolution": torch.backends.cudnn.allow_tf32,
    }


def peak_gpu_memory() -> int:
    return torch.cuda.max_memory_allocated()


class Trainer:
    def __init__(self, network: Network, recipe: Recipe, device: str, dtype: str) -> None:
        self.network = network
        self.batch_size = recipe.batch_size
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        self.dtype = getattr(torch, dtype)
        self.model = network.in_pytorch().to(self.device, self.dtype)
        self.weights = held(self.model)
        self.start: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.compilation = "eager"
        self.loss = nn.CrossEntropyLoss()
        parameters = self.model.parameters()
        match recipe.optimizer:
            case SGD(learning_rate, momentum, nesterov):
                self.optimizer = torch.optim.SGD(
                    parameters, lr=learning_rate, momentum=momentum, nesterov=nesterov
                )
            case AdamW(learning_rate, beta_1, beta_2, epsilon, weight_decay):
                self.optimizer = torch.optim.AdamW(
                    parameters, learning_rate, (beta_1, beta_2), epsilon, weight_decay
                )
            case Adam(learning_rate, beta_1, beta_2, epsilon):
                self.optimizer = torch.optim.Adam(
                    parameters, lr=learning_rate, betas=(beta_1, beta_2), eps=epsilon
                )
        # CosineAnnealingLR would rise again after its last step, Keras's CosineDecay does not.
        self.schedule = None
        if recipe.cosine_steps:
            self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, recipe.cosine)

    def disable_dropout(self) -> None:
        for layer in self.model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0

    @torch.no_grad()
    def reset(self) -> None:
        for tensor, start in self.start:
            tensor.copy_(start)
        for state in self.optimizer.state.values():
            for tensor in state.values():
                if tensor is not None:
                    tensor.zero_()
        if self.schedule:
            self.schedule.last_epoch = 0
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"]

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        # Convolutions in PyTorch take (n, channels, height, width). With its stride of 1, a single
        # channel that is permuted would make them compute in the layout channels_last.
        images = torch.from_numpy(images).reshape(-1, 1, *IMAGE_SHAPE[:2])
        return images.to(self.device, self.dtype), torch.from_numpy(labels).to(self.device).long()

    def fetch(self, tensor: torch.Tensor) -> np.ndarray:
        return tensor.numpy(force=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.model.training:
            self.model.eval()
        with torch.inference_mode():
            return self.model(images)

    @torch.inference_mode()
    def placement(self, images: torch.Tensor) -> dict[str, object]:
        features: list[torch.Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda layer, given, output: features.append(output))
            for layer in self.model.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        tensors = [*self.model.parameters(), self.model.forward(images)]
        layout = None
        if features:
            layout = "channels_first" if features[-1].is_contiguous() else "channels_last"
        for hook in hooks:
            hook.remove()
        return {
            "devices": sorted({tensor.device.type for tensor in tensors}),
            "dtypes": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}),
            "layout": layout,
        }

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        return self.forward(images).softmax(dim=1)

    def train_step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if not self.model.training:
            self.model.train()
        self.optimizer.zero_grad()
        loss = self.loss(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()
        return loss

    def train_epoch(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        order: np.ndarray,
        trained: Callable[[], None],
    ) -> None:
        order = torch.from_numpy(order).to(self.device)
        for batch in order.split(self.batch_size):
            self.train_step(images[batch], labels[batch])
        trained()

    def get_weights(self) -> Weights:
        shared = self.network.weights
        return {name: weight.read(shared[name]) for name, weight in self.weights.items()}

    def set_weights(self, weights: Weights) -> None:
        self.start = []
        for name, weight in self.weights.items():
            started = weight.converted(weights[name], self.network.weights[name])
            self.start += zip(weight.tensors, started, strict=True)
        self.reset()

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
