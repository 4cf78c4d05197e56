"""What is read by everyone who is measured: the same photographs as they are, as squares in two stores, as files."""

import contextlib
import io
from functools import partial
from pathlib import Path

import torch

from alexnet_pl.bench.preparing import tree
from alexnet_pl.data.decode import read
from alexnet_pl.data.encoding import Encoding
from alexnet_pl.data.folders import read_folders
from alexnet_pl.data.jpeg import JpegReader
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.settings import Settings
from alexnet_pl.data.store import Store

CLASSES = 10


def stores(photographs: list[Path], folder: Path, size: int, images: int) -> None:
    """In `folder`: photographs/, class folders of links; the stores raw/ and jpeg/; squares/, a file for each image of
    the latter."""
    tree(photographs, folder / "photographs", images, CLASSES)
    source, threads = read_folders(folder / "photographs", {}), torch.get_num_threads()
    torch.set_num_threads(1)
    for encoding in (Encoding("raw"), Encoding("jpeg")):
        settings = Settings("bench", size, {}, encoding, shard=max(1, images // 4))
        with contextlib.redirect_stdout(io.StringIO()):
            prepare(source, folder / encoding.name, settings, partial(read, size=size, how="bilinear"))
    torch.set_num_threads(threads)
    files(folder)


def files(folder: Path) -> None:
    """squares/<class>/<number>.jpg, to the byte what is in the store."""
    split = Store(folder / "jpeg").split("train")
    assert isinstance(split.images, JpegReader)
    for slot, label in zip(split.slots.tolist(), split.labels.tolist(), strict=True):
        path = folder / f"squares/{label}/{slot:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(split.images.file(slot))
