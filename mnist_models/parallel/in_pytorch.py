"""PyTorch's `DistributedDataParallel`: a process for each device, gloo between them."""

from contextlib import contextmanager, nullcontext

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mnist_models import networks
from mnist_models.implementations import pytorch_eager
from mnist_models.parallel import seconds
from mnist_models.recipe import Recipe


def shard(batch, job):
    """This rank's part of a batch."""
    rank = 0 if job["case"] == "same data" else job["rank"]
    return batch.chunk(job["ranks"])[rank]


@contextmanager
def group(job):
    """The ranks, which find each other by a file in the job's folder."""
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{job['folder']}/group",
        rank=job["rank"],
        world_size=job["ranks"],
    )
    pytorch_eager.configure(1)
    yield
    distributed.destroy_process_group()


def train(job, images, labels, start):
    network, recipe = networks.load(job["architecture"]), Recipe.from_record(job["recipe"])
    trainer = pytorch_eager.Trainer(network, recipe, "cpu", job["dtype"])
    trainer.disable_dropout()
    trainer.set_weights(start)
    weights, size = trainer.weights, recipe.batch_size
    if job["case"] == "unsynchronised start":
        # DistributedDataParallel then does not copy the weights of the first rank.
        trainer.model = DistributedDataParallel(trainer.model, init_sync=False)
        if job["rank"]:
            trainer.set_weights({name: array * 1.01 for name, array in start.items()})
    else:
        trainer.model = DistributedDataParallel(trainer.model)
    if job["case"] == "summed":
        trainer.model.register_comm_hook(None, summed)
    if job["case"] == "uneven, weighed":
        trainer.loss = weighed(trainer.loss)
    images, labels = trainer.put(images, labels)
    batches = [
        (shard(few, job), shard(answers, job))
        for few, answers in zip(images.split(size), labels.split(size), strict=True)
    ]
    for batch in batches:
        trainer.train_step(*batch)
    trainer.weights = weights
    end = trainer.get_weights()
    if not job["timed"]:
        return {}, end
    together = seconds(trainer.train_step, batches, distributed.barrier)
    with trainer.model.no_sync() if job["ranks"] > 1 else nullcontext():
        alone = seconds(trainer.train_step, batches, distributed.barrier)
    return {"seconds": together, "alone": alone}, end


def weighed(loss):
    """Weigh every image the same, even if a rank has fewer than others."""

    def mean(outputs, labels):
        images = torch.tensor(float(len(labels)))
        distributed.all_reduce(images)
        return loss(outputs, labels) * len(labels) * distributed.get_world_size() / images

    return mean


def summed(state, bucket):
    """Sum gradients over ranks, in place of their mean."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
    return work.then(lambda done: done.value()[0])
