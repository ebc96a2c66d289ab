"""Weights taken from one framework to the other and held against it: `python -m tools.porting`.

Each network is trained for an epoch by each framework, saved in its own format, converted, loaded
by the other, and asked about all test images.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import execnet
import numpy as np

from mnist_models import data, networks
from mnist_models.parity import relative

LIMIT = 900.0
ENDINGS = {"Keras": (".keras", ".weights.h5"), "PyTorch": (".pt", ".pth")}


class Ported(NamedTuple):
    """How far the logits are after the conversion, and the accuracy before and after."""

    difference: float
    before: float
    after: float


def in_keras(channel, folder):  # type: ignore[no-untyped-def]
    """Train and save a network, or load it, as Keras's users do; sends the test images' logits."""
    import os
    from pathlib import Path

    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import numpy as np

    from mnist_models import data, networks

    dataset = data.read(Path(folder))
    images, test_images = map(data.preprocess, (dataset.train_images, dataset.test_images))
    for action, architecture, path in channel:
        keras.utils.set_random_seed(1)
        model = networks.load(architecture).in_keras()
        if action == "train":
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile("adam", loss)
            model.fit(images, dataset.train_labels, batch_size=128, verbose=0)
            if path.endswith(".keras"):
                model.save(path)
            else:
                model.save_weights(path)
        else:
            model.load_weights(path)
        logits = model.predict(test_images, batch_size=500, verbose=0)
        channel.send(np.ascontiguousarray(logits, np.float32).tobytes())


def in_pytorch(channel, folder):  # type: ignore[no-untyped-def]
    """The same as PyTorch's users do."""
    from pathlib import Path

    import torch

    from mnist_models import data, networks

    dataset = data.read(Path(folder))
    images = torch.from_numpy(data.preprocess(dataset.train_images)).reshape(-1, 1, 28, 28)
    test_images = torch.from_numpy(data.preprocess(dataset.test_images)).reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(dataset.train_labels).long()
    for action, architecture, path in channel:
        torch.manual_seed(1)
        model = networks.load(architecture).in_pytorch()
        if action == "train":
            optimizer, loss = torch.optim.Adam(model.parameters()), torch.nn.CrossEntropyLoss()
            for batch in torch.randperm(len(images)).split(128):
                optimizer.zero_grad()
                loss(model(images[batch]), labels[batch]).backward()
                optimizer.step()
            torch.save(model.state_dict(), path)
        else:
            model.load_state_dict(torch.load(path, weights_only=True))
        model.eval()
        with torch.inference_mode():
            logits = torch.cat(list(map(model, test_images.split(500))))
        channel.send(logits.numpy().tobytes())


def converter(channel):  # type: ignore[no-untyped-def]
    """Run `python -m mnist_models`; sends the exit status and what was printed."""
    import contextlib
    import io

    from mnist_models.__main__ import main

    for arguments in channel:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                status = main(list(arguments))
            except SystemExit as end:
                status = int(end.code or 0)
        channel.send((status, said.getvalue()))


class Porting:
    """Both frameworks, and the converter, in processes of their own."""

    def __init__(self, dataset: data.Dataset, folder: Path, group: execnet.Group) -> None:
        self.labels, self.folder = dataset.test_labels, folder
        place = {"folder": str(dataset.folder)}
        self.sides = {
            "Keras": begun(group, in_keras, **place),
            "PyTorch": begun(group, in_pytorch, **place),
        }
        self.converter = begun(group, converter)

    def logits(self, title: str, *request: str) -> np.ndarray:
        """A side's answer."""
        self.sides[title].send(request)
        return np.frombuffer(self.sides[title].receive(LIMIT), np.float32).reshape(-1, 10)

    def convert(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of `python -m mnist_models convert`."""
        self.converter.send(("convert", *arguments))
        status, said = self.converter.receive(LIMIT)
        return status, said

    def port(self, architecture: str, source: str, target: str, which: int = 0) -> Ported:
        """From one side to the other, in the `which`-th format of each."""
        paths = [
            str(self.folder / f"{architecture}-{source}{ENDINGS[title][which]}")
            for title in (source, target)
        ]
        before = self.logits(source, "train", architecture, paths[0])
        status, said = self.convert(architecture, *paths, "--force")
        if status:
            raise RuntimeError(said)
        after = self.logits(target, "load", architecture, paths[1])
        right = ((logits.argmax(axis=1) == self.labels).mean() for logits in (before, after))
        return Ported(relative(after, before.astype(float), 0), *map(float, right))


def begun(group: execnet.Group, side: Any, **arguments: Any) -> execnet.Channel:
    """A function that runs in a process of its own, with this package's source."""
    gateway, root = group.makegateway(), str(Path(data.__file__).parents[1])
    gateway.remote_exec(f"import sys; sys.path.insert(0, {root!r})").waitclose(LIMIT)
    return gateway.remote_exec(side, **arguments)


@contextmanager
def porting(dataset: data.Dataset, folder: Path) -> Iterator[Porting]:
    """A Porting whose processes end with the context."""
    group = execnet.Group()
    try:
        yield Porting(dataset, folder, group)
    finally:
        group.terminate(timeout=2)


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tools.porting", description=__doc__)
    parser.add_argument("--dataset", help="as for pytest benchmarks")
    dataset = data.load(parser.parse_args().dataset)
    titles = ("network", "from", "to", "logits differ by", "accuracy before", "after")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    with (
        tempfile.TemporaryDirectory() as scratch,
        porting(dataset, Path(scratch)) as ported,
    ):
        for name in networks.names():
            for source, target in (("Keras", "PyTorch"), ("PyTorch", "Keras")):
                found = ported.port(name, source, target)
                accuracies = f"{found.before:.4f} | {found.after:.4f}"
                print(f"| {name} | {source} | {target} | {found.difference:.1e} | {accuracies} |")


if __name__ == "__main__":
    main()
