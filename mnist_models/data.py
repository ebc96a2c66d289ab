"""The data: MNIST, two data sets of the same shape, and `digits`, which needs no network.

    dataset = load()                              # MNIST, or `digits` if it is not available
    inputs = preprocess(dataset.train_images)     # float32, (60000, 28, 28, 1), within [0, 1]

A data set is a folder of four IDX files, gzipped or raw. What is downloaded is compared with a
known digest before it is given its name in the cache, and again whenever it is loaded from there.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import math
import os
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("mnist", "fashion_mnist", "kmnist", "digits")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion_mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    "kmnist": (
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
}
# For each of FILES the SHA-256 of its content or, if that is not known, the MD5 of the archive.
DIGESTS = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion_mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "kmnist": (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
}
DIGITS_FOLDER = "digits-v1"  # increase it whenever the result of `make_digits` changes
DIGITS_SHA256 = "f9566fc48ff46d87e37607b8fdb17eab8a78f17d6859f342f91932461e7c029d"
LARGEST = 2**30  # elements, each a byte, of a file: 23 times MNIST's images
PATIENCE = 5.0  # seconds that a mirror may take to answer
REMEDY = (
    "Set MNIST_DIR to a folder with MNIST's four IDX files, give another data set's folder instead"
    " of its name, or choose 'digits', which needs no network"
)


class DataError(Exception):
    """Data are not available; `args` are the reason, which names the value, and the remedy."""

    def __init__(self, reason: str, remedy: str = REMEDY) -> None:
        super().__init__(reason, remedy)

    def __str__(self) -> str:
        return f"{self.args[0]}. {self.args[1]}."


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images uint8 (n, 28, 28), labels uint8 (n,); n is 60000 and 10000 for each of NAMES.

    `folder` has the IDX files: `read(folder)` gives the same data in another process. `sha256` is
    of the four uncompressed files, one after the other in the order of FILES. `fallback` is why
    `digits` replaces MNIST, and is empty if it does not.
    """

    name: str
    folder: Path
    train_images: np.ndarray = field(repr=False)
    train_labels: np.ndarray = field(repr=False)
    test_images: np.ndarray = field(repr=False)
    test_labels: np.ndarray = field(repr=False)
    sha256: str
    fallback: str = ""


def load(name: str | None = None) -> Dataset:
    """The data set called `name`, one of NAMES, or the one in the folder `name`.

    None means MNIST, or `digits` if MNIST is not available; `fallback` then says why. MNIST is
    taken from $MNIST_DIR, which must hold it if set, then from the cache; else it is downloaded.
    Raises DataError.
    """
    given = os.environ.get("MNIST_DIR")
    if name is None and not given:
        try:
            return _downloaded("mnist")
        except DataError as error:
            fallback = (
                f"MNIST could not be downloaded: {error.args[0]}; using 'digits', made from "
                "scikit-learn's handwritten digits. "
                "Set MNIST_DIR to a folder with the four IDX files."
            )
            return replace(_digits(), fallback=fallback)
    name = "mnist" if name is None else name
    if name == "mnist" and given:
        try:
            dataset = read(given)
        except DataError as error:
            raise DataError(f"MNIST_DIR={given} does not hold MNIST: {error.args[0]}") from error
        if dataset.name != "mnist":
            raise DataError(f"MNIST_DIR={given} does not hold MNIST: SHA-256 {dataset.sha256}")
        return dataset
    if name in MIRRORS:
        return _downloaded(name)
    if name == "digits":
        return _digits()
    if not Path(name).expanduser().is_dir():
        allowed = f"Choose one of {', '.join(NAMES)}, or give a folder with {', '.join(FILES)}"
        raise DataError(f"there is no data set and no folder called {name!r}", allowed)
    return read(name)


