"""Files of detected boxes: JSON, CSV and COCO's results format."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet_pl.detection.finder import PredictedBoxes
from alexnet_pl.files import JsonObject, write_json

COLUMNS: tuple[str, ...] = ("file", "class", "name", "confidence", "left", "top", "right", "bottom")


def box_rows(name: str, boxes: PredictedBoxes, classes: Sequence[Sequence[str]]) -> list[JsonObject]:
    """One row per box, most confident first. Edges in pixels of the image, right and bottom exclusive."""
    return [
        dict(
            zip(
                COLUMNS,
                (name, *classes[label], round(float(score), 6), *(round(float(edge), 2) for edge in box)),
                strict=True,
            )
        )
        for label, score, box in zip(boxes.labels, boxes.scores, boxes.boxes, strict=True)
    ]


def coco_rows(image: int | str, boxes: PredictedBoxes) -> list[JsonObject]:
    """COCO's results format: category ids from 1 in the order of the classes, boxes as left, top, width, height."""
    corner, size = np.round(boxes.boxes[:, :2], 2), np.round(boxes.boxes[:, 2:] - boxes.boxes[:, :2], 2)
    return [
        {"image_id": image, "category_id": int(label) + 1, "bbox": [*xy, *wh], "score": float(score)}
        for label, score, xy, wh in zip(boxes.labels, boxes.scores, corner.tolist(), size.tolist(), strict=True)
    ]


def write_boxes(folder: Path, images: Sequence[tuple[str, PredictedBoxes]], classes: Sequence[Sequence[str]]) -> Path:
    """Write detections.json, detections.csv and detections.coco.json. Returns the path of the CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for name, boxes in images for row in box_rows(name, boxes, classes)]
    write_json(folder / "detections.json", rows)
    coco = [row for name, found in images for row in coco_rows(name, found)]
    (folder / "detections.coco.json").write_text(json.dumps(coco) + "\n")
    path = folder / "detections.csv"
    with path.open("w", newline="", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path
