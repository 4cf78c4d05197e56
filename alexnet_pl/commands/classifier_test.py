"""Describe a test of a network, run it, and print its result."""

from dataclasses import replace
from pathlib import Path

import lightning as L
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.neutral import is_neutral
from alexnet_pl.config.views import describe_views
from alexnet_pl.console import print_message, shorten_path
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dataset_info import describe_dataset
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.evaluation.prediction_writer import (
    PredictionWriter,
    check_space_of_predictions,
    should_save_predictions,
)
from alexnet_pl.evaluation.result import TestDescription, TestResult, append_top5, describe_weights, read_result
from alexnet_pl.paper import matching
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import read_import
from alexnet_pl.runs.layout import PROBABILITIES, RESULT
from alexnet_pl.training.classifier import Classifier


def describe_test(cfg: DictConfig, module: Classifier, data: ImageStore) -> TestDescription:
    """Describe a test before it runs: images, weights, earlier runs, and the row of the paper that it reproduces."""
    path = Path(cfg.ckpt_path)
    weights, imported = describe_weights(path), read_import(read_checkpoint(path)["alexnet_pl"])
    if weights["seed"] is None and imported is None:
        weights["seed"] = cfg.seed
    dataset = describe_dataset(data.store, data.test_split_name)
    tested = TestDescription(dataset=dataset, views=module.views, imported=imported, **weights)
    complete = tested.training and is_neutral("limit_test_batches", OmegaConf.select(cfg, "trainer.limit_test_batches"))
    return replace(tested, claim=matching.matching_claim(tested) if complete else None)


def run_test(
    cfg: DictConfig, trainer: L.Trainer, module: Classifier, data: ImageStore, results: Path
) -> TestDescription:
    """Test `module` and return the description of the test. Predictions are saved in `results`. Raises UserError if a
    shortened test would replace one of all images."""
    tested = describe_test(cfg, module, data)
    images, classes = tested.dataset.images, tested.dataset.classes
    refuse_shortened(cfg, "limit_test_batches", data.batch_size, images, results)
    saved = should_save_predictions(cfg.test.save_predictions, images, classes)
    if saved:
        check_space_of_predictions(results, images, classes)
    trainer.callbacks.append(PredictionWriter(results / PROBABILITIES, data.store, tested, saved))  # type: ignore[attr-defined]
    trainer.test(module, datamodule=data, verbose=False)
    return tested


def refuse_shortened(cfg: DictConfig, key: str, batch_size: int, images: int, results: Path) -> None:
    """Raise UserError if a test of fewer than all `images` would replace one of all, in a folder or its result file.
    `key`: the option of the trainer that limits it."""
    limit = cfg.trainer.get(key)
    if not is_neutral(key, limit) and limit * batch_size < images and holds_full_test(results):
        raise UserError(
            f"trainer.{key}={limit}: {shorten_path(results)} has a test of all images, which one of fewer would "
            "replace; move it away, or leave out the limit"
        )


def holds_full_test(results: Path) -> bool:
    """Whether a folder, or its result file, has the result of a test of all images, or the folder has the predictions
    for all where labels are unknown."""
    path = results / RESULT if results.is_dir() else results
    if path.is_file():
        result = read_result(path)
        return result.images == result.dataset.images
    if not (results / PROBABILITIES).is_file():
        return False
    reader = PredictionFile(results / PROBABILITIES)
    return reader.rows == reader.test.dataset.images


def last_metrics(module: Classifier) -> dict[str, float]:
    """Metrics of the last validation or test."""
    return {name: float(value) for name, value in module.last_metrics.items()}


def print_test_result(result: TestResult, path: Path) -> None:
    """Print images, views and errors of a result in one line."""
    dataset = result.dataset
    part = f" of {dataset.images:,}" if result.images != dataset.images else ""
    incomplete = " (of an incomplete copy)" if dataset.missing else ""
    low, high = result.top1_error_interval
    print_message(
        f"{dataset.name}, {result.images:,}{part} {dataset.split} images{incomplete}, {describe_views(result.views)}: "
        f"top-1 error {result.top1_error:.2f} % (95 %: {low:.2f} to {high:.2f})"
        + append_top5(dataset.classes, result.top5_error)
        + (f"; reproduces {result.claim}" if result.claim else "")
        + (f"; weights of {result.imported.file} ({result.imported.format})" if result.imported else "")
        + ("" if result.finished or result.imported else "; not the last weights of a finished fit"),
        path,
    )
