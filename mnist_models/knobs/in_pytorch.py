"""What PyTorch's users change, or forget to change, with an effect on times."""

from functools import partial

import torch

from mnist_models import implementations, knobs


def optimizer_with(module, **options):
    """The same optimiser with further options."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            for group in self.optimizer.param_groups:
                group.update({"foreach": None, "fused": None} | options)

    return Trainer


def fused(module):
    """`fused=True`: the whole update of all weights is one kernel."""
    return optimizer_with(module, fused=True)


def foreach(module):
    """`foreach=True`: each operation of the update is done for all weights at once."""
    return optimizer_with(module, foreach=True)


def bfloat16(module):
    """`autocast` to bfloat16, with weights in float32."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kind, forward = self.device.type, self.model.forward

            def cast(images):
                with torch.autocast(kind, torch.bfloat16):
                    logits = forward(images)
                return logits.float()

            self.model.forward = cast

    return Trainer


def loader_workers(module):
    """An epoch by a `DataLoader` with two workers, of images that are in memory anyway."""

    class Trainer(module.Trainer):
        def train_epoch(self, images, labels, order, trained):
            data = torch.utils.data.TensorDataset(images, labels)
            for batch in torch.utils.data.DataLoader(
                data, self.batch_size, sampler=order.tolist(), num_workers=2, timeout=60
            ):
                self.train_step(*batch)
            trained()

    return Trainer


def shuffled(module):
    """`randperm` at the start of an epoch, inside the clock."""

    class Trainer(module.Trainer):
        def train_epoch(self, images, labels, order, trained):
            own = torch.randperm(len(labels)).numpy()
            super().train_epoch(images, labels, own, trained)

    return Trainer


def channels_last(module):
    """Model and images in `torch.channels_last`."""
    return implementations.load("pytorch_channels_last").Trainer


def compiled(module):
    """`model.compile()`."""
    return implementations.load("pytorch_compiled").Trainer


def changed_batch(module):
    """An epoch in which each batch has another size."""

    class Trainer(module.Trainer):
        def train_epoch(self, images, labels, order, trained):
            order = torch.from_numpy(order).to(self.device)
            for part in knobs.parts(len(order), self.batch_size):
                batch = order[part]
                self.train_step(images[batch], labels[batch])
            trained()

    return Trainer


def compiled_changed_batch(module):
    """`model.compile()`, and each batch has another size."""
    return changed_batch(implementations.load("pytorch_compiled"))


def onnx_runtime(module, threads=1):
    """ONNX Runtime predicts."""

    class Trainer(knobs.onnx_runtime(module, threads)):
        def forward(self, images):
            return torch.from_numpy(super().forward(images))

    return Trainer


def gradients_kept(module):
    """A forward pass outside `inference_mode`, which keeps data for a backward pass."""

    class Trainer(module.Trainer):
        def forward(self, images):
            if self.model.training:
                self.model.eval()
            return self.model(images)

    return Trainer


def no_grad(module):
    """A forward pass under `no_grad` in place of `inference_mode`."""
    trainer = gradients_kept(module)
    trainer.forward = torch.no_grad()(trainer.forward)
    return trainer


def gradients_zeroed(module):
    """`zero_grad(set_to_none=False)`: gradients are filled with zeros, not dropped."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.optimizer.zero_grad = partial(self.optimizer.zero_grad, set_to_none=False)

    return Trainer


def anomalies_detected(module):
    """`set_detect_anomaly(True)`, as for debugging."""
    torch.autograd.set_detect_anomaly(True, check_nan=True)
    return module.Trainer


def deterministic(module):
    """`use_deterministic_algorithms(True)`."""
    torch.use_deterministic_algorithms(True)
    return module.Trainer


def onednn_off(module):
    """`torch.backends.mkldnn.enabled = False`."""
    torch.backends.mkldnn.enabled = False
    return module.Trainer
