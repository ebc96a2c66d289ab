"""How PyTorch's users feed a network."""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mnist_models.feeds import SHIFT, Feed, Part

# Seconds that a loader's worker may take for a batch.
LIMIT = 60


class Images(Dataset):
    """One image and its label."""

    def __init__(self, part: Part) -> None:
        self.images = torch.from_numpy(part.images).unsqueeze(1)
        self.labels = torch.from_numpy(part.labels).long()
        self.shifts = part.shifts

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        down, right = SHIFT - self.shifts[place]
        padded = nn.functional.pad(self.images[place], (SHIFT,) * 4)
        return padded[:, down : down + 28, right : right + 28].float() / 255, self.labels[place]


def loader(workers: int = 0, persistent: bool = False):
    def make(part: Part) -> DataLoader:
        return DataLoader(
            Images(part),
            part.batch_size,
            sampler=part.order.tolist(),
            num_workers=workers,
            persistent_workers=persistent,
            timeout=LIMIT if workers else 0,
        )

    return make


class Tensors:
    """Whole batches, by indexing."""

    def __init__(self, part: Part) -> None:
        self.images = nn.functional.pad(torch.from_numpy(part.images), (SHIFT,) * 4)
        self.labels = torch.from_numpy(part.labels).long()
        self.starts = SHIFT - torch.from_numpy(part.shifts)
        self.batches = torch.from_numpy(part.order).split(part.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        along = torch.arange(28)
        for batch in self.batches:
            rows, columns = (self.starts[batch].T[..., None] + along).unbind()
            moved = self.images[batch[:, None, None], rows[:, :, None], columns[:, None, :]]
            yield moved.unsqueeze(1).float() / 255, self.labels[batch]


def train(trainer, feed, trained: Callable[[], None]) -> None:
    for images, labels in feed:
        trainer.train_step(images.to(trainer.device), labels.to(trainer.device))
    trained()


FEEDS = {
    "DataLoader": Feed(loader(), train),
    "DataLoader_2_workers": Feed(loader(workers=2), train),
    "DataLoader_2_persistent_workers": Feed(loader(workers=2, persistent=True), train),
    "tensors": Feed(Tensors, train),
}
