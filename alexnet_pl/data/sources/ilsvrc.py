"""ILSVRC-2010 and ILSVRC-2012 as the organisers distribute them (§2): archives, or the folders they are unpacked to.

    ILSVRC2012_img_train.tar    of 1000 n########.tar            or  train/n########/*.JPEG
    ILSVRC2012_img_val.tar      ILSVRC2012_val_00000001.JPEG …   or  val/*.JPEG, or val/n########/*.JPEG
    ILSVRC2012_img_test.tar     no labels                        or  test/*.JPEG
    ILSVRC2012_devkit_t12.tar.gz                                 or  a folder with data/meta.mat

2010 likewise, with ILSVRC2010_images_{train,val,test}.tar, devkit-1.0 and, for its test set, which Table 1 is about,
ILSVRC2010_test_ground_truth.txt. patch_images.tar (train/, val/, test/) replaces blank images by the same names.
Boxes: ILSVRC2012_bbox_train_v2.tar.gz and ILSVRC2012_bbox_val_v3.tgz, or folders that they are unpacked to.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.tar import WNID, Member, by_class, first, is_litter, members
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.index import BoxIndex
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.box_files import TARS, read_boxes
from alexnet_pl.data.sources.devkit import Devkit, read_devkit, read_truth
from alexnet_pl.data.sources.image_folder import class_folders, images, is_image
from alexnet_pl.errors import UserError

KITS = (".tar.gz", ".tgz", ".tar")
OTHER_TASK = re.compile(r"_t3\b")
ANNOTATIONS = ("Annotation", "Annotations")  # folders of XML files
NUMBERED = re.compile(r"ILSVRC(\d{4})_(val|test)_(\d{8})\.")


def find_devkit(source: Path) -> Path | None:
    """The kit in a folder: its archive, its own folder, or the folder itself."""
    kits = (*sorted(source.glob("*devkit*")), *sorted(source.glob("*/*devkit*")))
    found = [path for path in kits if path.name[0] != "." and (path.is_dir() or path.name.endswith(KITS))]
    return found[0] if found else (source if (source / "data/meta.mat").is_file() else None)


def read_ilsvrc(source: Path) -> DatasetListing:
    """A folder that holds a development kit beside its images. Raises UserError that names what is missing or wrong."""
    kit_path = find_devkit(source)
    if kit_path is None:
        raise UserError(f"prepare.source: {source} has no development kit (ILSVRC…devkit….tar.gz or its folder)")
    kit = read_devkit(kit_path)
    archives = {path: first(path) for path in own_archives(source)}
    patches = patched(archives)
    splits: dict[str, Iterable[ImageRecord]] = {
        "train": train(source, kit, archives, patches),
        "val": numbered(source, kit, archives, patches, "val", kit.truth),
    }
    test = numbered(source, kit, archives, patches, "test", test_labels(source, kit))
    splits |= {"test": test} if test else {}
    counts = {"val": len(kit.truth)}
    return DatasetListing(kit.classes, splits, kit.numbers, counts, kit.class_counts, boxes=box_reader(source))


def box_reader(source: Path) -> Callable[[], BoxIndex] | None:
    """What reads the boxes that lie beside the images; None where there are none."""
    places = find_boxes(source)
    return (
        partial(BoxIndex.read, *(partial(read_boxes, path, 0, Coverage.PARTIAL) for path in places)) if places else None
    )


def find_boxes(source: Path) -> list[Path]:
    """The organisers' archives of boxes, and folders that such were unpacked to."""
    found = [path for path in sorted(source.iterdir()) if "bbox" in path.name.lower() or path.name in ANNOTATIONS]
    return [path for path in found if not is_litter(path.name) and (path.is_dir() or path.name.endswith(TARS))]


def own_archives(source: Path) -> list[Path]:
    """The archives of this task, without what a desktop left beside them; those of the other task are named.

    ILSVRC2012_img_train_t3.tar holds the dogs of task 3, again, which would be counted twice.
    """
    found = [path for path in sorted(source.glob("*.tar")) if not is_litter(path.name)]
    for path in found:
        if OTHER_TASK.search(path.name):
            print(f"left out: {path}, the images of another task", file=sys.stderr, flush=True)
    return [path for path in found if not OTHER_TASK.search(path.name)]


def patched(archives: dict[Path, str]) -> dict[str, ByteLocation]:
    return {
        member.name: member.place for path in archives if "patch" in path.name for member in members(ByteLocation(path))
    }


def train(source: Path, kit: Devkit, archives: dict[Path, str], patches: dict[str, ByteLocation]) -> LazyRecords:
    """Listed a class at a time, by archive or by folder."""
    outer = [path for path, name in archives.items() if "patch" not in path.name and re.match(r"n\d{8}.*\.tar$", name)]
    listed: list[tuple[str, ByteLocation]] = sorted(pair for path in outer for pair in by_class(path))
    if not outer and (source / "train").is_dir():
        listed = sorted((name, ByteLocation(folder)) for name, folder in class_folders(source / "train").items())
    check_classes(source, kit, {wnid for wnid, _ in listed})
    return LazyRecords(lambda: images_of(source, kit, listed, patches))


