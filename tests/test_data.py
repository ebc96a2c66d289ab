"""The data: what is read, what is refused, how it is downloaded, and the stand-in `digits`."""

import errno
import gzip
import hashlib
import http.server
import importlib.util
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mnist_models import data

ROOT = Path(__file__).resolve().parents[1]
MNIST = Path(os.environ.get("MNIST_DIR") or ROOT.parent / "shared" / "mnist").expanduser().resolve()
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = data.FILES


def idx(array):
    """An IDX file's bytes, written apart from the module under test."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def fill(folder, files, pack=gzip.compress, suffix=".gz"):
    """Write the contents of IDX files into a folder, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / f"{file}{suffix}").write_bytes(pack(content))
    return folder


def arrays_of(dataset):
    return [getattr(dataset, f"{a}_{b}") for a in ("train", "test") for b in ("images", "labels")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of its own for every test, and no MNIST_DIR."""
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def mnist():
    """The real MNIST, where it is at hand."""
    if not any(MNIST.glob(f"{TRAIN_IMAGES}*")):
        pytest.skip(f"no MNIST in {MNIST}: set MNIST_DIR to a folder with its IDX files")
    return data.read(MNIST)


@pytest.fixture
def arrays():
    """A small data set: 30 images to train on and 20 to test on."""
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, (50, 28, 28), np.uint8)
    labels = np.arange(50, dtype=np.uint8) % 10
    return [images[:30], labels[:30], images[30:], labels[30:]]


@pytest.fixture
def files(arrays):
    """The small data set's IDX files by their names, uncompressed."""
    return dict(zip(data.FILES, map(idx, arrays), strict=True))


# Reading


def test_mnist_is_mnist(mnist):
    """The four files are recognised by their digests; counts, mean and deviation are MNIST's."""
    assert (mnist.name, mnist.fallback, mnist.folder) == ("mnist", "", MNIST)
    assert [a.shape for a in arrays_of(mnist)] == [
        (60000, 28, 28),
        (60000,),
        (10000, 28, 28),
        (10000,),
    ]
    assert {a.dtype for a in arrays_of(mnist)} == {np.dtype(np.uint8)}
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.class_counts(mnist.train_labels).tolist() == counts
    assert data.mean_and_deviation(mnist.train_images) == pytest.approx((0.1307, 0.3081), abs=5e-5)
    assert mnist.sha256 == "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"


@pytest.mark.parametrize("name", [None, "mnist"])
def test_mnist_dir_is_used(mnist, monkeypatch, name):
    """MNIST in $MNIST_DIR is loaded from there, and nothing is put into the cache."""
    monkeypatch.setenv("MNIST_DIR", str(MNIST))
    dataset = data.load(name)
    assert (dataset.folder, dataset.sha256, dataset.fallback) == (MNIST, mnist.sha256, "")
    assert not data.cache_folder().exists()


LOADERS = {
    "torchvision": """
from torchvision.datasets import MNIST
sides = [MNIST(folder, train=train) for train in (True, False)]
arrays = [array.numpy().astype("uint8") for side in sides for array in (side.data, side.targets)]
""",
    # Keras knows its archive by a digest that only the original has: what replaces `get_file` skips
    # that comparison and the download; what reads the archive is Keras's own.
    "keras": """
from keras.datasets.mnist import load_data
load_data.__globals__["get_file"] = lambda **_: folder + "/mnist.npz"
arrays = [array for side in load_data() for array in side]
""",
}


@pytest.fixture(scope="module")
def as_others_have_it(mnist, tmp_path_factory):
    """MNIST as torchvision and as Keras keep it in their caches."""
    folder = tmp_path_factory.mktemp("others")
    fill(
        folder / "MNIST" / "raw",
        dict(zip(data.FILES, map(idx, arrays_of(mnist)), strict=True)),
        bytes,
        "",
    )
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(folder / "mnist.npz", **dict(zip(names, arrays_of(mnist), strict=True)))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("library", LOADERS)
def test_others_read_the_same_arrays(mnist, as_others_have_it, library, tmp_path):
    """Torchvision and Keras give the very arrays that `read` gives."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    backends = [b for b in ("jax", "torch", "tensorflow") if importlib.util.find_spec(b)]
    environment = {
        "KERAS_BACKEND": next(iter(backends), ""),
        **os.environ,
        "KERAS_HOME": str(tmp_path),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    script = f"import hashlib, sys\nfolder = sys.argv[1]\n{LOADERS[library]}\n" + (
        "for a in arrays: print(a.dtype, a.shape, hashlib.sha256(a.tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", script, str(as_others_have_it)]
    output = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=300
    )
    expected = [
        f"{a.dtype} {a.shape} {hashlib.sha256(a.tobytes()).hexdigest()}" for a in arrays_of(mnist)
    ]
    assert output.stdout.splitlines() == expected


def test_raw_mnist_is_mnist_too(mnist, as_others_have_it):
    """Uncompressed files are the same data set with the same digest."""
    raw = data.read(as_others_have_it / "MNIST" / "raw")
    assert (raw.name, raw.sha256) == (mnist.name, mnist.sha256)


@pytest.mark.parametrize(
    ("pack", "suffix"), [(gzip.compress, ".gz"), (bytes, "")], ids=["gz", "raw"]
)
def test_a_users_folder(files, arrays, tmp_path, pack, suffix):
    """A folder of any four IDX files, gzipped or raw, is a data set with the folder's name."""
    folder = fill(tmp_path / "mine", files, pack, suffix)
    dataset = data.load(str(folder))
    assert (dataset.name, dataset.folder) == ("mine", folder)
    assert dataset.sha256 == hashlib.sha256(b"".join(files.values())).hexdigest()
    for found, expected in zip(arrays_of(dataset), arrays, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


def test_arrays_can_be_written_to(files, tmp_path):
    """The arrays are ordinary ones, which torch.from_numpy takes without a warning."""
    dataset = data.read(fill(tmp_path, files))
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays_of(dataset))


def test_a_folders_path_is_made_absolute(files, tmp_path, monkeypatch):
    """A worker that runs elsewhere can read the folder that a relative path named."""
    fill(tmp_path / "mine", files)
    monkeypatch.chdir(tmp_path)
    assert data.load("mine").folder == tmp_path / "mine"


@pytest.mark.parametrize("name", data.NAMES)
def test_a_folders_name_makes_no_data_set(files, tmp_path, name):
    """Data that are not MNIST are not called so because their folder is."""
    dataset = data.read(fill(tmp_path / name, files))
    assert dataset.name == f"{name}-{dataset.sha256[:8]}"


@pytest.mark.parametrize("other", ["none", *data.FILES])
def test_all_four_files_make_the_data_set(files, tmp_path, monkeypatch, other):
    """One other file is enough for it to be something else."""
    contents = {**files, other: b"what was expected"}
    digests = [hashlib.sha256(contents[file]) for file in data.FILES]
    monkeypatch.setitem(data.DIGESTS, "mnist", tuple(d.hexdigest() for d in digests))
    expected = "mnist" if other == "none" else "mine"
    assert data.read(fill(tmp_path / "mine", files)).name == expected


@pytest.mark.parametrize(
    ("file", "change", "fault"),
    [
        (TRAIN_IMAGES, lambda c: b"\1" + c[1:], "starts with 01000803, not 00000803"),
        (TEST_IMAGES, lambda c: c[:2] + b"\x0d" + c[3:], "starts with 00000d03, not 00000803"),
        (TEST_LABELS, lambda c: c[:3] + b"\3" + c[4:], "starts with 00000803, not 00000801"),
        (TRAIN_LABELS, lambda c: c[:7], "starts with"),
        (TRAIN_IMAGES, lambda c: b"", "starts with"),
        (TRAIN_IMAGES, lambda c: idx(np.zeros((30, 27, 28))), r"\(30, 27, 28\), not \('n', 28"),
        (TEST_IMAGES, lambda c: idx(np.zeros((0, 28, 28))), r"\(0, 28, 28\)"),
        (TRAIN_IMAGES, lambda c: c[:-1], "has 23,535 bytes, not 23,536"),
        (TEST_LABELS, lambda c: c + b"\0", "has more than 28 bytes, not 28"),
        (TRAIN_LABELS, lambda c: c[:-1] + b"\x0a", "label 10"),
        (TRAIN_LABELS, lambda c: idx(np.zeros(29)), "29 labels for 30 images"),
        (TEST_LABELS, lambda c: idx(np.zeros(21)), "21 labels for 20 images"),
        (TEST_IMAGES, lambda c: gzip.compress(c)[:-9], "cannot be read"),
        (TEST_IMAGES, lambda c: gzip.compress(c)[:-8] + bytes(8), "cannot be read"),
        (TEST_IMAGES, lambda c: gzip.compress(c)[:10] + b"\xff" * 99, "cannot be read"),
    ],
    ids=[
        "magic number", "element type", "number of dimensions", "cut header", "empty", "image size",
        "no images", "truncated", "trailing byte", "label 10", "labels too few", "labels too many",
        "gzip cut", "gzip checksum", "gzip damaged",
    ],
)  # fmt: skip
def test_a_broken_file_is_named(files, tmp_path, file, change, fault):
    """Every kind of damage is refused with the file's name and what is wrong with it."""
    fill(tmp_path, files, bytes, "")
    assert data.read(tmp_path)  # before the damage
    (tmp_path / file).write_bytes(change(files[file]))
    with pytest.raises(data.DataError, match=rf"{tmp_path / file} .*{fault}"):
        data.read(tmp_path)


def packed_zeros(files, mebibytes):
    """An archive of a few KiB: a sound file of labels, and then so many MiB of zeros."""
    return gzip.compress(files[TEST_LABELS] + bytes(mebibytes * 2**20))


def most_memory(call):
    """The most bytes that Python held during a call that raises DataError, and the error."""
    tracemalloc.start()
    with pytest.raises(data.DataError) as refused:
        call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most, str(refused.value)


def test_an_archive_is_unpacked_no_further_than_its_header_says(files, tmp_path):
    """An archive of 64 KiB that unpacks to 64 MiB takes no such memory before it is refused."""
    fill(tmp_path, files)
    (tmp_path / f"{TEST_LABELS}.gz").write_bytes(packed_zeros(files, 64))
    most, said = most_memory(lambda: data.read(tmp_path))
    assert "has more than 28 bytes" in said
    assert most < 2**23


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_a_header_cannot_ask_for_more_than_the_bound(files, tmp_path, pack):
    """4 GiB of labels are refused before one of them is read."""
    fill(tmp_path, files, bytes, "")
    header = files[TEST_LABELS][:4] + b"\xff" * 4
    (tmp_path / TEST_LABELS).write_bytes(pack(header + bytes(2**24)))
    most, said = most_memory(lambda: data.read(tmp_path))
    assert "more than 1,073,741,824 elements" in said
    assert most < 2**23


def test_a_pipe_is_no_data_file(files, tmp_path):
    """It would be waited for without end."""
    fill(tmp_path, {name: files[name] for name in data.FILES[:3]})
    os.mkfifo(tmp_path / TEST_LABELS)
    with pytest.raises(data.DataError, match="is no file"):
        data.read(tmp_path)


@pytest.mark.parametrize("file", data.FILES)
def test_a_missing_file_is_named(files, tmp_path, file):
    """Each of the four files is needed."""
    fill(tmp_path, {name: content for name, content in files.items() if name != file})
    with pytest.raises(data.DataError, match=f"{tmp_path / file} .*No such file"):
        data.read(tmp_path)


@pytest.mark.parametrize("name", ["mnits", "no/such/folder"])
def test_an_unknown_name_lists_the_allowed_ones(name):
    """A name that is neither a data set's nor a folder's is refused with all that is allowed."""
    with pytest.raises(data.DataError, match=f"'{name}'.*{', '.join(data.NAMES)}.*folder"):
        data.load(name)


# Downloading


class Server(http.server.ThreadingHTTPServer):
    asked: list[str]
    archives: dict[str, bytes]
    replies: dict[str, object]


class Mirror(http.server.BaseHTTPRequestHandler):
    """Answers with `server.replies`, by path: a body, a status, or what a call with self sends."""

    server: Server

    def do_HEAD(self):
        self.send(404)  # as the real mirrors do, asked for a folder

    def do_GET(self):
        self.server.asked.append(self.path)
        reply = self.server.replies[self.path]
        if callable(reply):
            reply(self)
        elif isinstance(reply, int):
            self.send(reply)
        else:
            self.send(200, reply)

    def send(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def archive(self):
        """What should be sent for this path."""
        return self.server.archives[Path(self.path).name]

    def log_message(self, *_):
        """Keep the log off the terminal."""


@pytest.fixture
def server(monkeypatch, files):
    """Two mirrors, /a/ and /b/, of the small data set, which is what `mnist` means meanwhile."""
    server = Server(("127.0.0.1", 0), Mirror)
    server.asked = []
    server.archives = {f"{file}.gz": gzip.compress(content) for file, content in files.items()}
    server.replies = {f"/{m}/{name}": a for m in "ab" for name, a in server.archives.items()}
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(data.MIRRORS, "mnist", (f"{address}/a/", f"{address}/b/"))
    digests = tuple(hashlib.sha256(content).hexdigest() for content in files.values())
    monkeypatch.setitem(data.DIGESTS, "mnist", digests)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def has_all_four(cache, arrays, dataset):
    """The data set is right, and the cache has its four archives and nothing else."""
    assert (dataset.name, dataset.folder) == ("mnist", cache / "mnist")
    for found, expected in zip(arrays_of(dataset), arrays, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)
    names = {str(path.relative_to(cache)) for path in cache.rglob("*")}
    assert names == {"mnist", *(f"mnist/{file}.gz" for file in data.FILES)}
    return True


@pytest.mark.parametrize("name", [None, "mnist"])
def test_download(server, cache, arrays, name, capsys):
    """What is not there is downloaded, which is printed, once: then the cache has it."""
    assert has_all_four(cache, arrays, data.load(name))
    assert server.asked == [f"/a/{file}.gz" for file in data.FILES]
    assert f"/a/{TRAIN_IMAGES}.gz" in capsys.readouterr().err
    assert has_all_four(cache, arrays, data.load(name))
    assert len(server.asked) == 4
    assert capsys.readouterr().err == ""


def test_only_the_archives_md5_is_known(server, cache, arrays, monkeypatch, tmp_path):
    """Fashion-MNIST and KMNIST are told by their archives' MD5, in the cache and anywhere else."""
    archives = server.archives.values()
    digests = tuple(hashlib.md5(a, usedforsecurity=False).hexdigest() for a in archives)
    monkeypatch.setitem(data.DIGESTS, "kmnist", digests)
    monkeypatch.setitem(data.MIRRORS, "kmnist", data.MIRRORS["mnist"])
    monkeypatch.setitem(data.DIGESTS, "mnist", ("",) * 4)
    server.replies[f"/a/{TEST_LABELS}.gz"] = gzip.compress(idx(arrays[3]), compresslevel=0)
    assert data.load("kmnist").name == "kmnist"
    assert server.asked[-2:] == [f"/{mirror}/{TEST_LABELS}.gz" for mirror in "ab"]
    shutil.move(cache / "kmnist", tmp_path / "elsewhere")
    assert data.load(str(tmp_path / "elsewhere")).name == "kmnist"


def test_an_archive_whose_md5_is_wrong_is_not_unpacked(server, cache, monkeypatch, files):
    """Its digest is known, so nobody has to look inside."""
    monkeypatch.setitem(data.DIGESTS, "kmnist", ("0" * 32,) * 4)
    monkeypatch.setitem(data.MIRRORS, "kmnist", data.MIRRORS["mnist"])
    server.replies |= dict.fromkeys(server.replies, packed_zeros(files, 64))
    most, said = most_memory(lambda: data.load("kmnist"))
    assert "has other content" in said
    assert most < 2**23


def hang_up(mirror):
    """Promise an archive, and send half of it."""
    archive = mirror.archive()
    mirror.send(200, archive[: len(archive) // 2], Content_Length=str(len(archive)))


BAD = {
    "not found": 404,
    "server error": 503,
    "other content": gzip.compress(b"something else"),
    "no gzip": b"<html>Please sign in</html>",
    "cut archive": gzip.compress(b"something" * 99)[:-20],
    "empty": 204,
    "hangs up": hang_up,
}


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
@pytest.mark.parametrize("file", [TRAIN_IMAGES, TEST_LABELS])
def test_the_next_mirror_after_any_failure(server, cache, arrays, file, reply):
    """Whatever the first mirror does wrong with a file, the second one's is taken."""
    server.replies[f"/a/{file}.gz"] = reply
    assert has_all_four(cache, arrays, data.load("mnist"))
    assert [path for path in server.asked if file in path] == [f"/{m}/{file}.gz" for m in "ab"]


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
def test_no_mirror_has_it(server, cache, reply):
    """If all mirrors fail, the error names each and a remedy; no piece stays in the cache."""
    server.replies |= {f"/{mirror}/{TRAIN_LABELS}.gz": reply for mirror in "ab"}
    with pytest.raises(data.DataError, match=f"/a/{TRAIN_LABELS}.*/b/{TRAIN_LABELS}.*MNIST_DIR"):
        data.load("mnist")
    assert [p.name for p in cache.rglob("*")] == ["mnist", f"{TRAIN_IMAGES}.gz"]


def test_an_archive_that_was_unpacked_on_its_way(server, arrays):
    """What is inside counts: the wrapper may be lost in transit."""

    def reply(mirror):  # labelled so that clients unpack it
        mirror.send(200, mirror.archive(), Content_Encoding="gzip")

    server.replies[f"/a/{TRAIN_IMAGES}.gz"] = reply
    np.testing.assert_array_equal(data.load("mnist").train_images, arrays[0])
    assert f"/b/{TRAIN_IMAGES}.gz" not in server.asked


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[:-1],
        lambda c: b"",
        lambda c: gzip.compress(b"other" + gzip.decompress(c)[5:]),
        lambda c: gzip.compress(gzip.decompress(c)[:-1] + b"\0"),
    ],
    ids=["cut", "empty", "other header", "other label"],
)
def test_a_damaged_file_in_the_cache_is_replaced(server, cache, arrays, damage, capsys):
    """It is fetched again, alone, and a line says so."""
    data.load("mnist")
    path = cache / "mnist" / f"{TRAIN_LABELS}.gz"
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    assert has_all_four(cache, arrays, data.load("mnist"))
    assert server.asked[4:] == [f"/a/{TRAIN_LABELS}.gz"]
    assert f"{path} is damaged" in capsys.readouterr().err


def test_two_at_once(server, cache, arrays):
    """Two that download the same file at the same time both succeed."""
    both = threading.Barrier(2, timeout=20)

    def reply(mirror):
        both.wait()  # breaks, and the first mirror fails, unless a second one asks
        mirror.send(200, mirror.archive())

    server.replies[f"/a/{TRAIN_IMAGES}.gz"] = reply
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(data.load, ["mnist", "mnist"]))
    assert all(has_all_four(cache, arrays, dataset) for dataset in loaded)
    assert f"/b/{TRAIN_IMAGES}.gz" not in server.asked


@pytest.mark.slow
def test_a_killed_download_leaves_nothing_that_counts(server, cache, arrays):
    """A process killed in mid-download leaves no file of a real name, and the next one succeeds."""
    half, killed = threading.Event(), threading.Event()

    def reply(mirror):
        mirror.send(200, mirror.archive()[:-1], Content_Length=str(len(mirror.archive())))
        half.set()
        killed.wait(20)

    server.replies[f"/a/{TRAIN_IMAGES}.gz"] = reply
    script = f"""
from mnist_models import data
data.MIRRORS["mnist"], data.DIGESTS["mnist"] = {data.MIRRORS["mnist"]}, {data.DIGESTS["mnist"]}
data.load("mnist")
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as process:
        assert half.wait(20)
        process.kill()
    killed.set()
    server.replies[f"/a/{TRAIN_IMAGES}.gz"] = server.archives[f"{TRAIN_IMAGES}.gz"]
    assert not any(path.is_file() for path in cache.glob("mnist/*"))
    np.testing.assert_array_equal(data.load("mnist").train_images, arrays[0])


def test_a_cache_that_cannot_be_made(server, cache):
    """The error names the folder and the variable that moves it."""
    cache.write_text("a file is in the way")
    with pytest.raises(data.DataError, match=f"{cache}.*MNIST_CACHE"):
        data.load("mnist")


def test_a_disk_that_fills_up_while_digits_are_made(cache, monkeypatch):
    """As above, and nothing is left behind."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(data, "make_digits", lambda: [np.zeros(1, np.uint8)] * 4)
    with pytest.raises(data.DataError, match=f"{cache}.*No space left.*MNIST_CACHE"):
        data.load("digits")
    assert [*cache.iterdir()] == []


@pytest.mark.parametrize("name", sorted(data.MIRRORS))
def test_the_tables_are_complete(name):
    """Each data set that is downloaded has two mirrors, and a digest for each file."""
    assert set(data.MIRRORS) == set(data.DIGESTS) == set(data.NAMES) - {"digits"}
    assert len(data.MIRRORS[name]) == len(set(data.MIRRORS[name])) == 2
    assert all(mirror.endswith("/") for mirror in data.MIRRORS[name])
    assert len(set(data.DIGESTS[name])) == len(data.FILES)


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
@pytest.mark.parametrize("position", range(4), ids=data.FILES)
def test_archives_are_torchvisions(name, position):
    """The MD5 of an archive is the one that torchvision expects."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        pytest.skip("torchvision is not installed")
    source = Path(spec.origin).with_name("datasets") / "mnist.py"
    entry = f'("{data.FILES[position]}.gz", "{data.DIGESTS[name][position]}")'
    assert entry in source.read_text()


# Without a network


@pytest.fixture
def closed(monkeypatch):
    """Mirrors at an address where nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setitem(data.MIRRORS, "mnist", (f"{address}/a/", f"{address}/b/"))
        yield address


@pytest.fixture(scope="module")
def scikit_learn():
    pytest.importorskip("sklearn.datasets")


@pytest.fixture
def few(monkeypatch, scikit_learn):
    """`digits` is made of few images, to be quick; the calls are counted in the list returned."""
    calls, make = [], data.make_digits

    def make_few():
        calls.append(1)
        return make(60, 30)

    monkeypatch.setattr(data, "make_digits", make_few)
    return calls


def test_no_network(closed):
    """Who asks for MNIST by name is told where it was looked for and what to do, within 10 s."""
    start = time.monotonic()
    with pytest.raises(data.DataError, match=f"no network.*{closed}/a/ or {closed}/b/.*MNIST_DIR"):
        data.load("mnist")
    assert time.monotonic() - start < 10


def test_a_name_server_that_hangs(monkeypatch):
    """A name that is never resolved is waited for no longer than PATIENCE, itself at most 5 s."""
    assert data.PATIENCE <= 5
    released = threading.Event()
    monkeypatch.setattr(data, "PATIENCE", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    start = time.monotonic()
    with pytest.raises(data.DataError, match="no network"):
        data.load("mnist")
    assert 0.3 <= time.monotonic() - start < 5
    released.set()


def test_a_mirror_that_accepts_and_is_silent(server, cache, arrays, monkeypatch):
    """A mirror that takes the connection and says nothing is left out, and the other is used."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(data, "PATIENCE", 1)
        monkeypatch.setitem(data.MIRRORS, "mnist", (address, data.MIRRORS["mnist"][1]))
        assert has_all_four(cache, arrays, data.load("mnist"))
    assert server.asked == [f"/b/{file}.gz" for file in data.FILES]


def test_digits_stand_in(closed, few):
    """Who asks for nothing by name gets `digits`, and is told why and what to do about it."""
    dataset = data.load()
    assert dataset.name == "digits"
    assert "MNIST could not be downloaded: no network" in dataset.fallback
    assert "Set MNIST_DIR to a folder with the four IDX files." in dataset.fallback
    assert data.load("digits").fallback == ""


@pytest.mark.parametrize("name", [None, "mnist"])
@pytest.mark.parametrize("kind", ["missing", "incomplete", "not MNIST"])
def test_a_wrong_mnist_dir_is_an_error(tmp_path, files, monkeypatch, few, name, kind):
    """If MNIST_DIR is set, it must hold MNIST: nothing stands in silently."""
    folder = tmp_path / "given"
    if kind != "missing":
        fill(folder, files)
    if kind == "incomplete":
        (folder / f"{TEST_LABELS}.gz").unlink()
    monkeypatch.setenv("MNIST_DIR", str(folder))
    with pytest.raises(data.DataError, match=f"MNIST_DIR={folder} does not hold MNIST.*Set MNIST"):
        data.load(name)
    assert not few


@pytest.mark.parametrize(
    ("module", "package", "name"),
    [("sklearn.datasets", "scikit-learn", "digits"), ("pooch", "pooch", "kmnist")],
)
def test_a_missing_package(server, monkeypatch, module, package, name):
    """The error has the command that installs what is missing."""
    monkeypatch.setitem(data.MIRRORS, "kmnist", data.MIRRORS["mnist"])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(data.DataError, match=f"pip install {package}"):
        data.load(name)


# digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory, scikit_learn):
    """The whole of `digits`, made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_CACHE", str(tmp_path_factory.mktemp("digits")))
        dataset = data.load("digits")
    yield dataset
    shutil.rmtree(dataset.folder)


def test_digits_are_the_same_everywhere(digits):
    """Sizes are MNIST's, and all bytes are those that every other machine makes."""
    assert (digits.name, digits.fallback) == ("digits", "")
    assert [a.shape for a in arrays_of(digits)] == [
        (60000, 28, 28),
        (60000,),
        (10000, 28, 28),
        (10000,),
    ]
    assert digits.sha256 == data.DIGITS_SHA256


def test_digits_are_read_again(digits):
    """Another process finds the same by the folder alone."""
    again = data.read(digits.folder)
    assert (again.name, again.sha256) == ("digits", digits.sha256)


def test_digits_look_like_mnists(digits):
    """About 20 pixels high and in the middle of a black frame, with the whole range of grey."""
    images = digits.train_images[:5000]
    inked = (images > 64).any(axis=2)
    heights = 28 - inked.argmax(axis=1) - inked[:, ::-1].argmax(axis=1)
    assert 18 <= heights.mean() <= 22
    assert heights.min() >= 15
    mean = images.mean(axis=0)
    centre = [(mean.sum(axis=axis) * np.arange(28)).sum() / mean.sum() for axis in (0, 1)]
    np.testing.assert_allclose(centre, 13.5, atol=0.5)
    frame = np.ones((28, 28), bool)
    frame[2:-2, 2:-2] = False
    assert mean[frame].max() < 10 < mean.max()
    assert (images.min(), images.max()) == (0, 255)


def test_digits_vary(digits):
    """No image of the first 5000 occurs twice."""
    assert len({image.tobytes() for image in digits.train_images[:5000]}) == 5000


@pytest.mark.parametrize("side", ["train_labels", "test_labels"])
def test_digits_are_balanced(digits, side):
    """All ten classes have between 9 % and 11 % of the images, in no particular order."""
    labels = getattr(digits, side)
    shares = data.class_counts(labels) / len(labels)
    assert shares.shape == (10,)
    assert ((shares > 0.09) & (shares < 0.11)).all()
    first = data.class_counts(labels[:2000]) / 2000
    np.testing.assert_allclose(first, shares, atol=0.03)


def test_digits_have_the_right_labels(digits):
    """The nearest class mean of the training images names most of the test images."""
    train, test = (
        images.reshape(-1, 784) / 255
        for images in (digits.train_images[:5000], digits.test_images[:1000])
    )
    means = np.stack(
        [train[digits.train_labels[:5000] == label].mean(axis=0) for label in range(10)]
    )
    nearest = ((test[:, np.newaxis] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.7 < (nearest == digits.test_labels[:1000]).mean() < 1


def test_no_original_is_on_both_sides(monkeypatch, scikit_learn):
    """Training and testing images are made from different originals, of which all are used."""
    used = []

    def note(enlarged, chosen, rng):
        used.append(set(chosen.tolist()))
        return np.zeros((len(chosen), 28, 28), np.uint8)

    monkeypatch.setattr(data, "_varied", note)
    data.make_digits()
    assert not used[0] & used[1]
    assert used[0] | used[1] == set(range(1797))


def test_the_split_is_stratified():
    """One in six of every class is for testing, whatever the order; nothing is lost or doubled."""
    labels = np.repeat(np.arange(10), np.arange(60, 70))
    train, test = data.split_originals(labels, np.random.default_rng(3))
    assert data.class_counts(labels[test]).tolist() == [10] * 6 + [11] * 4
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))


def test_digits_are_made_alike_each_time(scikit_learn):
    """Two builds have the same bytes."""
    first, second = (b"".join(a.tobytes() for a in data.make_digits(300, 100)) for _ in range(2))
    assert first == second


def test_digits_are_made_once(few, cache, capsys):
    """The cache has them from then on, even if the bytes are not those of other machines."""
    made, found = data.load("digits"), data.load("digits")
    assert len(few) == 1
    assert made.name == found.name == "digits"
    assert made.sha256 == found.sha256 != data.DIGITS_SHA256
    assert [path.name for path in cache.iterdir()] == [data.DIGITS_FOLDER]
    assert capsys.readouterr().err.count("making") == 1


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c[:-1] + b"\1"], ids=["cut", "other"]
)
@pytest.mark.parametrize("file", [TRAIN_IMAGES, TEST_LABELS])
def test_damaged_digits_are_made_again(few, cache, file, damage, capsys):
    """Whatever changed in the cache is noticed and replaced, and a line says so."""
    made = data.load("digits")
    path = made.folder / file
    path.write_bytes(damage(path.read_bytes()))
    assert data.load("digits").sha256 == made.sha256
    assert len(few) == 2
    assert "replacing the damaged" in capsys.readouterr().err
    assert [path.name for path in cache.iterdir()] == [data.DIGITS_FOLDER]


