"""Sizes and bounding boxes of a shard's images, collected while the shard is written and merged at the end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet_pl.data.boxes.annotation import UNANNOTATED, ImageBoxes, relative_boxes
from alexnet_pl.data.sources.base import ImageRecord
from alexnet_pl.data.store.whole import BOX

NAMES = ("shapes", "counts", "boxes", "coverage")
"""Arrays in a shard's metadata file: (records, 4) sizes, boxes per record, the boxes of all records, and coverage."""


class BoxCollector:
    """Collects sizes and boxes of images while they are written."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.found: list[ImageBoxes] = []

    def add(self, item: ImageRecord, image: np.ndarray | None, original: tuple[int, int]) -> dict[str, str] | None:
        """Add an image, (3, height, width) as stored, or None; `original`: (height, width) of its file.

        Returns the entry for odd.json if its annotation has a wrong size, else None.
        """
        stored = (0, 0) if image is None else image.shape[1:]
        annotation = UNANNOTATED if image is None or item.annotation is None else item.annotation
        self.shapes.append((*original, *stored))
        found = relative_boxes(annotation, original[1], original[0])
        self.found.append(found)
        return {"name": item.name, "what": found.note[0], "done": found.note[1]} if found.note else None

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays for the metadata file, by the names in `NAMES`."""
        return {
            "shapes": np.array(self.shapes, np.int32).reshape(-1, 4),
            "counts": np.array([len(each.labels) for each in self.found], np.int64),
            "boxes": np.concatenate([np.empty(0, BOX), *map(structured, self.found)]),
            "coverage": np.array([each.coverage for each in self.found], np.uint8),
        }


def structured(found: ImageBoxes) -> np.ndarray:
    """(n,) records of type `BOX` (see store/whole.py)."""
    boxes = np.empty(len(found.labels), BOX)
    boxes["edges"], boxes["label"], boxes["difficult"] = found.edges, found.labels, found.difficult
    return boxes


def save_box_arrays(root: Path, split: str, shards: Sequence[dict[str, np.ndarray]]) -> int:
    """Write the sizes and boxes of a split, merged from its shards; return the number of boxes."""
    merged = {name: np.concatenate([part[name] for part in shards]) for name in NAMES}
    files = {
        "sizes": merged["shapes"],
        "boxes": merged["boxes"],
        "box_offsets": np.concatenate([[0], np.cumsum(merged["counts"])]).astype(np.int64),
        "coverage": merged["coverage"],
    }
    for kind, values in files.items():
        np.save(root / f"{split}.{kind}.npy", values, allow_pickle=False)
    return len(merged["boxes"])
