"""Config sections `boxes` and `detect` (OverFeat §4, §5): training a box network, and finding boxes in an image."""

from dataclasses import dataclass, field

from omegaconf import DictConfig

from alexnet_pl.config.schema import instantiate, read_section
from alexnet_pl.config.views import check_choice, check_scales

TASKS = ("localise", "detect")


@dataclass(frozen=True)
class BoxOptions:
    """Section `boxes`; its keys are described in configs/_boxes.yaml."""

    task: str
    per_class: bool = False
    units: list[int] = field(default_factory=lambda: [4096, 1024])
    scales: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5, 6])
    zoom: float = 1.0
    overlap: str = "box"
    windows: int = 16
    flip: bool = True
    fine_tune: str = "all"
    positives: int = 16
    random_negatives: int = 8
    hard_negatives: int = 8

    def __post_init__(self) -> None:
        check_choice("task", self.task, TASKS)
        check_choice("overlap", self.overlap, ("box", "iou"))
        check_choice("fine_tune", self.fine_tune, ("all", "classifier"))
        check_scales(self.scales)
        if len(self.units) != 2 or min(self.units) < 1:
            raise ValueError(f"units={self.units}: two numbers of units")
        check_zoom(self.zoom)
        for name in ("windows", "positives"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1")
        if min(self.random_negatives, self.hard_negatives) < 0:
            raise ValueError("random_negatives, hard_negatives: at least 0")


@dataclass(frozen=True)
class DetectOptions:
    """Section `detect`; its keys are described in configs/_boxes.yaml."""

    scales: list[int] | None = None
    zoom: float | None = None
    positions: str = "all"
    classes: int = 5
    least_score: float = 0.0
    combine: str = "merge"
    threshold: float = 0.5
    score: str = "normalized"
    weight: str = "count"
    iou: float = 0.5
    rule: str = "ilsvrc"
    blacklist: str | None = None
    confidence: float = 0.5
    show: int = 8

    def __post_init__(self) -> None:
        check_choice("positions", self.positions, ("all", "center"))
        check_choice("combine", self.combine, ("merge", "nms"))
        check_choice("score", self.score, ("normalized", "literal"))
        check_choice("weight", self.weight, ("count", "pair"))
        check_choice("rule", self.rule, ("ilsvrc", "voc", "voc2007"))
        if self.scales is not None:
            check_scales(self.scales)
        if self.zoom is not None:
            check_zoom(self.zoom)
        if self.classes < 1 or self.show < 0:
            raise ValueError(f"classes={self.classes}: at least 1; show={self.show}: at least 0")
        if not 0 <= self.least_score < 1:
            raise ValueError(f"least_score={self.least_score}: from 0 to 1")
        if not 0 < self.iou <= 1 or self.threshold < 0:
            raise ValueError(f"iou={self.iou}: above 0 and at most 1; threshold={self.threshold}: at least 0")


def check_zoom(zoom: float) -> None:
    if not 0.25 <= zoom <= 8:
        raise ValueError(f"zoom={zoom}: from 0.25 to 8")


def make_box_options(cfg: DictConfig) -> BoxOptions:
    return instantiate(BoxOptions, cfg.boxes, "boxes")


def make_detect_options(cfg: DictConfig) -> DetectOptions:
    return read_section(DetectOptions, cfg, "detect")