def test_two_make_digits_at_once(monkeypatch, cache, scikit_learn):
    """Both succeed, one with the other's, and nothing else stays in the cache."""
    both, make = threading.Barrier(2, timeout=20), data.make_digits

    def make_few():
        both.wait()
        return make(60, 30)

    monkeypatch.setattr(data, "make_digits", make_few)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(data.load, ["digits", "digits"])
    assert first.sha256 == second.sha256
    assert [path.name for path in cache.iterdir()] == [data.DIGITS_FOLDER]


# Functions of arrays


def test_preprocess(arrays):
    """Every grey level is divided by 255 in float32, and one channel is added at the end."""
    images = np.arange(2 * 784, dtype=np.int64).astype(np.uint8).reshape(2, 28, 28)
    inputs = data.preprocess(images)
    assert (inputs.dtype, inputs.shape) == (np.float32, (2, 28, 28, 1))
    np.testing.assert_array_equal(inputs[..., 0], images.astype(np.float32) / np.float32(255))
    assert (inputs.min(), inputs.max()) == (0, 1)


@pytest.mark.parametrize(
    "view", [lambda a: a[::2], lambda a: a.swapaxes(1, 2), lambda a: a[:, ::-1]]
)
def test_preprocess_gives_contiguous_arrays(arrays, view):
    """Whatever the strides of the images, C order comes out."""
    inputs = data.preprocess(view(arrays[0]))
    assert inputs.flags.c_contiguous
    np.testing.assert_allclose(inputs[..., 0] * 255, view(arrays[0]), rtol=1e-6)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 28, 28)), np.zeros((2, 784), np.uint8), np.zeros((28, 28), np.uint8)]
)
def test_preprocess_refuses_other_arrays(images):
    """Images that are scaled already, or flat, or alone are not scaled once more."""
    with pytest.raises(data.DataError, match=rf"{images.dtype}.*\({images.shape[0]}, .*uint8"):
        data.preprocess(images)


