"""Log images, tables and files to W&B and TensorBoard."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from PIL import Image
from tabulate import tabulate

from alexnet_pl.errors import reason

Cell = str | float | bool | np.ndarray
"""Of a table; an array is an image, (height, width, 3) uint8."""


def plain_text(show: Callable[..., None]) -> Callable[..., None]:
    """Run on the first process only; an image that cannot be logged must not end the run."""

    @rank_zero_only
    @wraps(show)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            show(*args, **kwargs)
        except Exception as error:
            rank_zero_warn(f"not shown ({reason(error)})")

    return guarded


def of_wandb(loggers: Iterable[Logger]) -> list[WandbLogger]:
    return [logger for logger in loggers if isinstance(logger, WandbLogger)]


def of_tensorboard(loggers: Iterable[Logger]) -> list[TensorBoardLogger]:
    return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]


@plain_text
def log_picture(loggers: Sequence[Logger], key: str, path: Path, step: int) -> None:
    for logger in of_wandb(loggers):
        logger.log_image(key, [str(path)], step)
    for logger in of_tensorboard(loggers):
        with Image.open(path) as picture:
            logger.experiment.add_image(key, np.asarray(picture.convert("RGB")), step, dataformats="HWC")


@plain_text
def log_table(loggers: Sequence[Logger], key: str, header: list[str], rows: list[list[Cell]], step: int) -> None:
    """W&B's table; TensorBoard has none, so there it is text, without images."""
    for logger in of_wandb(loggers):
        logger.log_table(key, header, [list(map(as_wandb, row)) for row in rows], step=step)
    for logger in of_tensorboard(loggers):
        text = [[cell for cell in row if not isinstance(cell, np.ndarray)] for row in rows]
        kept = [name for name, cell in zip(header, rows[0], strict=True) if not isinstance(cell, np.ndarray)]
        logger.experiment.add_text(key, tabulate(text, kept, tablefmt="github"), step)


def as_wandb(cell: Cell) -> Any:
    import wandb

    return wandb.Image(cell) if isinstance(cell, np.ndarray) else cell


@plain_text
def log_boxes(
    loggers: Sequence[Logger], key: str, images: Sequence[tuple[Any, Any]], names: Sequence[str], step: int
) -> None:
    """Images with boxes that W&B lays over them. `images`: (3, H, W) uint8 tensors, each with what was found: `labels`,
    `scores` and `boxes` (N, 4) in pixels."""
    import wandb

    shown = [
        wandb.Image(image.permute(1, 2, 0).numpy(), boxes={"found": wandb_boxes(found, names)})
        for image, found in (images if of_wandb(loggers) else ())
    ]
    for logger in of_wandb(loggers):
        logger.log_image(key, shown, step)


def wandb_boxes(found: Any, names: Sequence[str]) -> dict[str, Any]:
    """In the format of wandb.Image."""
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


@plain_text
def log_summary(loggers: Sequence[Logger], facts: dict[str, Any], files: Iterable[Path] = ()) -> None:
    """Into the run's config, by which W&B's tables filter and group; files are kept with the run."""
    for logger in of_wandb(loggers):
        logger.experiment.config.update(facts, allow_val_change=True)
        for path in files:
            if path.is_file():
                logger.experiment.save(str(path), base_path=str(path.parent), policy="now")


@plain_text
def log_result(loggers: Sequence[Logger], result: dict[str, Any], step: int) -> None:
    """The errors as `test/…`, and in the run's summary the whole of result.json as `result`."""
    names = {"test/top1_error": "top1_error", "test/top5_error": "top5_error", "test/loss": "nll"}
    errors = {name: result[key] for name, key in names.items() if result[key] is not None}
    for logger in loggers:
        logger.log_metrics(errors, step)
    for logger in of_wandb(loggers):
        logger.experiment.summary.update({"result": result})


@plain_text
def upload_checkpoints(loggers: Sequence[Logger], paths: Iterable[Path], facts: dict[str, Any]) -> None:
    """W&B artifacts of the type `model`, one a file; offline they wait for `wandb sync`."""
    import wandb

    for logger in of_wandb(loggers):
        for path in paths:
            artifact = wandb.Artifact(f"{path.stem}-{logger.experiment.id}", "model", metadata=facts)
            artifact.add_file(str(path))
            logger.experiment.log_artifact(artifact)
