"""ILSVRC-2010 and ILSVRC-2012 as the organizers distribute them (§3): archives, or the folders unpacked from them.

    ILSVRC2012_img_train.tar    of 1000 n########.tar            or  train/n########/*.JPEG
    ILSVRC2012_img_val.tar      ILSVRC2012_val_00000001.JPEG …   or  val/*.JPEG, or val/n########/*.JPEG
    ILSVRC2012_img_test.tar     no labels                        or  test/*.JPEG
    ILSVRC2012_devkit_t12.tar.gz                                 or  a folder with data/meta.mat

2010 has ILSVRC2010_images_{train,val,test}.tar, devkit-1.0 and, for its test set (Table 1),
ILSVRC2010_test_ground_truth.txt. The images in patch_images.tar (train/, val/, test/) replace blank ones of the same
names.
Boxes: ILSVRC2012_bbox_train_v2.tar.gz and ILSVRC2012_bbox_val_v3.tgz, or the folders unpacked from them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

from alexnet_pl.console import print_warning
from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.remote import walk_files
from alexnet_pl.data.archives.tar import (
    TAR_SUFFIXES,
    WNID,
    Member,
    first_member_name,
    is_desktop_file,
    list_class_archives,
    list_members,
    whole_archive,
)
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.box_files import read_boxes
from alexnet_pl.data.sources.devkit import Devkit, read_devkit, read_truth
from alexnet_pl.data.sources.image_files import find_class_folders, find_image_files, is_image
from alexnet_pl.errors import UserError

OTHER_TASK = re.compile(r"_t3\b")
ANNOTATIONS = ("Annotation", "Annotations")  # folders of XML files
NUMBERED = re.compile(r"ILSVRC(\d{4})_(val|test)_(\d{8})\.")


def find_devkit(source: Path) -> Path | None:
    """Find the devkit in a folder: its archive, its own folder, or the folder itself; None if there is none."""
    kits = (*sorted(source.glob("*devkit*")), *sorted(source.glob("*/*devkit*")))
    candidates = [path for path in kits if path.name[0] != "." and holds_meta(path)]
    return candidates[0] if candidates else (source if (source / "data/meta.mat").is_file() else None)


def holds_meta(path: Path) -> bool:
    """Whether this is the folder or archive of a kit of the classification task; other tasks have other tables."""
    if path.name.endswith(TAR_SUFFIXES) and path.is_file():
        return any(member.name == "meta.mat" for member in list_members(whole_archive(path)))
    return path.is_dir() and next(path.glob("**/data/meta.mat"), None) is not None


def read_ilsvrc(source: Path) -> DatasetListing:
    """List a folder with a development kit and images. Raises UserError, naming what is missing or wrong."""
    kit_path = find_devkit(source)
    if kit_path is None:
        raise UserError(f"prepare.source: {source} has no development kit (ILSVRC…devkit….tar.gz or its folder)")
    kit = read_devkit(kit_path)
    archives = {path: first_member_name(path) for path in find_archives_of_task(source)}
    patches = find_patches(archives)
    splits: dict[str, Iterable[ImageRecord]] = {
        "train": list_training_images(source, kit, archives, patches),
        "val": list_numbered_images(source, kit, archives, patches, "val", kit.truth),
    }
    test = list_numbered_images(source, kit, archives, patches, "test", read_test_labels(source, kit))
    splits |= {"test": test} if test else {}
    counts = {"val": len(kit.truth)}
    return DatasetListing(kit.classes, splits, kit.numbers, counts, kit.class_counts, boxes=box_reader(source))


def box_reader(source: Path) -> Callable[[], BoxIndex] | None:
    """Function that reads the boxes beside the images; None if there are none."""
    boxes = find_boxes(source)
    return (
        partial(BoxIndex.read, *(partial(read_boxes, path, 0, Coverage.PARTIAL) for path in boxes)) if boxes else None
    )


def find_boxes(source: Path) -> list[Path]:
    """Find the organizers' archives of boxes, and folders unpacked from them."""
    found = [path for path in sorted(source.iterdir()) if "bbox" in path.name.lower() or path.name in ANNOTATIONS]
    return [
        path for path in found if not is_desktop_file(path.name) and (path.is_dir() or path.name.endswith(TAR_SUFFIXES))
    ]


def find_archives_of_task(source: Path) -> list[Path]:
    """Find the archives of the classification task; print those of task 3, which are left out.

    ILSVRC2012_img_train_t3.tar contains the dog images of task 3 again, which would be counted twice.
    """
    archives = [path for path in sorted(source.glob("*.tar")) if not is_desktop_file(path.name)]
    for path in archives:
        if OTHER_TASK.search(path.name):
            print_warning(f"ignored: {path}, images of another task")
    return [path for path in archives if not OTHER_TASK.search(path.name)]


def find_patches(archives: dict[Path, str]) -> dict[str, ByteLocation]:
    return {
        member.name: member.location
        for path in archives
        if "patch" in path.name
        for member in list_members(whole_archive(path))
    }


def list_training_images(
    source: Path, kit: Devkit, archives: dict[Path, str], patches: dict[str, ByteLocation]
) -> LazyRecords:
    """List training images class by class, from archives or folders."""
    outer = [path for path, name in archives.items() if "patch" not in path.name and re.match(r"n\d{8}.*\.tar$", name)]
    by_class: list[tuple[str, ByteLocation]] = sorted(pair for path in outer for pair in list_class_archives(path))
    if not outer and (source / "train").is_dir():
        by_class = sorted((name, ByteLocation(folder)) for name, folder in find_class_folders(source / "train").items())
    check_devkit_classes(source, kit, {wnid for wnid, _ in by_class})
    return LazyRecords(lambda: read_training_images(source, kit, by_class, patches))


