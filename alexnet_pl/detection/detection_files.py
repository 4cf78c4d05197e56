"""Files of detected boxes: JSON, CSV and COCO's results format."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from alexnet_pl.csv_file import write_csv
from alexnet_pl.detection.finder import PredictedBoxes
from alexnet_pl.json_records import JsonObject
from alexnet_pl.temporary_files import replacing

COLUMNS: tuple[str, ...] = ("file", "class", "name", "confidence", "left", "top", "right", "bottom")


def box_rows(name: str, boxes: PredictedBoxes, classes: Sequence[Sequence[str]]) -> Iterator[JsonObject]:
    """Yield one row per box, most confident first. Edges in pixels of the image, right and bottom exclusive."""
    for label, score, box in zip(boxes.labels, boxes.scores, boxes.boxes, strict=True):
        values = name, *classes[label], round(float(score), 6), *(round(float(edge), 2) for edge in box)
        yield dict(zip(COLUMNS, values, strict=True))


def coco_rows(image: int | str, boxes: PredictedBoxes) -> Iterator[JsonObject]:
    """COCO's results format: category ids from 1 in the order of the classes, boxes as left, top, width, height."""
    corner, size = np.round(boxes.boxes[:, :2], 2), np.round(boxes.boxes[:, 2:] - boxes.boxes[:, :2], 2)
    for label, score, xy, wh in zip(boxes.labels, boxes.scores, corner.tolist(), size.tolist(), strict=True):
        yield {"image_id": image, "category_id": int(label) + 1, "bbox": [*xy, *wh], "score": float(score)}


def write_boxes(folder: Path, images: Sequence[tuple[str, PredictedBoxes]], classes: Sequence[Sequence[str]]) -> Path:
    """Write detections.json, detections.csv and detections.coco.json, row by row: there may be millions. Returns the
    path of the CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "detections.json", (row for name, boxes in images for row in box_rows(name, boxes, classes)))
    write_rows(folder / "detections.coco.json", (row for name, boxes in images for row in coco_rows(name, boxes)))
    path = folder / "detections.csv"
    write_csv(path, COLUMNS, (row.values() for name, boxes in images for row in box_rows(name, boxes, classes)))
    return path


def write_rows(path: Path, rows: Iterable[JsonObject]) -> None:
    """Write a JSON array with one row per line, replacing the file atomically."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, row in enumerate(rows):
            file.write(f"{',' if number else ''}\n{json.dumps(row)}")
        file.write("\n]\n")