def images_of(
    source: Path, kit: Devkit, listed: list[tuple[str, ByteLocation]], patches: dict[str, ByteLocation]
) -> Iterator[ImageRecord]:
    for label, (wnid, places) in enumerate(groupby(listed, key=lambda pair: pair[0])):
        found = sorted(member for _, place in places for member in within(place))
        if not found:
            raise UserError(f"prepare.source: {source}: no training images of {wnid}, which {kit.path.name} lists")
        for member in found:
            yield ImageRecord(f"train/{wnid}/{member.name}", label, patches.get(member.name, member.place))


def within(place: ByteLocation) -> Iterator[Member]:
    if place.path.is_dir():
        yield from (Member(path.name, ByteLocation(path)) for path in images(place.path))
    else:
        yield from members(place)


def check_classes(source: Path, kit: Devkit, found: set[str]) -> None:
    wanted = {wnid for wnid, _ in kit.classes}
    if unknown := sorted(found - wanted):
        raise UserError(
            f"prepare.source: {source}: training class {unknown[0]} is not in {kit.path.name} (of the other year?)"
        )
    if missing := sorted(wanted - found):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"prepare.source: {source}: no training images of {missing[0]}{more}, which {kit.path.name} lists"
        )


def numbered(
    source: Path,
    kit: Devkit,
    archives: dict[Path, str],
    patches: dict[str, ByteLocation],
    split: str,
    truth: list[int] | None,
) -> list[ImageRecord]:
    """Images whose names carry their place in the ground truth; where there is none, without labels."""
    found = [
        m for path, name in archives.items() if is_split(name, split, kit, path) for m in members(ByteLocation(path))
    ]
    if not found and (source / split).is_dir():
        loose = sorted(filter(is_image, (source / split).rglob("*.*")))
        found = [Member(path.name, ByteLocation(path)) for path in loose if NUMBERED.match(path.name)]
    for member in found:
        is_split(member.name, split, kit, member.place.path)
    places = {int(m[3]): member for member in found if (m := NUMBERED.match(member.name)) and m[2] == split}
    if len(places) != len(found):
        raise UserError(
            f"prepare.source: {source}: {split} images that are not numbered ILSVRC{kit.year}_{split}_…, or twice"
        )
    if truth is not None:
        check_count(source, split, places, len(truth))
    elif not places:
        return []
    labels = kit.labels(truth) if truth is not None else [-1] * max(places)
    wnids = [wnid for wnid, _ in kit.classes]
    for number, member in places.items():
        if labels[number - 1] >= 0:
            check_folder(member, kit, wnids[labels[number - 1]])
    return [
        ImageRecord(f"{split}/{member.name}", labels[number - 1], patches.get(member.name, member.place))
        for number, member in sorted(places.items())
    ]


def is_split(name: str, split: str, kit: Devkit, path: Path) -> bool:
    found = NUMBERED.match(name)
    if found is None or found[2] != split or "patch" in path.name:
        return False
    if int(found[1]) != kit.year:
        raise UserError(f"prepare.source: {path} is of ILSVRC-{found[1]}, {kit.path.name} of ILSVRC-{kit.year}")
    return True


def check_folder(member: Member, kit: Devkit, wnid: str) -> None:
    """Check that class folders agree with the labels, where labelled images were sorted into class folders."""
    folder = member.place.path.parent.name
    if member.place.size is None and WNID.fullmatch(folder) and folder != wnid:
        raise UserError(f"prepare.source: {member.place.path} lies in {folder}, {kit.path.name} says {wnid}")


def check_count(source: Path, split: str, places: Iterable[int], wanted: int) -> None:
    numbers = set(places)
    if extra := numbers - set(range(1, wanted + 1)):
        raise UserError(f"prepare.source: {source}: {split} image number {min(extra)}, but only {wanted:,} labels")
    if missing := set(range(1, wanted + 1)) - numbers:
        lost = f"{len(missing):,} of {wanted:,} {split} images are missing, from number {min(missing)}"
        raise UserError(f"prepare.source: {source}: {lost}")


def test_labels(source: Path, kit: Devkit) -> list[int] | None:
    """The labels of the 2010 test set; those of 2012 were never released."""
    name = f"ILSVRC{kit.year}_test_ground_truth.txt"
    places = (source, kit.path, kit.path / "data", *sorted(filter(Path.is_dir, source.iterdir())))
    path = next((place / name for place in places if (place / name).is_file()), None)
    return read_truth(str(path), path.read_bytes(), kit.synsets) if path else None
