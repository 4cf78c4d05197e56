"""Tested networks: run folders with saved predictions, their averages, and errors computed by hand."""

from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pl.config.options import EnsembleOptions
from alexnet_pl.evaluation.ensemble import average_members
from alexnet_pl.evaluation.ensemble_members import find_members
from alexnet_pl.evaluation.prediction_file import Block, PredictionFile, PredictionFileWriter, concat_blocks
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.json_records import parse_record

IMAGES, CLASSES = 1500, 12
LABELS = np.random.default_rng(99).integers(0, CLASSES, IMAGES).astype(np.int32)
NAMES = [f"val/{i:04d}.jpg" for i in range(IMAGES)]
DATASET = {
    "name": "tiny", "fingerprint": "f" * 64, "split": "val", "images": IMAGES, "train_images": 10, "classes": CLASSES,
    "class_list": "c" * 64,
}  # fmt: skip


def network(
    run: Path, seed: int, sharp: float = 1.0, views: str = "ten", nonfinite: int = 0, **about: Any
) -> tuple[Path, np.ndarray]:
    """(tested run folder of a network that is right more often than not, its float32 probabilities). The first
    `nonfinite` images have only NaN as scores."""
    chance = np.random.default_rng(seed)
    logits = chance.standard_normal((IMAGES, CLASSES)) + 1.2 * np.eye(CLASSES)[LABELS]
    exact = np.exp(sharp * logits)
    exact = (exact / exact.sum(1, keepdims=True)).astype(np.float32)
    exact[:nonfinite] = np.nan
    best = np.argsort(-exact, 1, kind="stable")[:, :5].astype(np.int32)
    writer = PredictionFileWriter(run / f"results/val-{views}/probabilities.parquet", CLASSES)
    writer.add(Block(about.pop("names", NAMES), about.pop("labels", LABELS), best, exact.astype(np.float16)))
    finished = about.pop("finished", True)
    facts = {
        "dataset": DATASET | about,
        "views": views,
        "checkpoint": {"sha256": f"{seed:064d}"},
        "seed": seed,
        "finished": finished,
    }
    writer.close(parse_record({**facts, "training": {"model": {}}}, TestDescription))
    return run, exact


def errors_by_hand(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Top-1 and top-5 error in percent, comparing the label's probability with all others; there are no ties."""
    own = np.take_along_axis(probabilities, labels[:, None].astype(int), 1)
    rank = (probabilities > own).sum(1)
    return 100 * float((rank > 0).mean()), 100 * float((rank > 4).mean())


def averaged(runs: list[Path], folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, float], Block]:
    readers = find_members(runs, None, "ten")
    tested, errors = average_members(readers, EnsembleOptions(**options), folder / "average.parquet")
    assert errors is not None
    return tested, errors, concat_blocks(list(PredictionFile(folder / "average.parquet").blocks()))
