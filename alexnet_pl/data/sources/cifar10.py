"""CIFAR-10 as distributed (§4.1, §4.3): six pickle files of 10,000 images of 32 × 32 pixels, in cifar-10-python.tar.gz
or unpacked from it.

The authors' program trained on batches 1 to 4, validated on batch 5, and reported on the test batch
(layer-params-conv-local-11pct.cfg), so these are `train`, `val` and `test`.

The official files hold plain data and arrays, and nothing else is unpickled (`ArrayUnpickler`). Images are read in
place: the location of an image is its offset in the pickle file, or in the content of the archive.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet_pl.data.archives.array_pickle import ArrayUnpickler
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.tar import TAR_SUFFIXES, list_members, whole_archive
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.errors import UserError, reason

SIDE = 32
FOLDER = "cifar-10-batches-py"  # as the archive and torchvision.datasets.CIFAR10(download=True) unpack it
ARCHIVE = "cifar-10-python"  # name of the archive without its suffix; browsers append a number to a second copy
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


Files = Mapping[str, ByteLocation]


def find_batches(source: Path) -> Path | None:
    """Folder with the batches: `source`, or cifar-10-batches-py in it; None if there is none."""
    return next((folder for folder in (source, source / FOLDER) if (folder / META).is_file()), None)


def find_batches_archive(source: Path) -> Path | None:
    """The archive as downloaded: `source` itself or a file in it; None if there is none."""
    archives = sorted(source.glob(f"{ARCHIVE}*")) if source.is_dir() else [source]
    return next((path for path in archives if path.name.startswith(ARCHIVE) and path.name.endswith(TAR_SUFFIXES)), None)


def read_cifar(where: Path) -> DatasetListing:
    """Read classes and images of the official batches in a folder or the archive. Raises UserError if the archive is
    corrupt, or if a file is missing or not official."""
    files = files_of_folder(where) if where.is_dir() else files_of_archive(where)
    if missing := next((name for name in MD5 if name not in files), None):
        raise UserError(f"prepare.source: {where} has no {missing}; get cifar-10-python.tar.gz again")
    names = [name.decode() for name in read_official_file(META, files[META])[1][b"label_names"]]
    items = {
        split: [item for name in batches for item in read_batch(name, files[name])] for split, batches in SPLITS.items()
    }
    classes = [(f"c{i}", name) for i, name in enumerate(names)]
    counts = {split: len(records) for split, records in items.items()}  # of files whose hashes are the official ones
    return DatasetListing(classes, items, expected=counts)


def files_of_folder(folder: Path) -> Files:
    return {name: ByteLocation(folder / name) for name in MD5 if (folder / name).is_file()}


def files_of_archive(path: Path) -> Files:
    return {member.name: member.location for member in list_members(whole_archive(path)) if member.name in MD5}


def read_batch(name: str, location: ByteLocation) -> list[ImageRecord]:
    data, content = read_official_file(name, location)
    start, size = location.start + data.index(content[b"data"].tobytes()), 3 * SIDE**2
    names = [name.decode() for name in content[b"filenames"]]
    return [
        ImageRecord(f"{name}/{image}", label, location._replace(start=start + i * size, size=size, is_planes=True))
        for i, (image, label) in enumerate(zip(names, content[b"labels"], strict=True))
    ]


def read_official_file(name: str, location: ByteLocation) -> tuple[bytes, dict[bytes, Any]]:
    """Read a file's bytes and unpickled content. Raises UserError unless its MD5 is that of the official file."""
    where = location.path if location.size is None else f"{location.path}: {name}"
    try:
        data = location.read()
    except (OSError, ValueError) as error:  # ValueError: larger than any image, as a decompression bomb is
        raise UserError(f"prepare.source: {where} cannot be read ({reason(error)})") from error
    try:
        content = ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a pickle can go wrong in any way
        raise UserError(f"prepare.source: {where} is not a CIFAR-10 batch ({error}); download it again") from error
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if md5 != MD5[name]:
        raise UserError(f"prepare.source: {where} is not the official file (md5 {md5}, not {MD5[name]})")
    return data, content
