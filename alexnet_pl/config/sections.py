"""Config sections that commands read key by key: types and ranges, checked before anything is loaded."""

import math
from dataclasses import dataclass
from typing import Any

from alexnet_pl.config.views import TestSection

SECTIONS = (  # mappings; the other top-level keys, in `VALUES`, are single values
    "wandb", "data", "prepare", "model", "augment", "optim", "schedule", "trainer", "test", "predict", "bench",
    "performance", "distributed", "monitor", "transfer", "ensemble", "report", "features", "probe", "retrieval",
    "codes", "boxes", "detect",
)  # fmt: skip
VALUES = ("command", "seed", "ckpt_path", "objective", "logger")
DEMO = "demo"  # value of data.name for images that the package draws, on first use
SCENES = "scenes"  # value of prepare.source for scenes that the package draws
LOGGERS = ("wandb", "tensorboard", "csv")
SCHEDULES = ("plateau", "logged", "steps", "staged", "constant")  # values of schedule.name, each with a section
VALIDATION_METRICS = ("val/top1_error", "val/top5_error", "val/loss")
OBJECTIVES = (*VALIDATION_METRICS, "train/epoch_top1_error")


@dataclass(frozen=True)
class WandbSection:
    project: str = "alexnet_pl"
    entity: str | None = None


@dataclass(frozen=True)
class PredictSection:
    images: Any = None

    def __post_init__(self) -> None:
        check_paths(self.images, "images", optional=True)


@dataclass(frozen=True)
class BenchSection:
    suite: str = "train"
    rounds: int = 5
    output: Any = None
    profile: bool = False
    minutes: float = 9
    curves: str = "imagenette"

    def __post_init__(self) -> None:
        check_paths(self.output, "output", optional=True)
        if not 0 < self.minutes < math.inf:
            raise ValueError(f"minutes={self.minutes}: above 0")
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds}: at least 1")


@dataclass(frozen=True)
class ReportSection:
    runs: Any = "runs"
    images_per_second: float | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        check_paths(self.runs, "runs")
        if self.images_per_second is not None and not 0 < self.images_per_second < math.inf:
            raise ValueError(f"images_per_second={self.images_per_second}: above 0")


def check_paths(value: Any, name: str, optional: bool = False) -> None:
    """Raise ValueError unless `value` is a path or a list of paths."""
    given = value if isinstance(value, list) else [value]
    if not (optional and value is None) and (not given or not all(isinstance(one, str) for one in given)):
        raise ValueError(f"{name}={value}: a path, or a list of paths")


READ_BY_KEY = {
    "wandb": WandbSection,
    "test": TestSection,
    "predict": PredictSection,
    "bench": BenchSection,
    "report": ReportSection,
}
