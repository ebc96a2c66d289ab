"""PyTorch's training step, taken apart."""

from torch.profiler import ProfilerActivity, profile, record_function

from mnist_models.profiles import PROFILED


def stages(trainer):
    model, loss, optimizer = trainer.model, trainer.loss, trainer.optimizer

    def forward(images, labels):
        if not model.training:
            model.train()
        return loss(model(images), labels)

    def gradients(images, labels):
        optimizer.zero_grad()
        forward(images, labels).backward()

    def update(images, labels):
        gradients(images, labels)
        optimizer.step()

    return forward, gradients, update


def profiled(trainer, batches):
    activities = [ProfilerActivity.CPU]
    if trainer.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    trainer.model.train()
    with profile(activities=activities) as found:
        for images, labels in batches:
            with record_function("forward"):
                loss = trainer.loss(trainer.model(images), labels)
            with record_function("backward"):
                trainer.optimizer.zero_grad()
                loss.backward()
            with record_function("optimiser"):
                trainer.optimizer.step()
    events = {event.key: event for event in found.key_averages()}
    parts = {name: events[name].cpu_time_total / 1e6 for name in PROFILED}
    kernels = {
        name: (event.self_cpu_time_total / 1e6, event.count)
        for name, event in events.items()
        if name.startswith("aten::")
    }
    return parts, kernels
