"""Index of bounding boxes by image, stored in arrays: ILSVRC's 615,000 training boxes take 30 MB."""

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import numpy as np

from alexnet_pl.data.boxes.annotation import Annotation, Box
from alexnet_pl.data.boxes.voc_xml import FoundBoxes
from alexnet_pl.digests import name_digest
from alexnet_pl.errors import UserError

IMAGENET = re.compile(r"(n\d{8}_\d+|ILSVRC\d{4}_(?:train|val|test)_\d+)(?:_n\d{8})?")
SHOWN = 5  # unknown class names in a message


def image_key(name: str) -> str:
    """Key that an image shares with its annotation: for ImageNet, its unique name without the wnid that Hugging Face
    appends; for other images, the path without the file's suffix."""
    path = PurePosixPath(name)
    if found := IMAGENET.fullmatch(path.stem):
        return found[1]
    return str(path.with_suffix("")) if path.suffix else name


class BoxIndex:
    """Annotations by image. `images`, `boxes`: number of annotated images and of boxes; `unknown`: number of boxes
    whose class the store lacks, by class name."""

    def __init__(self, found: Iterable[FoundBoxes]) -> None:
        keys, counts, names = array("Q"), array("q"), array("i")
        edges, difficult, about = array("d"), array("b"), array("i")
        numbers: dict[str, int] = {}
        for each in found:
            keys.append(name_digest(each.key))
            counts.append(len(each.boxes))
            about.extend((each.coverage, each.width, each.height))
            for box in each.boxes:
                edges.extend(box.edges)
                difficult.append(box.difficult)
                names.append(numbers.setdefault(box.name, len(numbers)))
        order = np.argsort(np.frombuffer(keys, np.uint64), kind="stable")
        self.keys, self.order = np.frombuffer(keys, np.uint64)[order], order
        self.offsets = np.concatenate([[0], np.cumsum(np.frombuffer(counts, np.int64))]).astype(np.int64)
        self.edges = np.frombuffer(edges, np.float64).reshape(-1, 4).astype(np.float32)
        self.difficult, self.ids = np.frombuffer(difficult, np.int8), np.frombuffer(names, np.int32)
        self.about = np.frombuffer(about, np.int32).reshape(-1, 3)
        self.used = np.zeros(len(self.keys), bool)
        self.unknown: Counter[str] = Counter()
        self.known = list(numbers)
        self.images, self.boxes = len(self.keys), len(self.edges)

    @classmethod
    def read(cls, *found: Callable[[], Iterable[FoundBoxes]]) -> "BoxIndex":
        """Index all boxes that the functions `found` yield."""
        return cls(each for one in found for each in one())

    def annotation(self, image: str, label: int, classes: Mapping[str, int]) -> Annotation | None:
        """Annotation of an image, given its name and class index; None if it has none. `classes`: class index by name.

        A box whose name is not in `classes` gets the image's own class if the image is one of ImageNet's, where some
        dogs have a readable name; otherwise it has no class, −1, so that training does not take it for background.
        Raises UserError if an image has two different annotations or two images have the same one.
        """
        if (found := self.find(image)) is None:
            return None
        other = label if IMAGENET.fullmatch(PurePosixPath(image).stem) else -1
        coverage, width, height = self.about[found].tolist()
        boxes = []
        for row in range(*self.offsets[found : found + 2].tolist()):
            name = self.known[self.ids[row]]
            if (label_of_box := classes.get(name, other)) < 0:
                self.unknown[name] += 1
            left, top, right, bottom = self.edges[row].tolist()
            boxes.append(Box(left, top, right, bottom, label_of_box, bool(self.difficult[row])))
        return Annotation(boxes, coverage, width, height)

    def find(self, image: str) -> int | None:
        """Index of the annotation whose key is the image's path or the longest end of it; None if there is none. Equal
        annotations count as one."""
        parts = image_key(image).split("/")
        for start in range(len(parts)):
            wanted = name_digest("/".join(parts[start:]))
            begin, end = np.searchsorted(self.keys, wanted), np.searchsorted(self.keys, wanted, "right")
            if begin == end:
                continue
            name, found = "/".join(parts[start:]), self.order[begin:end].tolist()
            if self.used[begin]:
                raise UserError(
                    f"prepare.boxes: {name} is the name of two images; put each annotation in a folder that is named "
                    "as its image's"
                )
            if any(self.content(each) != self.content(found[0]) for each in found):
                raise UserError(
                    f"prepare.boxes: {name} has two annotations with different boxes; if they are of one image, remove "
                    "one; else put each in a folder that is named as its image's"
                )
            self.used[begin:end] = True
            return found[0]
        return None

    def content(self, number: int) -> list[list[object]]:
        """Annotation `number`, to compare with another of the same image, as in an archive and its unpacked folder."""
        rows = slice(*self.offsets[number : number + 2].tolist())
        return [part.tolist() for part in (self.about[number], self.edges[rows], self.difficult[rows], self.ids[rows])]

    def describe_unused(self) -> Iterator[str]:
        """After all images: sentences on boxes without a class of the store, and on annotations without an image."""
        if self.unknown:
            names = ", ".join(f"{name!r} {count:,}" for name, count in self.unknown.most_common(SHOWN))
            more = f" and {len(self.unknown) - SHOWN} more classes" if len(self.unknown) > SHOWN else ""
            yield f"boxes of classes that the store lacks, kept without a class: {names}{more}"
        if unmatched := int((~self.used).sum()):
            yield f"{unmatched:,} of {self.images:,} annotations match no image"
