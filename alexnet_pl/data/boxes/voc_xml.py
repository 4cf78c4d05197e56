"""Annotations in PASCAL VOC's XML, as ILSVRC's boxes are, too.

Of an object only its own `bndbox` counts: VOC's `part` elements have one each, too. `filename` is not read: in ILSVRC's
files it can be "%s". Coordinates are of the `size` that the file itself tells, which can differ from the image's.
"""

from typing import NamedTuple
from xml.etree import ElementTree

from alexnet_pl.data.boxes.annotation import from_inclusive
from alexnet_pl.errors import UserError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class NamedBox(NamedTuple):
    """`edges`: left, top, right, bottom (see `Box`); `name`: the class as the annotation names it."""

    edges: tuple[float, float, float, float]
    name: str
    difficult: bool = False


class FoundBoxes(NamedTuple):
    """What one annotation says of image `key`. `width`, `height`: of the image that its coordinates are of, 0: of the
    image itself; `coverage`: how much of the image was annotated."""

    key: str
    boxes: list[NamedBox]
    coverage: int
    width: int = 0
    height: int = 0


def parse_voc(data: bytes, where: str, key: str, coverage: int, first: int) -> FoundBoxes:
    """`first`: the number of an image's first pixel, 0 in ILSVRC's files and 1 in VOC's. Raises UserError that begins
    with `where` for anything else than such a file."""
    try:
        root = ElementTree.fromstring(data)
        boxes = [box for each in root.findall("object") if (box := box_of(each, first))]
        width, height = (int(float(root.findtext(f"size/{name}") or 0)) for name in ("width", "height"))
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise UserError(f"{where}: not an annotation in VOC's XML ({error})") from error
    known = width > 0 and height > 0
    return FoundBoxes(key, boxes, coverage, *((width, height) if known else (0, 0)))


def box_of(element: ElementTree.Element, first: int) -> NamedBox | None:
    """Raises ValueError where a coordinate is missing or no number."""
    x1, y1, x2, y2 = (float((element.findtext(f"bndbox/{name}") or "").strip()) for name in CORNERS)
    edges = from_inclusive((x1, y1, x2, y2), first)
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    return NamedBox(edges, (element.findtext("name") or "").strip(), difficult) if edges else None
