"""Readable class names for copies that only have WordNet ids: from a list beside the images, or ILSVRC-2012's own."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.official_sets import ILSVRC2012_CLASSES
from alexnet_pl.data.sources.text_files import read_text

LISTS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
"""Files with "wnid words" per line: Kaggle's, Caffe's, and ImageNet's with a tab."""


def add_class_names(source: Path, listing: DatasetListing) -> DatasetListing:
    """The listing with readable names, if it has none and they are known."""
    ids = [class_id for class_id, _ in listing.classes]
    if any(name != class_id for class_id, name in listing.classes):
        return listing
    names = read_name_list(source) or ilsvrc_names(ids)
    return replace(listing, classes=[(class_id, names.get(class_id, class_id)) for class_id in ids])


def read_name_list(source: Path) -> dict[str, str]:
    """Read the names in the first of `LISTS` that the folder has; empty if there is none."""
    folder = source if source.is_dir() else source.parent
    path = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    lines = read_text(path).splitlines() if path else []
    pairs = (line.split(maxsplit=1) for line in lines)
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def ilsvrc_names(ids: list[str]) -> Mapping[str, str]:
    """torchvision's names, which are in the order of the sorted ids; empty for other classes than ILSVRC-2012's."""
    if sha256("\n".join(ids).encode()).hexdigest() != ILSVRC2012_CLASSES:
        return {}
    from torchvision.models import AlexNet_Weights  # imported here, since this takes a second

    return dict(zip(ids, AlexNet_Weights.IMAGENET1K_V1.meta["categories"], strict=True))