def read_training_images(
    source: Path, kit: Devkit, by_class: list[tuple[str, ByteLocation]], patches: dict[str, ByteLocation]
) -> Iterator[ImageRecord]:
    for label, (wnid, group) in enumerate(groupby(by_class, key=lambda pair: pair[0])):
        class_members = sorted(member for _, location in group for member in list_class_members(location))
        if not class_members:
            raise UserError(f"prepare.source: {source}: no training images of {wnid}, which {kit.path.name} lists")
        for member in class_members:
            yield ImageRecord(f"train/{wnid}/{member.name}", label, patches.get(member.name, member.location))


def list_class_members(location: ByteLocation) -> Iterator[Member]:
    if location.path.is_dir():
        yield from (Member(path.name, ByteLocation(path)) for path in find_image_files(location.path))
    else:
        yield from list_members(location)


def check_devkit_classes(source: Path, kit: Devkit, found: set[str]) -> None:
    expected = {wnid for wnid, _ in kit.classes}
    if unknown := sorted(found - expected):
        raise UserError(
            f"prepare.source: {source}: training class {unknown[0]} is not in {kit.path.name} (of the other year?)"
        )
    if missing := sorted(expected - found):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"prepare.source: {source}: no training images of {missing[0]}{more}, which {kit.path.name} lists"
        )


def list_numbered_images(
    source: Path,
    kit: Devkit,
    archives: dict[Path, str],
    patches: dict[str, ByteLocation],
    split: str,
    truth: list[int] | None,
) -> list[ImageRecord]:
    """List validation or test images, whose numbers index the ground truth `truth`; without one, labels are −1.

    Raises UserError for misnamed, repeated or missing images.
    """
    by_number = find_numbered_images(source, kit, archives, split)
    if truth is not None:
        check_count(source, split, by_number, len(truth))
    elif not by_number:
        return []
    labels = kit.labels(truth) if truth is not None else [-1] * max(by_number)
    wnids = [wnid for wnid, _ in kit.classes]
    records = []
    for number, member in sorted(by_number.items()):
        if (label := labels[number - 1]) >= 0:
            check_folder(member, kit, wnids[label])
        records.append(ImageRecord(f"{split}/{member.name}", label, patches.get(member.name, member.location)))
    return records


def find_numbered_images(source: Path, kit: Devkit, archives: dict[Path, str], split: str) -> dict[int, Member]:
    """Find the images of a split by their numbers, in archives or else in its folder. Raises UserError for misnamed or
    repeated ones."""
    found = [
        member
        for path, name in archives.items()
        if is_image_of_split(name, split, kit, path)
        for member in list_members(whole_archive(path))
    ]
    if not found and (source / split).is_dir():
        loose = sorted(filter(is_image, walk_files(source / split)))
        found = [Member(path.name, ByteLocation(path)) for path in loose if NUMBERED.match(path.name)]
    for member in found:
        is_image_of_split(member.name, split, kit, member.location.path)
    by_number = {int(m[3]): member for member in found if (m := NUMBERED.match(member.name)) and m[2] == split}
    if len(by_number) != len(found):
        raise UserError(
            f"prepare.source: {source}: {split} images that are not named ILSVRC{kit.year}_{split}_…, or appear twice"
        )
    return by_number


def is_image_of_split(name: str, split: str, kit: Devkit, path: Path) -> bool:
    """Whether an image's name is of this split. Raises UserError, naming `path`, if it is of another year."""
    match = NUMBERED.match(name)
    if match is None or match[2] != split or "patch" in path.name:
        return False
    if int(match[1]) != kit.year:
        raise UserError(f"prepare.source: {path} is of ILSVRC-{match[1]}, {kit.path.name} of ILSVRC-{kit.year}")
    return True


def check_folder(member: Member, kit: Devkit, wnid: str) -> None:
    """Raise UserError if an image is in the folder of another class than its label."""
    folder = member.location.path.parent.name
    if member.location.size is None and WNID.fullmatch(folder) and folder != wnid:
        raise UserError(f"prepare.source: {member.location.path} is in {folder}, but {kit.path.name} says {wnid}")


def check_count(source: Path, split: str, present: Iterable[int], expected: int) -> None:
    numbers = set(present)
    if extra := numbers - set(range(1, expected + 1)):
        raise UserError(f"prepare.source: {source}: {split} image number {min(extra)}, but only {expected:,} labels")
    if missing := set(range(1, expected + 1)) - numbers:
        problem = f"{len(missing):,} of {expected:,} {split} images are missing, from number {min(missing)}"
        raise UserError(f"prepare.source: {source}: {problem}")


def read_test_labels(source: Path, kit: Devkit) -> list[int] | None:
    """Read the labels of the 2010 test set; None for 2012, whose labels were never released."""
    name = f"ILSVRC{kit.year}_test_ground_truth.txt"
    folders = (source, kit.path, kit.path / "data", *sorted(path for path in source.iterdir() if path.is_dir()))
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    return read_truth(str(path), path.read_bytes(), kit.synsets) if path else None
