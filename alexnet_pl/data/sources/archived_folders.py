"""Class folders within tar or zip archives, such as Imagenette's imagenette2-320.tgz, read without unpacking them.

one archive        [folder/]train/<class>/*, [folder/]val/<class>/*, perhaps [folder/]test/*; also x_train/ …
                   or, without splits, [folder/]<class>/*
one per split      train.tar, val.tar: [folder/]<class>/*
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.members import is_archive, list_archive
from alexnet_pl.data.archives.remote import parse_path
from alexnet_pl.data.archives.tar import Member, is_desktop_file
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords, SkippedFiles
from alexnet_pl.data.sources.disk_list import LISTED, DiskList
from alexnet_pl.data.sources.image_files import INNER, is_image
from alexnet_pl.data.sources.image_folder import describe_difference, offer_val_share
from alexnet_pl.data.sources.name_split import split_by_name
from alexnet_pl.data.sources.split_files import SPLIT, SPLITS
from alexnet_pl.errors import UserError
from alexnet_pl.progress import counted

FIRST = 64  # members of a tar, or images of a zip, that show whether it has class folders; lists may come first
SPLIT_FOLDER = re.compile(rf"((?:.*[-_])?)({'|'.join(SPLITS)})")  # x_train: prefix and split
Folders = tuple[str, ...]


class ArchivedImage(NamedTuple):
    """Image in an archive. `split`: "" if neither its path nor the archive's name gives it; `folder`: its class, "" for
    an image directly in the folder of a split; `root`: path of the folder that holds the splits or classes; `location`:
    that of its bytes, as a JSON row."""

    split: str
    folder: str
    name: str
    root: str
    location: list[Any]


class ArchiveLayout:
    """Splits and classes of an archive's images, by the `folders` of all of them.

    Where train/ or val/ hold class folders, test/ is a split too, and so is x_test/ beside x_train/ or x_val/. For
    other archives the archive's name gives the split, and test/ is a class, as in train.tar. `split`: split in the
    archive's name, else "".
    """

    def __init__(self, path: Path, folders: Iterable[Folders] = ()) -> None:
        self.prefixes: dict[Folders, set[str]] = {}  # prefixes of split folders, by their parent folder
        for each in folders:
            if len(each) > 1 and (match := SPLIT_FOLDER.fullmatch(each[-2])):
                self.prefixes.setdefault(each[:-2], set()).add(match[1])
        self.split = "" if self.prefixes else split_of_name(path)

    def is_split(self, folders: Folders) -> bool:
        """Whether images directly in these folders have no class, since the last one holds a split."""
        match = SPLIT_FOLDER.fullmatch(folders[-1]) if folders else None
        if match is None:
            return False
        prefix, word = match.groups()
        if self.prefixes:
            return not prefix or prefix in self.prefixes.get(folders[:-1], ())
        return not prefix and self.split in ("", SPLITS[word])

    def locate(self, path: str, location: list[Any]) -> ArchivedImage:
        """Find the split and class of an image. A class may be named like a split, such as bullet_train, so the folder
        above it is checked first."""
        folders, name = folders_of(path), PurePosixPath(path).name
        *above, folder = folders or ("",)
        if above and (split := split_of(above[-1])):
            return ArchivedImage(split, folder, f"{above[-1]}/{folder}/{name}", "/".join(above[:-1]), location)
        if self.is_split(folders):
            split = split_of(folder)
            shown = split if split == "test" else folder  # the name of an unpacked image without a label
            return ArchivedImage(split, "", f"{shown}/{name}", "/".join(above), location)
        prefix = f"{self.split}/" if self.split else ""
        return ArchivedImage(self.split, folder, f"{prefix}{folder}/{name}", "/".join(above), location)


def find_folder_archives(source: Path) -> list[Path]:
    """Find archives whose first images lie in class folders: `source` itself, or those in it."""
    paths = [source] if source.is_file() else sorted(source.iterdir())
    return [path for path in paths if is_archive(path) and has_class_folder(path)]


def has_class_folder(path: Path) -> bool:
    has_directory = path.suffix == ".zip"  # lists the images without reading files before them
    found = list_archive(path, is_image_path) if has_directory else list_copied_files(path)
    words, layout = split_words(path), ArchiveLayout(path)
    if len(set(words)) != 1:  # unlabelled test images of an archive of several splits may come first
        found = (member for member in found if not is_unlabelled(layout, member.path))
    own = path.name.partition(".")[0] if words else ""  # photos_test, whose images have no class, in photos_test.tar
    first = (member.path for member in islice(found, FIRST) if is_image_path(member.path))
    return any(
        folders_of(image) and not is_unlabelled(layout, image) and PurePosixPath(image).parts[-2:-1] != (own,)
        for image in first
    )


def is_unlabelled(layout: ArchiveLayout, image: str) -> bool:
    """Whether an image lies directly in the folder of a split that is not within another split's folder."""
    folders = folders_of(image)
    direct = PurePosixPath(image).parts[:-1] == folders
    return direct and layout.is_split(folders) and not split_of(folders[-2] if len(folders) > 1 else "")


