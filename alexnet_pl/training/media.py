"""Log images, tables and files to W&B and TensorBoard."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import yaml
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.console import print_warning
from alexnet_pl.errors import reason
from alexnet_pl.evaluation.result import TestResult
from alexnet_pl.json_records import to_json
from alexnet_pl.training.wandb_logger import SafeWandbLogger

Cell = str | float | bool | np.ndarray
"""Value in a table; an array is an image, (height, width, 3) uint8."""


def log_safely(log: Callable[..., None]) -> Callable[..., None]:
    """Decorator: run on the first process only, and turn errors into a warning, so that logging never ends a run."""

    @rank_zero_only
    @wraps(log)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            log(*args, **kwargs)
        except Exception as error:
            print_warning(f"not logged ({reason(error)})")

    return guarded


def select_wandb(loggers: Iterable[Logger]) -> list[SafeWandbLogger]:
    return [logger for logger in loggers if isinstance(logger, SafeWandbLogger) and not logger.is_off]


def select_tensorboard(loggers: Iterable[Logger]) -> list[TensorBoardLogger]:
    return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]


@log_safely
def log_picture(loggers: Sequence[Logger], key: str, path: Path, step: int) -> None:
    for logger in select_wandb(loggers):
        logger.log_image(key, [str(path)], step)
    for logger in select_tensorboard(loggers):
        with Image.open(path) as picture:
            logger.experiment.add_image(key, np.asarray(picture.convert("RGB")), step, dataformats="HWC")


@log_safely
def log_table(loggers: Sequence[Logger], key: str, header: list[str], rows: list[list[Cell]], step: int) -> None:
    """Log a W&B table; in TensorBoard, which has no tables, text without the images."""
    for logger in select_wandb(loggers):
        logger.log_table(key, header, [list(map(to_wandb, row)) for row in rows], step=step)
    for logger in select_tensorboard(loggers):
        text = [[cell for cell in row if not isinstance(cell, np.ndarray)] for row in rows]
        names = [name for name, cell in zip(header, rows[0], strict=True) if not isinstance(cell, np.ndarray)]
        logger.experiment.add_text(key, tabulate(text, names, tablefmt="github"), step)


def to_wandb(cell: Cell) -> Any:
    import wandb

    return wandb.Image(cell) if isinstance(cell, np.ndarray) else cell


@log_safely
def log_boxes(
    loggers: Sequence[Logger], key: str, images: Sequence[tuple[Any, Any]], names: Sequence[str], step: int
) -> None:
    """Log images with boxes that W&B overlays. `images`: ((3, H, W) uint8, boxes) pairs; the boxes have `labels`,
    `scores` and `boxes` (N, 4) in pixels."""
    if not images or not (wandb_loggers := select_wandb(loggers)):
        return
    height, width = (max(image.shape[axis] for image, _ in images) for axis in (1, 2))
    pixels = [pad_image(image, height, width).permute(1, 2, 0).numpy() for image, _ in images]
    boxes = [{"found": wandb_boxes(found, names)} for _, found in images]
    for logger in wandb_loggers:
        logger.log_image(key, pixels, step, boxes=boxes)


def pad_image(image: Tensor, height: int, width: int) -> Tensor:
    """Pad an image to the right and bottom with gray, since W&B scales all images of a key as if they had the first
    one's size."""
    return F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1]), value=128)


def wandb_boxes(found: Any, names: Sequence[str]) -> dict[str, object]:
    """Convert boxes to the format of wandb.Image."""
    edges = ("minX", "minY", "maxX", "maxY")
    rows = [
        {
            "position": dict(zip(edges, map(float, box), strict=True)),
            "domain": "pixel",
            "class_id": int(label),
            "box_caption": f"{names[label]} {score:.2f}",
            "scores": {"confidence": float(score)},
        }
        for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
    ]
    return {"box_data": rows, "class_labels": dict(enumerate(names))}


@log_safely
def log_summary(loggers: Sequence[Logger], key: str, values: dict[str, object]) -> None:
    """Add `values` to the config of the W&B run, for filtering and grouping in its tables; in TensorBoard, write them
    as a text named `key`."""
    for logger in select_wandb(loggers):
        logger.experiment.config.update(values, allow_val_change=True)
    log_text(loggers, key, values)


@log_safely
def upload_file(loggers: Sequence[Logger], path: Path) -> None:
    """Add a file to the W&B run."""
    for logger in select_wandb(loggers):
        logger.experiment.save(str(path), base_path=str(path.parent), policy="now")


def log_text(loggers: Sequence[Logger], key: str, values: dict[str, object]) -> None:
    """Write `values` to TensorBoard as YAML, indented so that its Markdown shows the lines as they are."""
    for logger in select_tensorboard(loggers):
        logger.experiment.add_text(key, indent(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), "    "))


@log_safely
def log_result(loggers: Sequence[Logger], result: TestResult) -> None:
    """Log the errors as `test/…`, and the content of result.json as `result` in the summary of the W&B run or as the
    text `test/result` in TensorBoard."""
    errors = {"test/top1_error": result.top1_error, "test/top5_error": result.top5_error}
    if result.nll is not None:
        errors["test/loss"] = result.nll
    for logger in loggers:
        logger.log_metrics(errors, result.checkpoint.step)
    for logger in select_wandb(loggers):
        logger.experiment.summary.update({"result": to_json(result)})
    log_text(loggers, "test/result", to_json(result))


@log_safely
def upload_checkpoints(loggers: Sequence[Logger], paths: Iterable[Path], metadata: dict[str, object]) -> None:
    """Upload checkpoints as W&B artifacts of type `model`, one per file; offline they wait for `wandb sync`."""
    import wandb

    for logger in select_wandb(loggers):
        for path in paths:
            artifact = wandb.Artifact(f"{path.stem}-{logger.experiment.id}", "model", metadata=metadata)
            artifact.add_file(str(path))
            logger.experiment.log_artifact(artifact)
