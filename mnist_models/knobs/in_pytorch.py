"""What PyTorch's users change, or forget to change, that moves a time."""

import torch


def optimizer_with(module, **options):
    """The same optimiser with further options."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            for group in self.optimizer.param_groups:
                options_of = {"foreach": None, "fused": None} | options
                group.update(options_of)

    return Trainer


def fused(module):
    """`fused=True`: the whole update of all weights is one kernel."""
    return optimizer_with(module, fused=True)


def foreach(module):
    """`foreach=True`: each operation of the update is done for all weights at once."""
    return optimizer_with(module, foreach=True)


def channels_last(module):
    """Model and images in `torch.channels_last`."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.model.to(memory_format=torch.channels_last)

        def put(self, images, labels):
            images, labels = super().put(images, labels)
            return images.to(memory_format=torch.channels_last), labels

    return Trainer


def compiled(module):
    """`model.compile()`."""

    class Trainer(module.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.model.compile()

    return Trainer


def gradients_kept(module):
    """A forward pass outside `inference_mode`, which keeps what a backward pass would need."""

    class Trainer(module.Trainer):
        def forward(self, images):
            if self.model.training:
                self.model.eval()
            return self.model(images)

    return Trainer


def no_grad(module):
    """A forward pass under `no_grad` in place of `inference_mode`."""

    class Trainer(module.Trainer):
        @torch.no_grad()
        def forward(self, images):
            if self.model.training:
                self.model.eval()
            return self.model(images)

    return Trainer


def gradients_zeroed(module):
    """`zero_grad(set_to_none=False)`: gradients are filled with zeros, not dropped."""

    class Trainer(module.Trainer):
        def train_step(self, images, labels):
            if not self.model.training:
                self.model.train()
            self.optimizer.zero_grad(set_to_none=False)
            loss = self.loss(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            return loss

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
