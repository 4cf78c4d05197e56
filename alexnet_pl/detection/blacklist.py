"""Blacklists of ILSVRC's development kits: validation images with ambiguous boxes, excluded from a second error rate.

    ILSVRC2014_clsloc_validation_blacklist.txt    one image number per line: 1,762 of the 50,000 images (since 2013)
    ILSVRC2015_det_validation_blacklist.txt       one image number and WordNet id per line, for that class only

Image numbers start at 1, in the order of the images' names.
"""

from collections.abc import Sequence
from pathlib import Path

from alexnet_pl.errors import UserError


def read_lines(path: str, columns: int, wanted: str) -> list[list[str]]:
    """Read lines of `columns` words. Raises UserError, naming the file, if it cannot be read or a line is different."""
    try:
        lines = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"detect.blacklist: {path}: cannot be read ({error})") from error
    for words in lines:
        if len(words) != columns or not words[0].isdecimal() or words[0] == "0":
            raise UserError(f"detect.blacklist: {path}: {' '.join(words)[:60]!r}: not {wanted}")
    return lines


def read_image_blacklist(path: str | None) -> set[int]:
    """Read a blacklist for localisation: image indices, from 0; empty if `path` is None."""
    return {int(number) - 1 for (number,) in read_lines(path, 1, "an image number")} if path else set()


def read_object_blacklist(path: str | None, wnids: Sequence[str]) -> set[tuple[int, int]]:
    """Read a blacklist for detection: (image index, class index) pairs; empty if `path` is None.

    `wnids`: WordNet ids of the classes. Raises UserError if the file has another class.
    """
    if not path:
        return set()
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    lines = read_lines(path, 2, "an image number and a class's id")
    if unknown := [wnid for _, wnid in lines if wnid not in labels]:
        raise UserError(f"detect.blacklist: {path}: {unknown[0]} is no class of this detector")
    return {(int(number) - 1, labels[wnid]) for number, wnid in lines}
