"""Class folders within tar or zip archives, such as Imagenette's imagenette2-320.tgz, read without unpacking them.

one archive        [folder/]train/<class>/*, [folder/]val/<class>/*, perhaps [folder/]test/*
                       or, without splits, [folder/]<class>/*
    one per split      train.tar, val.tar: [folder/]<class>/*
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.members import is_archive, list_archive
from alexnet_pl.data.archives.remote import parse_path
from alexnet_pl.data.archives.tar import Member, is_desktop_file
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords, PassedOver
from alexnet_pl.data.sources.disk_list import DiskList
from alexnet_pl.data.sources.image_folder import INNER, describe_difference, is_image, offer_val_share
from alexnet_pl.data.sources.name_split import split_by_name
from alexnet_pl.data.sources.split_files import SPLIT, SPLITS
from alexnet_pl.errors import UserError

FIRST = 64  # members of a tar, or images of a zip, that show whether it has class folders; lists may come first
SPLIT_FOLDER = re.compile(rf"(?:.*[-_])?({'|'.join(SPLITS)})")


class ArchivedImage(NamedTuple):
    """Image in an archive. `split`: "" if neither its path nor the archive's name gives it; `folder`: its class, "" for
    an image directly in the folder of a split; `root`: path of the folder that holds the splits or classes."""

    split: str
    folder: str
    name: str
    root: str
    location: ByteLocation


def find_folder_archives(source: Path) -> list[Path]:
    """Find archives whose first images lie in class folders: `source` itself, or those in it."""
    paths = [source] if source.is_file() else sorted(source.iterdir())
    return [path for path in paths if is_archive(path) and has_class_folder(path)]


def has_class_folder(path: Path) -> bool:
    has_list = path.suffix == ".zip"  # so that other files before the images take no time
    found = list_archive(path, is_image_path) if has_list else list_copied_files(path)
    first = (PurePosixPath(member.path) for member in islice(found, FIRST))
    folders = {image.parent for image in first if is_image(Path(image.name)) and image.parent.name}
    named = split_of_archive(path)
    flat = {folder for folder in folders if is_split_folder(folder.name, named)}
    if named:  # as photos_test/1.jpg in photos_test.tar
        flat |= {folder for folder in folders if folder.name == path.name.partition(".")[0]}
    return any(split_of(folder.parent.name) for folder in folders) or folders > flat


def is_image_path(path: str) -> bool:
    return is_image(Path(PurePosixPath(path).name))


def list_copied_files(path: Path) -> Iterator[Member]:
    return list_archive(path, lambda name: not is_desktop_file(PurePosixPath(name).name))


def read_archived_folders(source: Path, archives: list[Path], val_share: float | None = None) -> DatasetListing:
    """List the archives into a temporary file.

    `val_share`: fraction of the images that becomes `val` if there are none for validation.
    Raises UserError if the splits differ in their classes, or if an image is in no class folder.
    """
    passed_over: PassedOver = {}
    images = DiskList(image for path in archives for image in list_images(path, passed_over))
    classes_of_split = find_classes(source, images)
    training = "train" if "train" in classes_of_split else ""
    check_splits(source, classes_of_split, training, val_share)
    classes = sorted(classes_of_split[training])
    index = {name: label for label, name in enumerate(classes)}
    records = {s: LazyRecords(partial(list_records, images, s, index)) for s in ("train", "val", "test")}
    splits = {split: lazy for split, lazy in records.items() if split in classes_of_split}
    readable = [(name, name) for name in classes]
    if "val" in splits:
        return DatasetListing(readable, splits, passed_over=passed_over)
    parts = split_by_name(partial(list_records, images, training, index), val_share or 0)
    return DatasetListing(readable, splits | parts, held_out=val_share, passed_over=passed_over)


def list_images(path: Path, passed_over: PassedOver) -> Iterator[ArchivedImage]:
    others = passed_over.setdefault(path, Counter())
    split = split_of_archive(path)
    for member in list_copied_files(path):
        if is_image(Path(member.name)):
            yield locate_image(member, split)
        else:
            others[Path(member.name).suffix.lower()] += 1


def locate_image(member: Member, split: str) -> ArchivedImage:
    """Find the split and class of an image from its path. `split`: that of the archive's name, if any.

    A class may be named like a split, as bullet_train: the folder above it is asked first.
    """
    *folders, name = PurePosixPath(member.path).parts
    if folders[-1:] == [INNER] and len(folders) > 1:
        del folders[-1]
    prefix, root = f"{split}/" if split else "", folders[:-1]
    if root and (own := split_of(root[-1])):
        split, prefix, root = own, f"{root[-1]}/", root[:-1]
    elif folders and is_split_folder(folders[-1], split):
        return ArchivedImage(split_of(folders[-1]), "", f"{folders[-1]}/{name}", "/".join(root), member.location)
    folder = folders[-1] if folders else ""
    return ArchivedImage(split, folder, f"{prefix}{folder}/{name}", "/".join(root), member.location)


def split_of_archive(path: Path) -> str:
    """Split in the name of an archive, "" if there is none."""
    match = SPLIT.search(path.name)
    return SPLITS[match[1]] if match else ""


def is_split_folder(folder: str, split: str) -> bool:
    """Whether images directly in `folder` have no class, since it holds a split. `split`: that of the archive's name,
    in which test/ is a class of train.tar."""
    return SPLITS.get(folder) == split if split else folder in SPLITS


def split_of(folder: str) -> str:
    match = SPLIT_FOLDER.fullmatch(folder)
    return SPLITS[match[1]] if match else ""


def find_classes(source: Path, images: DiskList) -> dict[str, set[str]]:
    """Names of the class folders of each split, "" if there are no splits.

    Raises UserError if an image is in no class folder, or if the folders lie in more than one place.
    """
    classes: dict[str, set[str]] = {}
    roots: dict[str, tuple[str, str]] = {}
    for split, folder, name, root, *_ in images:
        if not folder and split != "test":
            raise UserError(f"prepare.source: {source}: {name} is in no class folder")
        classes.setdefault(split, set())
        classes[split] |= {folder} if folder else set()
        roots.setdefault(split, (root, name))
        if roots[split][0] != root:
            raise UserError(
                f"prepare.source: {source}: class folders lie in several places ({roots[split][1]} and {name}); "
                "unpack one of them, and give the folder that holds train/ and val/"
            )
    return classes


def check_splits(source: Path, classes: dict[str, set[str]], training: str, val_share: float | None) -> None:
    """Raise UserError if there are images within and without splits, a split is missing, or its classes differ."""
    if "" in classes and len(classes) > 1:
        unsplit = ", ".join(sorted(classes[""])[:3])
        raise UserError(f"prepare.source: {source}: {unsplit} lies beside {', '.join(filter(None, sorted(classes)))}")
    if training not in classes:
        raise UserError(f"prepare.source: {source}: no training images, only {', '.join(classes) or 'none'}")
    if "val" not in classes and val_share is None:
        raise UserError(f"prepare.source: {source}: no validation images; {offer_val_share('each class')}")
    for split, names in classes.items():
        if names and names != classes[training]:
            difference = describe_difference(source, split, sorted(classes[training]), dict.fromkeys(names, source))
            raise UserError(f"prepare.source: {difference}")


def list_records(images: DiskList, wanted: str, index: dict[str, int]) -> Iterator[ImageRecord]:
    for split, folder, name, _, (path, *location) in images:
        if split == wanted:
            where: tuple[Any, ...] = tuple(location)
            yield ImageRecord(name, index.get(folder, -1), ByteLocation(parse_path(path), *where))
