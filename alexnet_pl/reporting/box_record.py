"""boxes.json: the keys of a test of localisation or detection (OverFeat §4 and §5) that tables use, and their types."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alexnet_pl.detection.outcomes import OUTCOMES
from alexnet_pl.errors import UserError, reason
from alexnet_pl.evaluation.result import FitSummary
from alexnet_pl.files import JsonObject, parse_record, parse_value
from alexnet_pl.runs.records import LineageStage

LOCALISER_METRICS = ("loc_error", "top5_error", "given_class_error", "constant_box_error", "constant_box_loc_error")


@dataclass(frozen=True)
class BoxDataset:
    name: str
    fingerprint: str
    split: str
    images: int
    train_images: int


@dataclass(frozen=True)
class BoxTraining:
    task: str
    per_class: bool
    scales: list[int]
    random_negatives: int
    hard_negatives: int


@dataclass(frozen=True)
class BoxSearch:
    scales: list[int]
    positions: str
    combine: str
    score: str
    weight: str
    least_score: float
    zoom: float | None


@dataclass(frozen=True)
class BoxTestRecord:
    """`seed`: None if the checkpoint does not say it. `classification_val_images`: tested images that ILSVRC-2012's
    classification task has too. Older records lack this and the keys below, and match no row of the paper."""

    task: str
    dataset: BoxDataset
    images: int
    model: dict[str, Any]
    window: int
    finished: bool
    boxes: BoxTraining
    detect: BoxSearch
    seed: int | None = None
    classification_val_images: int = 0
    training: dict[str, Any] | None = None
    trained: FitSummary | None = None
    lineage: list[LineageStage] = field(default_factory=list)
    train_images_with_boxes: int = 0


def read_box_test(path: Path) -> JsonObject:
    """Read a boxes.json. Raises UserError, naming the file and the key, if it is corrupt."""
    try:
        test = json.loads(path.read_text())
        parse_record(test, BoxTestRecord)
        numbers = LOCALISER_METRICS if test["task"] == "localise" else ("map",)
        for name in numbers:
            parse_value(test.get(name), float, name)
        if test["task"] != "localise":
            for name in OUTCOMES:
                parse_value(parse_value(test.get("mistakes"), dict, "mistakes").get(name), int, f"mistakes.{name}")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: corrupt, or not a test of boxes ({reason(error)}); test again") from error
    return {"seed": None, **test}
