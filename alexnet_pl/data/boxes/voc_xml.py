"""Annotations in PASCAL VOC's XML, the format of ILSVRC's boxes too.

Only an object's own `bndbox` is read, not those of VOC's `part` elements. `filename` is not read, since it can be "%s"
in ILSVRC's files. Coordinates refer to the `size` in the file, which can differ from the image's.
"""

from typing import NamedTuple
from xml.etree import ElementTree

from alexnet_pl.data.boxes.annotation import MAX_PIXEL, from_inclusive
from alexnet_pl.errors import UserError

LARGEST = 2**20  # bytes; an annotation of ILSVRC has up to 50,000
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class NamedBox(NamedTuple):
    """Box with `edges` left, top, right, bottom (see `Box`) and the `name` of its class in the annotation."""

    edges: tuple[float, float, float, float]
    name: str
    difficult: bool = False


class FoundBoxes(NamedTuple):
    """Annotation of image `key`. `width`, `height`: size of the image that coordinates refer to, 0: the image's own;
    `coverage`: how completely the image was annotated (`Coverage`)."""

    key: str
    boxes: list[NamedBox]
    coverage: int
    width: int = 0
    height: int = 0


def parse_voc(data: bytes, where: str, key: str, coverage: int, first: int) -> FoundBoxes:
    """Parse an annotation file. `first`: number of an image's first pixel, 0 in ILSVRC's files and 1 in VOC's.

    Raises UserError, starting with `where`, if `data` is not such a file.
    """
    try:
        if len(data) > LARGEST:
            raise ValueError(f"{len(data):,} bytes")
        root = ElementTree.fromstring(data)
        boxes = [box for each in root.findall("object") if (box := box_of(each, first))]
        width, height = (side_of(root, name) for name in ("width", "height"))
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise UserError(f"{where}: not an annotation in VOC's XML ({error})") from error
    known = width > 0 and height > 0
    return FoundBoxes(key, boxes, coverage, *((width, height) if known else (0, 0)))


def side_of(root: ElementTree.Element, name: str) -> int:
    """Width or height in `size`; 0 if it is missing. Raises ValueError for a value that is not the side of an image."""
    side = float(root.findtext(f"size/{name}") or 0)
    if not side < MAX_PIXEL:
        raise ValueError(f"{name}={side}: not the side of an image")
    return int(max(side, 0))


def box_of(element: ElementTree.Element, first: int) -> NamedBox | None:
    """Parse an `object`; None if its box has no extent. Raises ValueError if a coordinate is missing or no number."""
    x1, y1, x2, y2 = (float((element.findtext(f"bndbox/{name}") or "").strip()) for name in CORNERS)
    edges = from_inclusive((x1, y1, x2, y2), first)
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    return NamedBox(edges, (element.findtext("name") or "").strip(), difficult) if edges else None
