"""Development kit of ILSVRC's detection task: its 200 classes, and the lists of training images.

    ILSVRC201?_devkit/data/meta_det.mat                          numbers, WordNet ids and names of the classes
    ILSVRC201?_devkit/data/det_lists/train_{pos,part,neg}_N.txt  2013 and 2014: image, then a number
    ILSVRC/ImageSets/DET/train_N.txt                             2015 and later: image, then 1, 0 or −1

An image is listed for class number N as positive (it shows N, every instance has a box), partial (it shows N, instances
may lack a box) or negative (people checked that it does not show N).
"""

import io
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from alexnet_pl.data.archives.remote import open_binary
from alexnet_pl.data.boxes.index import image_key
from alexnet_pl.errors import UserError

TREE_LISTS = "ILSVRC/ImageSets/DET"
LIST = re.compile(r"train_(?:(pos|part|neg)_)?\d+\.txt")
SIGNS = {"pos": 1, "part": 0, "neg": -1}
ARCHIVES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class DetKit:
    """Content of the kit; empty if a copy has none.

    synsets: class number → (wnid, name).
    partial, negative: keys of the images listed as partial or negative for at least one class.
    """

    synsets: dict[int, tuple[str, str]] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    negative: set[str] = field(default_factory=set)

    @property
    def numbers(self) -> list[int]:
        """Class numbers in the order of the wnids."""
        return sorted(self.synsets, key=lambda number: self.synsets[number][0])


def read_det_kit(source: Path) -> DetKit:
    """Read the kit and the lists in a folder. Raises UserError, naming the file, if one is damaged."""
    kit = DetKit()
    for where, name, data in kit_files(source):
        if name == "meta_det.mat":
            kit.synsets.update(read_det_synsets(where, data))
        elif found := LIST.fullmatch(name):
            read_list(kit, where, data, SIGNS.get(found[1] or ""))
    return kit


def kit_files(source: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield (path for messages, file name, content) of the kit's files in folders and archives."""
    for path in sorted({*source.glob("*devkit*"), *source.glob("*/*devkit*"), source / TREE_LISTS}):
        if path.is_dir():
            for file in sorted(path.rglob("*.*")):
                if is_kit_file(file.name):
                    yield str(file), file.name, file.read_bytes()
        elif path.name.endswith(ARCHIVES):
            yield from archived_files(path)


def archived_files(path: Path) -> Iterator[tuple[str, str, bytes]]:
    try:
        with open_binary(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                if member.isreg() and is_kit_file(name):
                    yield f"{path}: {member.name}", name, tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"prepare.source: {path}: corrupt or incomplete devkit ({error}); download it again") from error


def is_kit_file(name: str) -> bool:
    return name == "meta_det.mat" or LIST.fullmatch(name) is not None


def read_det_synsets(where: str, meta: bytes) -> dict[int, tuple[str, str]]:
    """Read class number → (wnid, name) from the content of meta_det.mat. Raises UserError if it is damaged."""
    from scipy.io import loadmat

    try:
        table = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        (key,) = (name for name in table.dtype.names if re.fullmatch(r"ILSVRC\d{4}_DET_ID", name))
        return {int(row[key]): (str(row["WNID"]), str(row["name"])) for row in table}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"prepare.source: {where}: not a list of detection classes ({error})") from error


def read_list(kit: DetKit, where: str, data: bytes, sign: int | None) -> None:
    """Add a list's partial and negative images. `sign`: 1, 0 or −1 for all its images; None: each line has its own."""
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        words = line.split()
        if not words:
            continue
        shown = sign if sign is not None else int(words[1]) if words[1:] and words[1] in ("1", "0", "-1") else None
        if shown is None:
            raise UserError(f"prepare.source: {where}: {line[:60]!r}: not an image and 1, 0 or -1")
        if shown < 1:
            (kit.negative if shown else kit.partial).add(image_key(words[0]))
