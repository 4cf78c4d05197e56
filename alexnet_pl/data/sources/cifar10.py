"""CIFAR-10 as distributed (§4.1, §4.3): six pickle files of 10,000 images of 32 × 32 pixels.

The authors' program trained on batches 1 to 4, validated on batch 5, and reported on the test batch
(layer-params-conv-local-11pct.cfg), so these are `train`, `val` and `test`.

The official files hold plain data and arrays, and nothing else is unpickled (`ArrayUnpickler`). Images are read in
place: the location of an image is its offset in the pickle file.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

from alexnet_pl.data.archives.array_pickle import ArrayUnpickler
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.errors import UserError

SIDE = 32
FOLDER = "cifar-10-batches-py"  # as the archive and torchvision.datasets.CIFAR10(download=True) unpack it
META = "batches.meta"
SPLITS = {"train": [f"data_batch_{i}" for i in range(1, 5)], "val": ["data_batch_5"], "test": ["test_batch"]}
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    META: "5ff9c542aee3614f3951f8cda6e48888",
}


def find_batches(source: Path) -> Path | None:
    """Folder with the batches: `source`, or cifar-10-batches-py in it; None if there is none."""
    return next((folder for folder in (source, source / FOLDER) if (folder / META).is_file()), None)


def read_cifar(folder: Path) -> DatasetListing:
    """Read classes and images of the official batches. Raises UserError if a file is missing or not official."""
    names = [name.decode() for name in read_official_file(folder / META)[1][b"label_names"]]
    items = {
        split: [item for batch in batches for item in read_batch(folder / batch)] for split, batches in SPLITS.items()
    }
    return DatasetListing([(f"c{i}", name) for i, name in enumerate(names)], items)


def read_batch(path: Path) -> list[ImageRecord]:
    data, content = read_official_file(path)
    pixels = content[b"data"].tobytes()
    start, size = data.index(pixels), 3 * SIDE**2
    names = [name.decode() for name in content[b"filenames"]]
    return [
        ImageRecord(f"{path.name}/{name}", label, ByteLocation(path, start + i * size, size, "planes"))
        for i, (name, label) in enumerate(zip(names, content[b"labels"], strict=True))
    ]


def read_official_file(path: Path) -> tuple[bytes, dict[bytes, Any]]:
    """Read a file's bytes and unpickled content. Raises UserError unless its MD5 is that of the official file."""
    if not path.is_file():
        raise UserError(f"prepare.source: {path} does not exist; unpack all of cifar-10-python.tar.gz")
    data = path.read_bytes()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        content = ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a pickle can go wrong in any way
        raise UserError(f"prepare.source: {path} is not a CIFAR-10 batch ({error}); download it again") from error
    if md5 != MD5[path.name]:
        raise UserError(f"prepare.source: {path} is not the official file (md5 {md5}, not {MD5[path.name]})")
    return data, content