def is_image_path(path: str) -> bool:
    return is_image(Path(PurePosixPath(path).name))


def list_copied_files(path: Path) -> Iterator[Member]:
    return list_archive(path, lambda name: not is_desktop_file(PurePosixPath(name).name))


def read_archived_folders(source: Path, archives: list[Path], val_share: float | None = None) -> DatasetListing:
    """List the archives into a temporary file.

    `val_share`: fraction of the images that becomes `val` if there are none for validation.
    Raises UserError if the splits differ in their classes, or if an image is in no class folder.
    """
    skipped_files: SkippedFiles = {}
    images = DiskList(image for path in archives for image in list_images(path, skipped_files))
    classes_of_split = find_classes(source, images)
    training = "train" if "train" in classes_of_split else ""
    check_splits(source, classes_of_split, training, val_share)
    classes = sorted(classes_of_split[training])
    index = {name: label for label, name in enumerate(classes)}
    records = {s: LazyRecords(partial(list_records, images, s, index)) for s in ("train", "val", "test")}
    splits = {split: lazy for split, lazy in records.items() if split in classes_of_split}
    readable = [(name, name) for name in classes]
    if "val" in splits:
        return DatasetListing(readable, splits, skipped_files=skipped_files)
    parts = split_by_name(partial(list_records, images, training, index), val_share or 0)
    return DatasetListing(readable, splits | parts, held_out=val_share, skipped_files=skipped_files)


def list_images(path: Path, skipped_files: SkippedFiles) -> Iterator[ArchivedImage]:
    members = DiskList(counted(list_image_members(path, skipped_files), LISTED))
    layout = ArchiveLayout(path, {folders_of(member_path) for member_path, _ in members})
    for member_path, location in members:
        yield layout.locate(member_path, location)


def list_image_members(path: Path, skipped_files: SkippedFiles) -> Iterator[tuple[str, ByteLocation]]:
    others = skipped_files.setdefault(path, Counter())
    for member in list_copied_files(path):
        if is_image(Path(member.name)):
            yield member.path, member.location
        else:
            others[Path(member.name).suffix.lower()] += 1


def folders_of(path: str) -> Folders:
    """Folders of an image, without the inner one of a class."""
    folders = PurePosixPath(path).parts[:-1]
    return folders[:-1] if folders[-1:] == (INNER,) and len(folders) > 1 else folders


def split_words(path: Path) -> list[str]:
    """Splits in the name of an archive, in the order of the name."""
    return [SPLITS[word] for word in SPLIT.findall(path.name)]


def split_of_name(path: Path) -> str:
    """Split of an archive by its name, as that of x_train.tar and stress_test_train.tar; train for x_train_val.tar; ""
    if it names none, or both train and test."""
    words = split_words(path)
    if words[:1] == ["train"] and len(set(words)) > 1:
        return "" if "test" in words else "train"
    return words[-1] if words else ""


def split_of(folder: str) -> str:
    match = SPLIT_FOLDER.fullmatch(folder)
    return SPLITS[match[2]] if match else ""


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
        raise UserError(
            f"prepare.source: {source}: no training images{', only ' if classes else ''}{', '.join(classes)}"
        )
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