def test_class_counts():
    """There are ten counts, also of classes that do not occur."""
    assert data.class_counts(np.array([3, 3, 0], np.uint8)).tolist() == [
        1,
        0,
        0,
        2,
        0,
        0,
        0,
        0,
        0,
        0,
    ]


def test_mean_and_deviation(arrays):
    """They are NumPy's, of pixels between 0 and 1."""
    scaled = arrays[0] / 255
    assert data.mean_and_deviation(arrays[0]) == pytest.approx((scaled.mean(), scaled.std()))


def test_mean_and_deviation_of_many(arrays):
    """They do not change when the same images come a hundred times, in more than one chunk."""
    many = np.tile(arrays[0], (100, 1, 1))
    assert many.size > 2**21
    assert data.mean_and_deviation(many) == pytest.approx(data.mean_and_deviation(arrays[0]))


def test_sample_grid(arrays):
    """Row c has the first images of class c from left to right; what is lacking is black."""
    images, labels, *_ = arrays
    grid = data.sample_grid(images, labels, per_class=4)
    assert (grid.dtype, grid.shape) == (np.uint8, (280, 112))
    np.testing.assert_array_equal(grid[:28, :28], images[0])
    np.testing.assert_array_equal(grid[252:, 28:56], images[19])
    np.testing.assert_array_equal(grid[84:112, 56:84], images[23])
    assert not grid[:, 84:].any()


# The module


@pytest.mark.slow
def test_importing_needs_numpy_alone():
    """Of what is not in the standard library, importing the module imports NumPy alone."""
    script = """
import sys, numpy
before = set(sys.modules)
import mnist_models.data
print(*(name for name in set(sys.modules) - before if "." not in name))
"""
    command = [sys.executable, "-c", script]
    output = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300
    ).stdout
    assert set(output.split()) - set(sys.stdlib_module_names) == {"mnist_models"}


@pytest.mark.parametrize("given", [None, "elsewhere"])
def test_cache_folder(monkeypatch, tmp_path, given):
    """It is where MNIST_CACHE says, else in the user's cache folder; asking does not make it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("MNIST_CACHE")
    if given:
        monkeypatch.setenv("MNIST_CACHE", f"~/{given}")
    folder = data.cache_folder()
    assert (folder == tmp_path / "elsewhere") is (given is not None)
    assert folder.is_relative_to(tmp_path)
    assert not folder.exists()


def test_an_error_survives_its_way_between_processes():
    """Pickled and back, it says the same."""
    error = pickle.loads(pickle.dumps(data.DataError("no data", "Get some")))
    assert str(error) == "no data. Get some."
