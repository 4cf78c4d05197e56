"""Development kit of ILSVRC's detection task: its 200 classes and the lists of training images.

    ILSVRC201?_devkit/data/meta_det.mat                          numbers, WordNet ids and names of the classes
    ILSVRC201?_devkit/data/det_lists/train_{pos,part,neg}_N.txt  2013 and 2014: one image and a number per line
    ILSVRC/devkit/data/, ILSVRC/ImageSets/DET/train_N.txt        2015 and later: one image and 1, 0 or −1 per line
    {val,test}.txt beside these lists                            all images of the split, one per line

An image is listed for class number N as positive (it shows N, every instance has a box), partial (it shows N, instances
may lack a box) or negative (people checked that it does not show N).
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from alexnet_pl.data.archives.members import read_files
from alexnet_pl.data.archives.tar import TAR_SUFFIXES
from alexnet_pl.data.boxes.index import IMAGENET
from alexnet_pl.errors import UserError, reason

CLASSES = 200  # of the task; some kits also number synsets above and below them, from 201
META = "meta_det.mat"
LIST = re.compile(r"train_(?:(pos|part|neg)_)?\d+\.txt")
SPLIT_LIST = re.compile(r"(?:val|test)\.txt")
SIGNS = {"pos": "1", "part": "0", "neg": "-1"}


class KitFile(NamedTuple):
    where: str
    name: str
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


class ImageLists(NamedTuple):
    """Names of the images that are listed as partial, or as negative, for at least one class."""

    partial: set[str]
    negative: set[str]


@dataclass(frozen=True)
class DetKit:
    """Kit of a copy, in folders and archives `sources`. Empty if there are none. Files are read when they are needed.

    Raises UserError, naming the file, if one is corrupt.
    """

    sources: tuple[Path, ...] = ()

    @cached_property
    def synsets(self) -> dict[int, tuple[str, str]]:
        """Class number → (wnid, name)."""
        found = {file.where: read_det_synsets(file) for file in self.files(re.compile(re.escape(META)))}
        tables = list(found.values()) or [{}]
        if any(table != tables[0] for table in tables):
            raise UserError(f"prepare.source: {' and '.join(found)} have different classes; keep one")
        return tables[0]

    @property
    def numbers(self) -> list[int]:
        """Class numbers in the order of the wnids."""
        return sorted(self.synsets, key=lambda number: self.synsets[number][0])

    @cached_property
    def lists(self) -> ImageLists:
        lists = ImageLists(set(), set())
        for file in self.files(LIST):
            add_list(lists, file)
        return lists

    def count_images(self) -> dict[str, int]:
        """Number of images that the kit lists for `val` and `test`; blacklists and submissions number these."""
        listed: dict[str, set[str]] = {}
        for file in self.files(SPLIT_LIST):
            names = (line.split()[0].rpartition("/")[2] for line in file.text.splitlines() if line.strip())
            listed.setdefault(file.name.removesuffix(".txt"), set()).update(names)
        return {split: len(names) for split, names in listed.items()}

    def files(self, wanted: re.Pattern[str]) -> Iterator[KitFile]:
        def accept(name: str) -> bool:
            return wanted.fullmatch(PurePosixPath(name).name) is not None

        for source in self.sources:
            for name, content in read_files(source, accept, "prepare.source"):
                where = str(source / name) if source.is_dir() else f"{source}: {name}"
                yield KitFile(where, PurePosixPath(name).name, content)


def find_det_kit(source: Path, tree: Path) -> DetKit:
    """Find the kit beside the images, or in their `tree` of 2015 and later."""
    inside = [path for name in ("devkit", "ImageSets/DET") if (path := tree / name).is_dir()]
    beside = [path for path in sorted(source.glob("*devkit*")) if path.is_dir() or path.name.endswith(TAR_SUFFIXES)]
    return DetKit((*inside, *beside))


def read_det_synsets(file: KitFile) -> dict[int, tuple[str, str]]:
    """Class number → (wnid, name) of the task's classes."""
    from scipy.io import loadmat

    try:
        table = loadmat(io.BytesIO(file.content), squeeze_me=True)["synsets"]
        (key,) = (name for name in table.dtype.names if re.fullmatch(r"ILSVRC\d{4}_DET_ID", name))
        rows = [(int(row[key]), (str(row["WNID"]), str(row["name"]))) for row in table]
    except Exception as error:  # scipy raises errors of zlib, struct and others for a corrupt file
        raise UserError(f"prepare.source: {file.where}: not a table of detection classes ({reason(error)})") from error
    synsets = dict(row for row in rows if row[0] <= CLASSES)
    numbers = sorted(number for number, _ in rows if number <= CLASSES)
    wnids = {wnid for wnid, _ in synsets.values()}
    if numbers != list(range(1, len(wnids) + 1)):
        raise UserError(f"prepare.source: {file.where}: numbers its classes twice or with gaps")
    return synsets


def add_list(lists: ImageLists, file: KitFile) -> None:
    """Add the partial and negative images of a list. A list of 2013 or 2014 has its images' sign in its name."""
    found = LIST.fullmatch(file.name)
    sign = SIGNS.get(found[1] or "") if found else None
    for line in file.text.splitlines():
        words = line.split()
        if not words:
            continue
        shown = sign or (words[1] if len(words) > 1 else "")
        if shown not in ("1", "0", "-1"):
            raise list_error(file, line)
        name, images = words[0].rpartition("/")[2], lists.partial if shown == "0" else lists.negative
        if shown == "1" or name in images:  # a negative image is in a hundred lists
            continue
        if not IMAGENET.fullmatch(name):
            raise list_error(file, line)
        images.add(name)


def list_error(file: KitFile, line: str) -> UserError:
    return UserError(f"prepare.source: {file.where}: {line[:60]!r}: not an image and 1, 0 or -1")