def read(folder: str | Path) -> Dataset:
    """The data set in a folder of FILES, each gzipped (which is looked for first) or raw.

    MNIST in any form and the original archives of the others have their own names. Any other data
    set has its folder's name, with a piece of its digest if that name is one of NAMES.
    Raises DataError, which names the file, unless every image is 28 x 28 uint8, every label within
    0 to 9, and there is one label for each image.
    """
    folder = Path(folder).expanduser().resolve()
    arrays, known_by, total = [], [], hashlib.sha256()
    for file in FILES:
        path = folder / f"{file}.gz"
        path = path if path.exists() else folder / file
        content = _contents(path)
        arrays.append(_parsed(path, content, (28, 28) if "images" in file else ()))
        known_by.append({hashlib.sha256(content).hexdigest(), _md5(path)})
        total.update(content)
        if "labels" in file and len(arrays[-1]) != len(arrays[-2]):
            raise _fault(path, f"has {len(arrays[-1])} labels for {len(arrays[-2])} images")
        if "labels" in file and arrays[-1].max() > 9:
            raise _fault(path, f"has the label {arrays[-1].max()}, beyond 0 to 9")
    sha256, record = total.hexdigest(), folder / "digits.sha256"
    name = f"{folder.name}-{sha256[:8]}" if folder.name in NAMES else folder.name
    if sha256 == DIGITS_SHA256 or (record.is_file() and record.read_bytes() == sha256.encode()):
        name = "digits"
    for known, expected in DIGESTS.items():
        if all(digest in digests for digest, digests in zip(expected, known_by, strict=True)):
            name = known
    return Dataset(name, folder, arrays[0], arrays[1], arrays[2], arrays[3], sha256)


def cache_folder() -> Path:
    """Where downloads and `digits` are kept: $MNIST_CACHE, else the user's cache folder."""
    given = os.environ.get("MNIST_CACHE")
    return Path(given or _needed("pooch").os_cache("mnist-models")).expanduser().resolve()


