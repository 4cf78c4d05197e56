"""boxes.json: the result of a test of localisation or detection (OverFeat §4, §5), its images, settings and weights."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.config.identity import Settings
from alexnet_pl.evaluation.result import FitSummary
from alexnet_pl.json_records import Count, Percent, read_record
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo, LineageStage

OUTCOMES = ("right", "double", "badly placed", "wrong class", "background", "missed")
"""Outcomes of detections, and the boxes that none found."""


@dataclass(frozen=True, kw_only=True)
class BoxDescription:
    """A test of boxes without its numbers. `images`: number tested; `window`: side in pixels; `seed`: None if the
    checkpoint does not have it; `classification_val_images`: number of tested images that are also validation images of
    ILSVRC-2012's classification task. Older files lack `classification_val_images`, `trained`, `lineage` and
    `train_images_with_boxes`, and match no row of the paper."""

    task: str
    dataset: DatasetInfo
    images: Count
    checkpoint: CheckpointInfo | None = None
    classification_val_images: Count = 0
    train_images_with_boxes: Count = 0
    model: dict[str, Any]
    window: Count
    seed: Count | None = None
    finished: bool
    training: Settings | None = None
    trained: FitSummary = field(default_factory=FitSummary)
    lineage: list[LineageStage] = field(default_factory=list)
    boxes: BoxOptions
    detect: DetectOptions
    commit: str | None = None
    windows_left_out: Count = 0


@dataclass(frozen=True, kw_only=True)
class LocalisationResult(BoxDescription):
    """Errors of a localiser in percent (detection/localisation_error.py), with 95 % intervals."""

    loc_error: Percent
    loc_error_interval: list[float] = field(default_factory=list)
    loc_error_without_blacklist: Percent | None = None
    loc_error_without_blacklist_interval: list[float] | None = None
    top1_error: Percent | None = None
    top1_error_interval: list[float] = field(default_factory=list)
    top5_error: Percent
    top5_error_interval: list[float] = field(default_factory=list)
    given_class_error: Percent
    given_class_error_interval: list[float] = field(default_factory=list)
    constant_box_error: Percent
    constant_box_error_interval: list[float] = field(default_factory=list)
    constant_box_loc_error: Percent
    constant_box_loc_error_interval: list[float] = field(default_factory=list)
    constant_box: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DetectionResult(BoxDescription):
    """Average precision of a detector in percent, and the outcomes of its most confident detections."""

    objects: Count = 0
    map: Percent
    map_without_blacklist: Percent | None = None
    average_precisions: list[Percent | None] = field(default_factory=list)
    mistakes: dict[str, Count]

    def __post_init__(self) -> None:
        for name in OUTCOMES:
            if name not in self.mistakes:
                raise ValueError(f"mistakes.{name}: missing")


BoxResult = LocalisationResult | DetectionResult


def read_box_result(path: Path) -> BoxResult:
    """Read a boxes.json. Raises UserError, naming the file and the key, if it is corrupt."""
    task = read_record(path, BoxDescription, "test again").task
    return read_record(path, LocalisationResult if task == "localise" else DetectionResult, "test again")
