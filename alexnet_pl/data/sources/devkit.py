"""Development kits of ILSVRC-2010 and ILSVRC-2012: class numbers and validation labels.

The kits number classes (ILSVRC2012_ID, from 1) in an order of their own. Later software, and this package, sorts
classes by WordNet id. Mixing the two orders is a classic silent error, so numbers are converted to classes only here,
with the kit's own meta.mat.
"""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.data.archives.tar_stream import stream_files
from alexnet_pl.errors import UserError


class Devkit(NamedTuple):
    """Content of a development kit.

    synsets: class number → (wnid, words).
    truth: class number of each validation image, in the order of their names.
    images: class number → number of training images.
    """

    path: Path
    year: int
    synsets: dict[int, tuple[str, str]]
    truth: list[int]
    images: dict[int, int]

    @property
    def classes(self) -> list[tuple[str, str]]:
        """(wnid, words), sorted by wnid."""
        return sorted(self.synsets.values())

    @property
    def numbers(self) -> list[int]:
        """Class number of each class in `classes`."""
        return sorted(self.synsets, key=lambda number: self.synsets[number][0])

    @property
    def class_counts(self) -> list[int]:
        """Number of training images of each class in `classes`."""
        return [self.images[number] for number in self.numbers]

    def labels(self, numbers: Iterable[int]) -> list[int]:
        """Convert class numbers of a ground-truth file to indices into `classes`."""
        index = {number: i for i, number in enumerate(self.numbers)}
        return [index[number] for number in numbers]


def read_devkit(path: Path) -> Devkit:
    """Read the kit from its archive or unpacked folder. Raises UserError if it is not a kit, or is corrupt."""
    files = read_kit_archive(path) if path.is_file() else read_kit_folder(path)
    truth = next((name for name in files if name.endswith("_validation_ground_truth.txt")), "")
    year = re.match(r"ILSVRC(\d{4})_", truth)
    if "meta.mat" not in files or year is None:
        raise UserError(f"prepare.source: {path} has no meta.mat and ILSVRC…_validation_ground_truth.txt of a devkit")
    synsets, images = read_synsets(path, files["meta.mat"], int(year[1]))
    numbers = read_truth(f"{path}: {truth}", files[truth], synsets)
    return Devkit(path, int(year[1]), synsets, numbers, images)


def read_kit_folder(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.glob("**/data/*")) if is_kit_file(file.name)}


def read_kit_archive(path: Path) -> dict[str, bytes]:
    files = stream_files(path, lambda name: is_kit_file(Path(name).name), "prepare.source")
    return {Path(name).name: data for name, data in files}


def is_kit_file(name: str) -> bool:
    return name == "meta.mat" or (name[0] != "." and name.endswith("_validation_ground_truth.txt"))


def read_synsets(path: Path, meta: bytes, year: int) -> tuple[dict[int, tuple[str, str]], dict[int, int]]:
    """Read the leaf synsets, number → (wnid, words), from 1 without gaps, and number → count of training images."""
    from scipy.io import loadmat

    try:
        table = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        kinds = {f"ILSVRC{year}_ID": int, "WNID": str, "words": str, "num_children": int, "num_train_images": int}
        rows = [tuple(kind(row[name]) for name, kind in kinds.items()) for row in table]
    except Exception as error:  # scipy raises many kinds for a corrupt file
        raise UserError(f"prepare.source: {path}: meta.mat is not that of ILSVRC-{year} ({error})") from error
    leaves = {number: (wnid, words) for number, wnid, words, children, _ in rows if children == 0}
    if sorted(leaves) != list(range(1, len(leaves) + 1)) or len(set(leaves.values())) != len(leaves):
        raise UserError(f"prepare.source: {path}: meta.mat numbers its {len(leaves)} classes twice or with gaps")
    return leaves, {number: images for number, _, _, children, images in rows if children == 0}


def read_truth(where: str, data: bytes, synsets: Iterable[int]) -> list[int]:
    try:
        numbers = [int(line) for line in data.split()]
    except ValueError as error:
        raise UserError(f"prepare.source: {where}: not a number a line ({error})") from error
    if unknown := set(numbers) - set(synsets):
        raise UserError(f"prepare.source: {where}: class number {min(unknown)} is not in meta.mat")
    return numbers