def preprocess(images: np.ndarray) -> np.ndarray:
    """The input of every model: uint8 (n, 28, 28) as float32 (n, 28, 28, 1) within [0, 1].

    The result is C-contiguous. Raises DataError for images of another shape or type.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        found = f"images of type {images.dtype} and shape {images.shape} are no model's input"
        raise DataError(found, "Give uint8 images of shape (n, 28, 28)")
    inputs: np.ndarray = np.divide(images[..., np.newaxis], 255, dtype=np.float32, order="C")
    return inputs


def class_counts(labels: np.ndarray) -> np.ndarray:
    """How often each of the classes 0 to 9 occurs in the labels (n,): int (10,)."""
    return np.bincount(labels, minlength=10)


def mean_and_deviation(images: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of all pixels of uint8 images, scaled to [0, 1]."""
    chunks = np.array_split(images.reshape(-1), 1 + images.size // 2**20)
    counts = sum(np.bincount(chunk, minlength=256) for chunk in chunks)
    values = np.arange(256) / 255
    mean = np.average(values, weights=counts)
    return float(mean), math.sqrt(np.average((values - mean) ** 2, weights=counts))


def sample_grid(images: np.ndarray, labels: np.ndarray, per_class: int = 10) -> np.ndarray:
    """One picture, uint8 (280, 28 * per_class): row c has the first of class c, or black."""
    grid = np.zeros((10, per_class, 28, 28), np.uint8)
    for label in range(10):
        chosen = np.flatnonzero(labels == label)[:per_class]
        grid[label, : len(chosen)] = images[chosen]
    return grid.swapaxes(1, 2).reshape(280, 28 * per_class)


def make_digits(train: int = 60_000, test: int = 10_000) -> list[np.ndarray]:
    """Images and labels to train on and to test on, made from scikit-learn's 1797 of 8 x 8 pixels.

    Originals are split before they are varied, so none is on both sides. The arithmetic uses
    integers, and only operations of float64 that IEEE 754 defines exactly, so the bytes are the
    same on every machine.
    """
    digits = _needed("sklearn.datasets", "scikit-learn").load_digits()
    rng = np.random.Generator(np.random.PCG64(1797))
    # Catmull-Rom, each pixel to 4 x 4, in a frame of two: the weights are n / 1024, hence exact.
    distance = np.abs((np.arange(48)[:, np.newaxis] + 0.5) / 4 - 0.5 - np.arange(12))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    enlarged = weights @ np.pad(digits.images, ((0, 0), (2, 2), (2, 2))) @ weights.T
    enlarged = np.rint(enlarged.clip(0, 16) * (255 / 16)).astype(np.int32)
    arrays = []
    for originals, count in zip(split_originals(digits.target, rng), (train, test), strict=True):
        chosen = originals[np.argsort(rng.random(count), kind="stable") % len(originals)]
        arrays += [_varied(enlarged, chosen, rng), digits.target[chosen].astype(np.uint8)]
    return arrays


def split_originals(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the labels (n,) to train on and, one in six of each class, to test on."""
    order = np.argsort(rng.random(len(labels)), kind="stable")
    classes = (order[labels[order] == label] for label in range(10))
    test = np.concatenate([members[: len(members) // 6] for members in classes])
    return np.setdiff1d(order, test), test


def _varied(enlarged: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 (n, 28, 28): the chosen of (m, 48, 48), each scaled, sheared, turned and shifted.

    An original is 20 pixels high before it is scaled. A pixel's place in the enlarged image is a
    fixed-point number of 16 binary places, of which 8 weigh its four neighbours.
    """
    turn, shear, wide, high, right, down = 2 * rng.random((6, len(chosen), 1, 1)) - 1
    half = 0.105 * turn  # the tangent of half of up to 12 degrees
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    wide, high, shear = 1.6 + 0.16 * wide, 1.6 + 0.16 * high, 0.24 * shear
    axes = []
    for per_column, per_row in (
        (cosine * wide, cosine * shear - sine * high),
        (sine * wide, sine * shear + cosine * high),
    ):
        origin = 23.5 - per_column * (13.5 + 2 * right) - per_row * (13.5 + 2 * down)
        axes.append(np.rint(65536 * np.stack([per_column, per_row, origin])).astype(np.int32))
    images = np.empty((len(chosen), 28, 28), np.uint8)
    first = 48**2 * chosen.astype(np.int32)[:, np.newaxis, np.newaxis]
    for start in range(0, len(chosen), 64):
        part, steps = slice(start, start + 64), np.arange(28, dtype=np.int32)
        places = [a[0, part] * steps + a[1, part] * steps[:, np.newaxis] + a[2, part] for a in axes]
        column, row = (place.clip(0, 47 * 65536 - 1) for place in places)
        corner = first[part] + (row >> 16) * 48 + (column >> 16)
        a, b, c, d = (enlarged.take(corner + neighbour) for neighbour in (0, 1, 48, 49))
        x, y = column >> 8 & 255, row >> 8 & 255
        upper, lower = a * (256 - x) + b * x, c * (256 - x) + d * x
        images[part] = (upper * (256 - y) + lower * y + 32768) >> 16
    return images


def _digits() -> Dataset:
    """`digits` from the cache, where it is made if it is missing or damaged."""
    folder = cache_folder() / DIGITS_FOLDER
    damaged = folder.exists()
    with suppress(DataError):
        dataset = read(folder)
        if dataset.name == "digits":
            return dataset
    doing = "replacing the damaged" if damaged else "making"
    print(f"{doing} {folder} from scikit-learn's handwritten digits", file=sys.stderr)
    with _scratch(folder.parent) as scratch:
        if damaged:
            with suppress(FileNotFoundError):  # another process has just moved it
                folder.rename(Path(scratch, "damaged"))
        made, total = Path(scratch, "made"), hashlib.sha256()
        made.mkdir()
        for file, array in zip(FILES, make_digits(), strict=True):
            header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            (made / file).write_bytes(header + array.tobytes())
            total.update(header + array.tobytes())
        (made / "digits.sha256").write_text(total.hexdigest())
        with suppress(OSError):  # another process was first, with the same bytes
            made.rename(folder)
    return read(folder)


def _downloaded(name: str) -> Dataset:
    """A data set of MIRRORS from the cache; missing or damaged files are downloaded."""
    targets = [cache_folder() / name / f"{file}.gz" for file in FILES]
    wanted = dict(zip(targets, DIGESTS[name], strict=True))
    wanted = {path: digest for path, digest in wanted.items() if not _is_genuine(path, digest)}
    mirrors = _answering(MIRRORS[name]) if wanted else []
    if wanted and not mirrors:
        places = " or ".join(MIRRORS[name])
        raise DataError(f"no network: no answer from {places} within {PATIENCE:g} seconds")
    for path, digest in wanted.items():
        if path.exists():
            print(f"{path} is damaged and will be replaced", file=sys.stderr)
        _fetch(path, digest, mirrors)
    return read(targets[0].parent)


def _answering(mirrors: tuple[str, ...]) -> list[str]:
    """The mirrors that answer within PATIENCE, which a silent name server does not prolong."""
    requests = _needed("requests")
    heard = set()

    def ask(mirror: str) -> None:
        with suppress(OSError):  # the base of all that requests raises
            requests.head(mirror, timeout=PATIENCE)
            heard.add(mirror)

    threads = [threading.Thread(target=ask, args=(mirror,), daemon=True) for mirror in mirrors]
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [mirror for mirror in mirrors if mirror in heard]


def _fetch(target: Path, digest: str, mirrors: list[str]) -> None:
    """Download an archive from the first mirror that has it; `target` is written when complete."""
    plain = {"Accept-Encoding": "identity"}  # otherwise some servers unpack the archive
    download = _needed("pooch").HTTPDownloader(
        timeout=(PATIENCE, 4 * PATIENCE), chunk_size=2**16, headers=plain
    )
    problems = []
    with _scratch(target.parent) as scratch:
        for mirror in mirrors:
            url, part = mirror + target.name, Path(scratch, "part")
            print(f"downloading {url}", file=sys.stderr)
            try:
                download(url, part, None)
                if _is_genuine(part, digest):
                    part.replace(target)
                    return
                problems.append(f"{url} has other content")
            except (OSError, ValueError) as error:
                problems.append(f"{url}: {error}")
    raise DataError(f"{target.name} could not be downloaded: {'; '.join(problems)}")


@contextmanager
def _scratch(folder: Path) -> Iterator[str]:
    """A temporary folder in a folder of the cache, which is made if it is missing.

    Raises DataError if one of them cannot be written, also later, in the `with` block.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
            yield scratch
    except OSError as error:
        reason = f"the cache folder {folder} cannot be written ({error})"
        raise DataError(reason, "Set MNIST_CACHE to a folder that can") from error


def _is_genuine(path: Path, digest: str) -> bool:
    """Whether the file is there and has this digest of DIGESTS; for an MD5 it is not unpacked."""
    with suppress(DataError, OSError):
        if len(digest) == 32:
            return _md5(path) == digest
        return hashlib.sha256(_contents(path)).hexdigest() == digest
    return False


def _md5(path: Path) -> str:
    """The MD5 of a file as it is, packed or not. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _contents(path: Path) -> bytes:
    """An IDX file, unpacked if it is gzipped: its header, and at most one byte more than that says.

    So an archive cannot fill the memory, and a file that is too long is noticed.
    """
    try:
        if path.exists() and not path.is_file():
            raise _fault(path, "is no file")
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if packed else file
            head = stream.read(4)
            if head[:3] != bytes((0, 0, 8)) or len(head) < 4:
                return head
            sizes = stream.read(4 * head[3])
            whole = len(sizes) == 4 * head[3]
            size = math.prod(struct.unpack(f">{head[3]}I", sizes)) if whole else 0
            return head + sizes + (stream.read(size + 1) if size <= LARGEST else b"")
    except (OSError, EOFError, zlib.error) as error:
        raise _fault(path, f"cannot be read ({error})") from error


def _parsed(path: Path, content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The array in an IDX file, a header and then the elements: uint8 (n, *shape)."""
    start, magic = 8 + 4 * len(shape), bytes((0, 0, 8, 1 + len(shape)))
    if content[:4] != magic or len(content) < start:
        raise _fault(path, f"starts with {content[:4].hex()}, not {magic.hex()} and its sizes")
    sizes = struct.unpack(f">{content[3]}I", content[4:start])
    if sizes[1:] != shape or sizes[0] == 0:
        raise _fault(path, f"has an array of {sizes}, not {('n', *shape)} with n > 0")
    size = start + math.prod(sizes)
    if size - start > LARGEST:
        raise _fault(path, f"has an array of {sizes}: more than {LARGEST:,} elements")
    if len(content) != size:
        count = f"{len(content):,}" if len(content) < size else f"more than {size:,}"
        raise _fault(path, f"has {count} bytes, not {size:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()


def _fault(path: Path, fault: str) -> DataError:
    return DataError(f"{path} {fault}", "Replace the file by a sound one, gzipped or raw")


def _needed(module: str, package: str = "") -> Any:
    """A module that only some calls need. Raises DataError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module
        raise DataError(f"{package} is not installed", f"pip install {package}") from error
