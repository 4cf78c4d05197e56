"""PASCAL VOC's layout: annotations, images and split lists in separate folders.

    VOCdevkit/VOC2007/Annotations/000005.xml         boxes, with coordinates from 1
    VOCdevkit/VOC2007/JPEGImages/000005.jpg          (other sets call it images)
    VOCdevkit/VOC2007/ImageSets/Main/train.txt …     one name per line; val.txt, trainval.txt, test.txt likewise
    train/annotations/*.xml, train/images/* …        a folder per split, validation/ and test/ likewise

Several years are combined. The classes are the names in the annotations, sorted; an image's class is that of its
largest box. Without train.txt, trainval.txt becomes `train` and, if there is no val.txt, test.txt becomes `val`.
Without any lists, a share `val_share` of the images, chosen by a hash of their names, becomes `val`.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import BoxIndex, image_key
from alexnet_pl.data.boxes.voc_xml import FoundBoxes
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.box_files import annotated_classes, read_boxes
from alexnet_pl.data.sources.image_files import find_image_files
from alexnet_pl.data.sources.name_split import is_held_out
from alexnet_pl.data.sources.split_files import SPLITS
from alexnet_pl.data.sources.text_files import read_text
from alexnet_pl.errors import UserError

ANNOTATIONS, IMAGES, LISTS = ("Annotations", "annotations", "annots"), ("JPEGImages", "images"), "ImageSets/Main"


class VocFolder(NamedTuple):
    """Folders of one year: its root, annotations and images. `split`: that of all its images if its name says so."""

    root: Path
    annotations: Path
    images: Path
    split: str = ""

    @property
    def lists(self) -> dict[str, Path]:
        """Lists of image names, by split."""
        paths = {name: self.root / LISTS / f"{name}.txt" for name in ("train", "val", "trainval", "test")}
        return {name: path for name, path in paths.items() if path.is_file()}


def find_voc(source: Path) -> list[VocFolder]:
    """Find the years, or the splits, in a folder, which can be one year itself."""
    candidates = (source, *sorted(source.glob("*")), *sorted(source.glob("VOCdevkit/*")))
    found = []
    for root in (path for path in candidates if path.is_dir()):
        annotations = next((root / name for name in ANNOTATIONS if any((root / name).glob("*.xml"))), None)
        pictures = next((root / name for name in IMAGES if (root / name).is_dir()), None)
        if annotations and pictures:
            split = "" if root == source else SPLITS.get(root.name, "")
            found.append(VocFolder(root, annotations, pictures, split))
    has_val = any(each.split == "val" for each in found)
    return [each if has_val or each.split != "train" else each._replace(split="") for each in found]


def read_voc(folders: list[VocFolder], first: int | None, val_share: float) -> DatasetListing:
    """List the images. `first`: number of an image's first pixel, 1 if None.

    Raises UserError if a listed image is missing or there are no training images.
    """
    readers = [partial(read_annotations, each, 1 if first is None else first) for each in folders]
    splits: dict[str, list[ImageRecord]] = {}
    for folder in folders:
        for split, path in split_images(folder, val_share):
            splits.setdefault(split, []).append(ImageRecord(f"{split}/{path.name}", -1, ByteLocation(path)))
    if "train" not in splits:
        raise UserError(f"prepare.source: {folders[0].root}: no training images in {LISTS}")
    ordered = {split: splits[split] for split in ("train", "val", "test") if split in splits}
    held_out = None if all(each.split or each.lists for each in folders) else val_share
    boxes = partial(BoxIndex.read, *readers)
    return DatasetListing(annotated_classes(readers), ordered, held_out=held_out, boxes=boxes)


def read_annotations(folder: VocFolder, first: int) -> Iterator[FoundBoxes]:
    """Boxes of a folder. Those of a split get its name in their key, since images of two splits may share theirs."""
    for found in read_boxes(folder.annotations, first, Coverage.ALL):
        yield found._replace(key=image_key(f"{folder.split}/{found.key}.xml")) if folder.split else found


def split_images(folder: VocFolder, val_share: float) -> Iterator[tuple[str, Path]]:
    """Yield (split, image path) of one year."""
    paths: dict[str, Path] = {}
    for path in find_image_files(folder.images):
        if (other := paths.setdefault(path.stem, path)) != path:
            raise UserError(f"prepare.source: {other} and {path.name} have one annotation; rename or remove one")
    listed = {name: read_names(path) for name, path in folder.lists.items()}
    if not listed:
        for path in paths.values():
            yield folder.split or ("val" if is_held_out(path.name, val_share) else "train"), path
        return
    if "train" not in listed and "trainval" in listed:
        listed["train"] = listed["trainval"]
        if "val" not in listed and "test" in listed:
            listed["val"] = listed.pop("test")
    for split in ("train", "val", "test"):
        for name in listed.get(split, ()):
            if name not in paths:
                raise UserError(
                    f"prepare.source: {folder.root / LISTS / split}.txt lists {name}, which is not in {folder.images}"
                )
            yield split, paths[name]


def read_names(path: Path) -> list[str]:
    """Read a list of image names, one per line; a name may contain spaces."""
    return [name for line in read_text(path).splitlines() if (name := line.strip())]
