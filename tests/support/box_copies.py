"""Copies of PASCAL VOC: photographs and annotations as its archives hold them."""

from pathlib import Path

from copies import photo, write

from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store
from alexnet_pl.data.store.store import Store

SIDE = 20  # the photographs have 24 × 20 pixels


def annotation(*objects: tuple[str, int, int, int, int, int]) -> bytes:
    """XML of objects given as (name, difficult, xmin, ymin, xmax, ymax)."""
    found = "".join(
        f"<object><name>{name}</name><truncated>0</truncated><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin>"
        f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, difficult, x1, y1, x2, y2 in objects
    )
    size = "<size><width>24</width><height>20</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>%s</filename>{size}{found}</annotation>".encode()


OBJECTS = {
    "000001": [("dog", 0, 1, 1, 24, 20)],
    "000002": [("cat", 0, 2, 3, 5, 6), ("dog", 0, 10, 10, 20, 20), ("cat", 1, 1, 1, 24, 20)],
    "000003": [],
    "000004": [("cat", 0, 5, 5, 15, 15)],
}


def voc(root: Path) -> Path:
    year = root / "VOCdevkit/VOC2007"
    write(year / "Annotations", {f"{name}.xml": annotation(*objects) for name, objects in OBJECTS.items()})
    write(year / "JPEGImages", {f"{name}.jpg": photo(40 * i + 20) for i, name in enumerate(OBJECTS)})
    lists = {"train": "000001\n000002\n", "val": "000003\n000004\n"}
    write(year / "ImageSets/Main", {f"{split}.txt": text.encode() for split, text in lists.items()})
    return root


def prepared(source: Path, root: Path, **more: object) -> Store:
    options = {"name": "copy", "size": SIDE, "source": str(source), "encoding": "whole", "workers": 1}
    make_store(PrepareOptions(str(root), **(options | more)))  # type: ignore[arg-type]
    return Store(root)
