"""TFRecord copies of ImageNet: those of TensorFlow Datasets, and those of TensorFlow's and NVIDIA's training scripts.

    imagenet2012-train.tfrecord-00000-of-01024 …, …-validation.tfrecord-…      image, label, file_name
    train-00000-of-01024 …, validation-00000-of-00128 …                        image/encoded, image/class/label,
      also in folders train/ and validation/                                   image/class/synset, image/filename

`image/class/label` counts from 1, with 0 for "background", so `image/class/synset` gives the class. TensorFlow Datasets
numbers the sorted wnids from 0. Some of these scripts wrote images that were not RGB JPEGs as new JPEGs.
"""

from collections.abc import Iterator
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.protobuf import Span
from alexnet_pl.data.archives.tfrecord import Features, TFRecord, read_examples
from alexnet_pl.data.sources.packed_rows import SourceRow, find_wnid
from alexnet_pl.data.sources.split_files import (
    group_by_folder,
    group_by_split,
)
from alexnet_pl.errors import UserError

PATTERNS = ("*-[0-9]*-of-[0-9]*", "*.tfrecord", "*.tfrecords")
OTHER_SUFFIXES = (".parquet", ".arrow", ".json", ".txt", ".gz")
IMAGE, LABEL = ("image/encoded", "image"), ("image/class/label", "label")
NAME, SYNSET = ("image/filename", "file_name", "filename"), ("image/class/synset",)


def find_tfrecords(source: Path) -> dict[str, list[Path]]:
    """Find the files by split, in the folder, its train/ and validation/, or TensorFlow Datasets' version folder."""
    versions = sorted(source.glob("[0-9]*.[0-9]*.[0-9]*"))
    for folder in (source, *versions):
        groups = group_by_split(folder, *PATTERNS) or group_by_folder(folder, *PATTERNS)
        files = {s: [p for p in paths if p.is_file() and p.suffix not in OTHER_SUFFIXES] for s, paths in groups.items()}
        if found := {split: paths for split, paths in files.items() if paths}:
            return found
    return {}


def read_record_rows(path: Path) -> Iterator[SourceRow]:
    for number, (file, features) in enumerate(read_examples(path)):
        image = value_of(features, IMAGE)
        if not isinstance(image, Span):
            known = ", ".join(sorted(features)[:5]) or "none"
            raise UserError(
                f"prepare.source: {path}: record {number} has no image: {' or '.join(IMAGE)} (its features: {known})"
            )
        name = text_of(file, features, NAME) or f"{path.name}-{number:06d}.JPEG"
        wnid = text_of(file, features, SYNSET) or find_wnid(name)
        label = value_of(features, LABEL)
        is_sorted_index = isinstance(label, int) and "image/class/synset" not in features
        location = ByteLocation(path, image.start, image.end - image.start)
        yield SourceRow(name, wnid, label if is_sorted_index else None, location)  # type: ignore[arg-type]


def value_of(features: Features, keys: tuple[str, ...]) -> Span | int | None:
    return next((features[key] for key in keys if key in features), None)


def text_of(file: TFRecord, features: Features, keys: tuple[str, ...]) -> str:
    value = value_of(features, keys)
    return file.text(value) if isinstance(value, Span) else ""
