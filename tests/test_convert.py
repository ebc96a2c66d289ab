"""Weights in one framework's own file become the other's; what is no such file is refused."""

import re
import shutil
from itertools import permutations

import numpy as np
import pytest

from mnist_models import implementations, networks
from mnist_models.parity import relative
from tests.test_docs import tables
from tests.test_docs import text as text_of
from tools.porting import ENDINGS, porting

pytestmark = pytest.mark.slow

OTHER = {"Keras": "PyTorch", "PyTorch": "Keras"}


@pytest.fixture(scope="module")
def both(dataset, tmp_path_factory):
    """Both frameworks, each in its process, and the converter."""
    needed = (implementations.missing(name) for name in ("keras_tensorflow", "keras_torch"))
    if lacks := set().union(*needed):
        pytest.skip(f"not installed: pip install {' '.join(sorted(lacks))}")
    with porting(dataset, tmp_path_factory.mktemp("porting")) as found:
        yield found


@pytest.mark.parametrize("source", OTHER)
@pytest.mark.parametrize("architecture", networks.names())
def test_converted_weights_give_the_same_logits(both, architecture, source):
    """After an epoch by the one framework, on all test images, in the other."""
    found = both.port(architecture, source, OTHER[source])
    assert found.difference < 1e-5
    assert found.before == found.after


@pytest.mark.parametrize("source", OTHER)
def test_each_format_of_a_framework_will_do(both, source):
    assert both.port("resnet", source, OTHER[source], 1).difference < 1e-5


@pytest.fixture(scope="module")
def files(both, tmp_path_factory):
    """A file of each network in each format."""
    folder, found = tmp_path_factory.mktemp("files"), {}
    for name in networks.names():
        both.logits("PyTorch", "train", name, str(folder / f"{name}.pt"))
        found[name, ".pt"] = folder / f"{name}.pt"
        for ending in ENDINGS["Keras"]:
            found[name, ending] = folder / f"{name}{ending}"
            status, said = both.convert(name, *map(str, (found[name, ".pt"], found[name, ending])))
            assert status == 0, said
    return found


@pytest.mark.parametrize("ending", [".pt", *ENDINGS["Keras"]])
def test_the_weights_of_another_network_are_refused(both, files, tmp_path, ending):
    """Whichever two are confused; nothing is written."""
    target = tmp_path / ("out.keras" if ending == ".pt" else "out.pt")
    for name, other in permutations(networks.names(), 2):
        status, said = both.convert(name, str(files[other, ending]), str(target))
        assert (status, list(tmp_path.iterdir())) == (4, [])
        assert f"{other}{ending} does not hold the weights of {name}. Give the file" in said


def truncated(source, target):
    target.write_bytes(source.read_bytes()[:1000])


def text(source, target):
    target.write_text("no weights")


def empty(source, target):
    target.write_bytes(b"")


def a_pickle(source, target):
    """Which would run code if it were loaded without care."""
    import pickle

    target.write_bytes(pickle.dumps({"weights": np.zeros(3)}))


@pytest.mark.parametrize("spoil", [truncated, text, empty, a_pickle])
@pytest.mark.parametrize("ending", [".pt", *ENDINGS["Keras"]])
def test_what_is_no_file_of_weights_is_refused(both, files, tmp_path, ending, spoil):
    bad, target = tmp_path / f"bad{ending}", tmp_path / ("x.keras" if ending == ".pt" else "x.pt")
    spoil(files["mlp", ending], bad)
    status, said = both.convert("mlp", str(bad), str(target))
    assert status == 4
    assert f"{bad} does not hold the weights of mlp" in said
    assert not target.exists()


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("mlp.pt", "there/x.keras", "its folder does not exist"),
        ("gone.pt", "x.keras", "there is no such file"),
        ("mlp.onnx", "x.keras", "must end with .keras or .weights.h5 for Keras, .pt or .pth for"),
        ("mlp.pt", "x.h5", "must end with"),
        ("mlp.pt", "mlp.pt", "exists: choose another name, or give --force"),
    ],
)
def test_wrong_names_are_refused(both, files, tmp_path, source, target, words):
    shutil.copy(files["mlp", ".pt"], tmp_path / "mlp.pt")
    before = (tmp_path / "mlp.pt").read_bytes()
    status, said = both.convert("mlp", str(tmp_path / source), str(tmp_path / target))
    assert status == 4
    assert words in said
    assert (tmp_path / "mlp.pt").read_bytes() == before


def split_bias(channel, one, two):
    """A file as of an LSTM that trained both biases."""
    import torch

    state = torch.load(one, weights_only=True)
    state["lstm.bias_hh_l0"] = 0.25 * state["lstm.bias_ih_l0"]
    state["lstm.bias_ih_l0"] = 0.75 * state["lstm.bias_ih_l0"]
    torch.save(state, two)
    channel.send("saved")


def test_the_second_bias_of_an_lstm_is_not_lost(both, files, tmp_path):
    """PyTorch's users train both, and Keras has one: their sum."""
    one, two, target = files["lstm", ".pt"], tmp_path / "two.pt", tmp_path / "two.keras"
    process = both.sides["PyTorch"].gateway
    process.remote_exec(split_bias, one=str(one), two=str(two)).receive(60)
    before = both.logits("PyTorch", "load", "lstm", str(one))
    both.convert("lstm", str(two), str(target))
    after = both.logits("Keras", "load", "lstm", str(target))
    assert relative(after, before.astype(float), 0) < 1e-5


def test_an_unknown_network_is_refused_with_those_there_are(both):
    status, said = both.convert("vgg", "x.pt", "x.keras")
    assert status == 2
    assert "resnet" in said


def test_the_page_has_every_layer_that_is_converted():
    """docs/weights.md names each type of layer that pytorch_weights.py knows."""
    known = re.findall(
        r"^    nn\.(\w+): ", text_of("mnist_models/pytorch_weights.py"), re.MULTILINE
    )
    named = " ".join(row[2] for row in tables("docs/weights.md", "By type of layer"))
    assert len(known) > 5
    assert [kind for kind in known if f"nn.{kind}" not in named] == []
