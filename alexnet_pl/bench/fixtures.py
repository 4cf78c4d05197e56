"""Input data of `bench`: the same photographs as files and in two stores."""

import contextlib
import io
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import torch
from PIL import Image

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.image_files import is_image
from alexnet_pl.data.sources.image_folder import read_folders
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.jpeg import JpegReader
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.runtime.cores import cores

SQUARES = "squares"
PARTS = ("raw", "jpeg", SQUARES)
CLASSES = 1000  # as many as ILSVRC-2012 has, so that the last layer of a fit has its size


def make_stores(photographs: list[Path], folder: Path, size: int, images: int) -> None:
    """Create photographs/ (class folders of links) and all `PARTS` in `folder`."""
    make_tree(photographs, folder / "photographs", images, min(CLASSES, images))
    for part in PARTS:
        make_part(folder, part, size, images)


def make_part(folder: Path, part: str, size: int, images: int) -> None:
    """Create the stores raw/ and jpeg/ of photographs/, or squares/ (jpeg/ as files), unless it exists."""
    if (folder / part).is_dir():
        return
    if part == SQUARES:
        return write_squares(folder)
    source, threads = read_folders(folder / "photographs", {}), torch.get_num_threads()
    torch.set_num_threads(1)
    workers = min(cores(), 1 + images // 1024)
    settings = StoreSettings("bench", size, {}, StoreEncoding(part), shard=max(1, images // 16), workers=workers)
    with contextlib.redirect_stdout(io.StringIO()):
        prepare(source, folder / part, settings, partial(read_square, size=size, filter_name="bilinear"))
    torch.set_num_threads(threads)


def write_squares(folder: Path) -> None:
    """Write squares/<class>/<number>.jpg with the bytes of the JPEG store."""
    split, partial_folder = Store(folder / "jpeg").split("train"), folder / f"{SQUARES}.partial"
    assert isinstance(split.reader, JpegReader)
    for slot, label in zip(split.slots.tolist(), split.labels.tolist(), strict=True):
        path = partial_folder / f"{label}/{slot:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(split.reader.jpeg_bytes(slot))
    partial_folder.rename(folder / SQUARES)


IMAGES = 4096  # per measurement; photographs are repeated if there are fewer
SIZE = 256
DRAWN = 16  # photographs drawn if no source is given, each in a quarter of a second


def find_photographs(source: Path | None, folder: Path) -> list[Path]:
    """List the images below `source`, or draw some in `folder`. Raises UserError if `source` has none."""
    if source is None:
        return [draw_photograph(folder / f"{number}.JPEG", number) for number in range(DRAWN)]
    paths = sorted(path for path in source.rglob("*") if is_image(path))[:IMAGES]
    if not paths:
        raise UserError(f"prepare.source: no images in {source}; omit prepare.source to use drawn images")
    return paths


def draw_photograph(path: Path, number: int) -> Path:
    """Draw a JPEG of 500 × 375 pixels, the usual size in ImageNet."""
    image = synthetic.draw_image(number, 500)[0][:, :375].transpose(1, 2, 0)
    Image.fromarray(image).save(path, quality=92, subsampling="4:4:4")
    return path


def make_tree(paths: list[Path], root: Path, images: int, classes: int = 1) -> None:
    """Create class folders of links to the photographs, assigned to the classes in turn."""
    for split in ("train", "val"):
        for name in range(classes):
            (root / split / str(name)).mkdir(parents=True)
    for number, path in enumerate(islice(cycle(paths), images)):
        (root / "train" / str(number % classes) / f"{number:06d}{path.suffix}").symlink_to(path.absolute())
    for number, path in enumerate(islice(cycle(paths), classes)):
        (root / "val" / str(number) / f"0{path.suffix}").symlink_to(path.absolute())
