"""Robustness test sets for networks trained on ILSVRC-2012, as published: archives, or folders unpacked from them.

    imagenet_v2_matched_frequency, imagenet_v2_threshold0.7, imagenet_v2_top_images
                      imagenetv2-….tar.gz: imagenetv2-…-format-val/0 … 999/*.jpeg, where the folders are not class ids
                      but positions among the sorted WordNet ids (Recht et al., 2019)
    imagenet_a        imagenet-a.tar: imagenet-a/<wnid>/*.jpg of 200 classes (Hendrycks et al., 2021)
    imagenet_r        imagenet-r.tar: imagenet-r/<wnid>/*.jpg of 200 classes (Hendrycks et al., 2021)
    imagenet_sketch   ImageNet-Sketch.zip: sketch/<wnid>/*.JPEG of 1,000 classes (Wang et al., 2019)

A set has only the split `test`; its classes are its folders.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.members import is_archive, list_archive
from alexnet_pl.data.archives.remote import walk_files
from alexnet_pl.data.archives.tar import WNID
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.image_files import is_image
from alexnet_pl.errors import UserError

COUNTS = {  # by data.name
    "imagenet_v2_matched_frequency": 10_000,
    "imagenet_v2_threshold0.7": 10_000,
    "imagenet_v2_top_images": 10_000,
    "imagenet_a": 7_500,
    "imagenet_r": 30_000,
    "imagenet_sketch": 50_889,
}
NUMBER = re.compile(r"\d{1,3}")


def is_robustness_set(name: str) -> bool:
    return name in COUNTS


def read_robustness(source: Path, name: str) -> DatasetListing:
    """List the set `name`. Raises UserError if the folder names are not those of the set, or if it has no images."""
    files = sorted(list_files(source), key=lambda pair: pair[0])
    numbered = name.startswith("imagenet_v2")
    form = NUMBER if numbered else WNID
    found = [(Path(path).parts[-2], path, location) for path, location in files if len(Path(path).parts) > 1]
    if not found:
        raise UserError(f"prepare.source: {source} holds no images in class folders; get {name} again")
    if wrong := next((folder for folder, _, _ in found if not form.fullmatch(folder)), None):
        expected = "0 … 999" if numbered else "WordNet ids such as n01440764"
        raise UserError(f"prepare.source: {source}: folder {wrong}; those of {name} are {expected}")
    folders = sorted({folder for folder, _, _ in found}, key=class_key)
    labels = {folder: label for label, folder in enumerate(folders)}
    records = [
        ImageRecord(f"test/{folder}/{Path(path).name}", labels[folder], location) for folder, path, location in found
    ]
    records.sort(key=lambda record: (record.label, record.name))
    classes = [(class_key(folder), folder) for folder in folders]
    return DatasetListing(classes, {"test": records}, expected={"test": COUNTS[name]})


def class_key(folder: str) -> str:
    """The id of a class: a WordNet id, or a position as four digits, so that ids sort like numbers."""
    return folder.zfill(4) if NUMBER.fullmatch(folder) else folder


def list_files(source: Path) -> Iterator[tuple[str, ByteLocation]]:
    """Yield (path in the copy, location) of each image in a folder, or in an archive: `source` or the one in it."""
    if not source.exists():
        raise UserError(f"prepare.source: {source} does not exist; give the archive, or the folder unpacked from it")
    if source.is_file() and not is_archive(source):
        raise UserError(f"prepare.source: {source} is not a .tar, .tar.gz or .zip")
    candidates = [source] if source.is_file() else sorted(source.iterdir())
    archives = [path for path in candidates if path.is_file() and is_archive(path)]
    if len(archives) > 1:
        raise UserError(f"prepare.source: {source} holds {archives[0].name} and {archives[1].name}; give one of them")
    if not archives:
        images = (path for path in walk_files(source) if is_image(path))
        yield from ((path.relative_to(source.parent).as_posix(), ByteLocation(path)) for path in images)
    else:
        members = list_archive(archives[0], lambda name: is_image(Path(name)))
        yield from ((member.path, member.location) for member in members)
