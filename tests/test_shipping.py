"""Shipping: every route answers like the network it was, and one that does not is void."""

from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.reporting import words
from benchmarks.trial import Trial
from mnist_models import exports, shipping
from mnist_models.exports import Route
from mnist_models.implementations import PAIR, Unavailable
from mnist_models.shipping import BOUND, Shipping
from tests.test_command_lines import run_here
from tests.test_statistics import make_results

KERAS, PYTORCH = PAIR
TRIAL = Trial("deploy", "mlp", 128, "cpu")
LOGITS = np.random.default_rng(2).normal(size=(8, 10)).astype(np.float32)
ROUTE = {
    "export_seconds": 0.5,
    "bytes": 2 * 2**20,
    "environment_bytes": 300 * 2**20,
    "load_seconds": 0.02,
    "difference": 5e-7,
    "one_seconds": 3e-5,
    "batch_seconds": 9e-4,
}


def saved(trainer, path):
    path.write_bytes(b"weights")


def loaded(answer):
    return lambda trainer, path, threads: answer


def right(images):
    return images[:, :10]


def softmax(images):
    powers = np.exp(right(images))
    return powers / powers.sum(axis=1, keepdims=True)


def of_another_seed(images):
    return right(images) + np.float32(0.01)


def transposed(images):
    return right(images)[:, ::-1]


