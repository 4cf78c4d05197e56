"""Blacklists of ILSVRC's development kits: validation images with ambiguous boxes, excluded from a second error rate.

    ILSVRC2014_clsloc_validation_blacklist.txt    one image number per line: 1,762 of the 50,000 images (since 2013)
    ILSVRC2015_det_validation_blacklist.txt       one image number and WordNet id per line, for that class only

Image numbers start at 1. Images for localisation have theirs in the name. For detection, numbers are the lines of the
kit's val.txt, the order of the images' names (first ILSVRC2012_val_…, then ILSVRC2013_val_…), and count unreadable
images, which a split leaves out.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.imagenet_names import validation_number

NUMBER = re.compile(r"[1-9]\d{0,8}")


def read_lines(path: str, columns: int, wanted: str) -> list[list[str]]:
    """Read lines of `columns` words. Raises UserError, naming the file, if it cannot be read or a line is different."""
    try:
        lines = [line.split() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"detect.blacklist: {path}: cannot be read ({error})") from error
    for words in lines:
        if len(words) != columns or not NUMBER.fullmatch(words[0]):
            raise UserError(f"detect.blacklist: {path}: {' '.join(words)[:60]!r}: not {wanted}")
    return lines


def check_split(path: str, split: WholeSplit) -> None:
    if split.name != "val":
        raise UserError(f"detect.blacklist: {path} lists validation images; the tested split is {split.name}")


def index_by_name(path: str, split: WholeSplit) -> dict[int, int]:
    """Image index of each number in a name. Raises UserError unless all images are ILSVRC-2012's validation images."""
    check_split(path, split)
    indices = {}
    for index, name in enumerate(split.names):
        if (number := validation_number(name)) is None:
            raise UserError(f"detect.blacklist: {path} lists images of ILSVRC-2012; the store has {name}")
        indices[number] = index
    return indices


def index_by_order(path: str, split: WholeSplit, largest: int) -> dict[int, int]:
    """Image index of each image number whose image is readable, where numbers count the records of the store.

    Raises UserError unless these are all validation images in the order of their names, at least `largest` of them.
    """
    check_split(path, split)
    if lacking := next((text for text in split.manifest.missing if text.startswith("val: ")), None):
        raise UserError(f"detect.blacklist: {path} numbers all images in order; the store lacks some ({lacking})")
    if largest > split.records:
        raise UserError(f"detect.blacklist: {path} has image {largest:,}; the store has {split.records:,} val images")
    names = [Path(name).name for name in split.names]
    if later := next((name for name, after in pairwise(names) if name > after), None):
        raise UserError(f"detect.blacklist: {path} numbers images by name; the store is in another order from {later}")
    return {record + 1: index for index, record in enumerate(split.slots.tolist())}


def read_image_blacklist(path: str | None, split: WholeSplit) -> set[int]:
    """Read a blacklist for localisation: image indices of the split; empty if `path` is None."""
    if not path:
        return set()
    numbers = {int(number) for (number,) in read_lines(path, 1, "an image number")}
    indices = index_by_name(path, split)
    return {indices[number] for number in numbers if number in indices}


def read_object_blacklist(path: str | None, split: WholeSplit, wnids: Sequence[str]) -> set[tuple[int, int]]:
    """Read a blacklist for detection: (image index, class index) pairs; empty if `path` is None.

    `wnids`: WordNet ids of the classes. Raises UserError if the file has another class.
    """
    if not path:
        return set()
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    lines = read_lines(path, 2, "an image number and a class's id")
    if unknown := [wnid for _, wnid in lines if wnid not in labels]:
        raise UserError(f"detect.blacklist: {path}: {unknown[0]} is not a class of this detector")
    indices = index_by_order(path, split, max((int(number) for number, _ in lines), default=0))
    return {(indices[int(number)], labels[wnid]) for number, wnid in lines if int(number) in indices}