def one_image_wrong(images):
    """Right for a batch, and wrong for one image alone."""
    return right(images) if len(images) > 1 else right(images) + 1


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A worker whose images begin with their logits."""
    monkeypatch.setenv(shipping.FOLDER, str(tmp_path))
    monkeypatch.setattr(shipping, "ANSWER_SECONDS", 0.001)
    trainer = SimpleNamespace(fetch=lambda tensor: tensor, forward=right)
    batch = np.concatenate([LOGITS, LOGITS], axis=1), None
    own = lambda: (PYTORCH, "mlp", {}, "cpu", 1)  # noqa: E731
    return SimpleNamespace(
        trainer=trainer, threads=1, device="cpu", own=own, prepared=lambda: [batch]
    )


def shipped(worker, monkeypatch, answer=right, **more):
    routes = {"own": Route(".pt", saved, loaded(right), own=True, runtime="numpy")}
    export = more.pop("export", saved)
    routes["other"] = Route(".x", export, loaded(answer), **more, runtime="numpy")
    monkeypatch.setattr(exports, "routes", lambda name: routes)
    made = Shipping(worker)
    made.export()
    return made


def test_a_right_route_has_all_its_figures(worker, monkeypatch):
    found = shipped(worker, monkeypatch).found("other")
    assert found.keys() == ROUTE.keys()
    assert found["difference"] == 0.0
    assert found["bytes"] == len(b"weights")
    assert found["one_seconds"] > 0 < found["batch_seconds"]


class Installed:
    """A distribution of one file of so many bytes."""

    def __init__(self, folder, name, size, requires=()):
        path = folder / name
        path.write_bytes(bytes(size))
        self.files, self.requires = [SimpleNamespace(locate=lambda: path)], requires


def test_an_environment_has_all_that_the_runtime_requires(tmp_path, monkeypatch):
    """Each once, in a circle as well; no extra, and nothing for another system."""
    more = ['other>1; sys_platform == "never"', 'absent; extra == "gpu"']
    known = {
        "some-runtime": Installed(tmp_path, "runtime", 100, ["Numbers>=2", "numbers", *more]),
        "numbers": Installed(tmp_path, "numbers", 10, ["some_runtime"]),
        "broken": Installed(tmp_path, "broken", 1, ["absent"]),
    }

    def distribution(name):
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(metadata, "distribution", distribution)
    size = exports.environment_size.__wrapped__
    assert size("some.runtime") == 110
    assert size("broken") is None
    assert size("numbers", "some-runtime") == 110


@pytest.mark.parametrize("wrong", [softmax, of_another_seed, transposed, one_image_wrong])
def test_a_wrong_route_is_void(worker, monkeypatch, wrong):
    """The planted fault is seen by the bound, and voids the row in words."""
    found = shipped(worker, monkeypatch, wrong).found("other")
    assert found["difference"] > BOUND
    row_of = make_results({(TRIAL, KERAS): ([1.0] * 6, {"routes": {"ONNX": ROUTE | found}})}).rows
    row = row_of[TRIAL, KERAS]
    assert not row.valid
    assert row.wrong_answers[0].startswith("ONNX differs in block 0 by ")
    assert f"(at most {BOUND:g})" in row.wrong_answers[0]


def test_a_row_of_right_routes_is_valid():
    results = make_results({(TRIAL, KERAS): ([1.0] * 6, {"routes": {"ONNX": ROUTE}})})
    assert results.rows[TRIAL, KERAS].wrong_answers == []
    info = results.particulars(results.rows[TRIAL, KERAS])
    assert words.particulars(KERAS, info) == [
        "Keras ONNX: 2.00 MiB, needs 300 MiB of packages, exported in 500 ms, loaded in 20 ms, "
        "one image 30 µs, a batch 900 µs, off by 5e-07"
    ]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"needs": ("no_such_runtime",)}, "not installed: no_such_runtime; pip install -e"),
        ({"program": "no-such-compiler"}, "there is no no-such-compiler on the PATH"),
    ],
)
def test_what_is_not_there_is_a_route_with_its_reason(worker, monkeypatch, more, reason):
    found = shipped(worker, monkeypatch, **more).found("other")
    assert found["missing"].startswith(reason)
    said = words.particulars(KERAS, {"routes": [{"other": found}]})
    assert said == [f"Keras other: {found['missing']}"]


def failing(*arguments):
    raise ValueError("no such layer\nand more")


def test_what_cannot_be_exported_is_a_route_with_its_reason(worker, monkeypatch):
    found = shipped(worker, monkeypatch, export=failing).found("other")
    assert found == {"missing": "cannot be exported: ValueError: no such layer"}


def test_what_cannot_be_loaded_is_a_route_with_its_reason(worker, monkeypatch):
    found = shipped(worker, monkeypatch, answer=failing).found("other")
    assert found == {"missing": "cannot be loaded: ValueError: no such layer"}


def test_later_blocks_load_what_the_first_exported(worker, monkeypatch):
    exported = []

    def export(trainer, path):
        exported.append(path)
        saved(trainer, path)

    first = shipped(worker, monkeypatch, export=export)
    later = shipped(worker, monkeypatch, export=export)
    assert len(exported) == 1
    assert first.found("other")["export_seconds"] is not None
    assert later.found("other")["export_seconds"] is None


def test_who_has_no_file_to_ship_is_refused(worker, monkeypatch):
    monkeypatch.setattr(exports, "routes", lambda name: {})
    with pytest.raises(Unavailable, match="pytorch_eager has no routes to ship by"):
        Shipping(worker)


def test_shipping_is_timed_on_the_cpu_alone(worker, monkeypatch):
    worker.device = "gpu"
    with pytest.raises(Unavailable, match="on the CPU alone"):
        shipped(worker, monkeypatch)


def test_an_export_that_was_killed_is_repeated(worker, monkeypatch):
    """What it left is no file that a later block takes."""

    def killed(trainer, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shipped(worker, monkeypatch, export=killed)
    found = shipped(worker, monkeypatch).found("other")
    assert found["bytes"] == len(b"weights")


def test_only_the_pair_has_routes():
    assert exports.routes("numpy_reference") == {}


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "data").write_bytes(b"x" * 100)
    (tmp_path / "model.pb").write_bytes(b"x" * 50)
    assert exports.size(tmp_path) == 150


@pytest.mark.slow
def test_every_route_that_is_installed_answers_right(tmp_path):
    """A live session of the pair: the first block exports, the second loads in new processes."""
    rows = run_here(tmp_path, "--operation=deploy", "--blocks=2", "--architecture=mlp")
    assert rows.keys() == {*PAIR}
    for who, row in rows.items():
        first, second = row["extra_info"]["routes"]
        assert first.keys() == second.keys()
        assert len(first) == {KERAS: 5, PYTORCH: 6}[who]
        for name, found in second.items():
            reason = found.get("missing", "not installed")
            assert reason.startswith(("not installed", "there is no")), (name, reason)
            assert found.get("difference", 0.0) <= BOUND
        own, *_ = second.values()
        assert own["load_seconds"] > 0
