"""Linear probe: logistic regression on a network's features, with all training images or a few per class."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.options import ProbeOptions
from alexnet_pl.console import progress
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import Sample, mean_ci, wilson_interval
from alexnet_pl.evaluation.logistic_regression import (
    FeatureRows,
    LinearClassifier,
    count_all_errors,
    draw_by_class,
    fit_penalties,
    memory_of_fit,
    split_by_class,
)
from alexnet_pl.json_records import Count, NonNegative, Percent
from alexnet_pl.retrieval.features import VALUES, Features
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo, Schema
from alexnet_pl.runtime.available_memory import available_memory

DRAWS = 5  # of the images of a few-shot table
FEW_SHOT_PENALTY = 1e-3  # too few images to choose one


@dataclass(frozen=True, kw_only=True)
class PenaltyError:
    """Error in percent on the held-out training images with one penalty."""

    penalty: NonNegative
    held_out_error: Percent


@dataclass(frozen=True, kw_only=True)
class ShotsResult:
    """Errors in percent with `shots` training images per class, over `draws` random draws, with their 95 % interval."""

    shots: Count
    draws: Count
    top1_error: Percent
    top1_error_interval: list[float]
    errors: list[Percent]


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """Record of a probe. `penalty`: weight of the L2 penalty, chosen among `penalties` on `held_out` training images;
    95 % intervals over the `images` of `dataset` by Wilson's score; `seconds`: time of the fits, without features."""

    schema: Schema = 1
    layer: str
    width: Count
    checkpoint: CheckpointInfo
    trained_on: DatasetInfo
    dataset: DatasetInfo
    penalty: NonNegative
    penalties: list[PenaltyError]
    held_out: Count
    seed: Count
    images: Count
    top1_error: Percent
    top5_error: Percent
    top1_error_interval: list[Percent]
    top5_error_interval: list[Percent]
    few_shot_penalty: NonNegative
    shots: list[ShotsResult] = field(default_factory=list)
    seconds: NonNegative
    commit: str | None = None


class LabelledFeatures(NamedTuple):
    """Features with labels (N,) int64."""

    features: FeatureRows
    labels: Tensor

    def rows(self, numbers: np.ndarray) -> "LabelledFeatures":
        index = torch.from_numpy(numbers)
        here = self.features.rows(index.to(self.features.values.device))
        return LabelledFeatures(here, self.labels[index.to(self.labels.device)])


def load_features(features: Features, classes: int, device: torch.device) -> LabelledFeatures:
    """Load features to a GPU if a fit then still has memory, else map them into memory, to be read block by block.
    Raises UserError if an image has no label."""
    if (features.labels < 0).any():
        raise UserError(f"{features.folder}: some images have no label; a probe needs labels of all images")
    values = torch.from_numpy(np.load(features.folder / VALUES, mmap_mode="c"))  # "r" would make torch warn
    needed = values.nbytes + memory_of_fit(classes, features.width)
    if device.type == "cuda" and needed < available_memory(device):
        values = values.to(device)
    return LabelledFeatures(FeatureRows(values, device=device), torch.from_numpy(features.labels).to(device))


def check_memory(classes: int, width: int, layer: str, device: torch.device) -> None:
    """Raise UserError if a fit needs more memory than the device has."""
    needed, available = memory_of_fit(classes, width), available_memory(device)
    if needed > available:
        raise UserError(
            f"probe.layer={layer}: fitting {classes:,} classes to {width:,} numbers takes {needed / 1e9:,.0f} GB of "
            f"memory; there are {available / 1e9:,.0f}; choose a layer with fewer numbers"
        )


def probe_features(
    train: Features, test: Features, classes: int, options: ProbeOptions, seed: int, device: torch.device
) -> ProbeResult:
    """Choose the penalty on held-out training images, then fit and test with all training images and with few shots."""
    train.check_comparable(test)
    start = time.perf_counter()
    trained_on, tested = load_features(train, classes, device), load_features(test, classes, device)
    errors, held_out = held_out_errors(trained_on, classes, options, seed)
    best = min(errors, key=lambda one: (one.held_out_error, -one.penalty)).penalty
    classifier = fit_one(trained_on, classes, best)
    top1, top5 = count_all_errors(classifier, *tested)
    few = [few_shots(trained_on, tested, classes, shots, seed) for shots in options.shots]
    count = len(test)
    return ProbeResult(
        layer=train.info.layer,
        width=train.width,
        checkpoint=train.info.checkpoint,
        trained_on=train.info.dataset,
        dataset=test.info.dataset,
        penalty=best,
        penalties=errors,
        held_out=held_out,
        seed=seed,
        images=count,
        top1_error=100 * top1 / count,
        top5_error=100 * top5 / count,
        top1_error_interval=list(wilson_interval(top1, count)),
        top5_error_interval=list(wilson_interval(top5, count)),
        few_shot_penalty=FEW_SHOT_PENALTY,
        shots=few,
        seconds=time.perf_counter() - start,
    )


def held_out_errors(
    trained_on: LabelledFeatures, classes: int, options: ProbeOptions, seed: int
) -> tuple[list[PenaltyError], int]:
    """Return (errors by penalty, largest penalty first; number of held-out images).

    Raises UserError if no image is held out.
    """
    kept, held_out = map(trained_on.rows, split_by_class(trained_on.labels.cpu().numpy(), options.held_out, seed))
    if not len(held_out.labels):
        raise UserError(f"probe.held_out={options.held_out}: holds out no images; use a larger share")
    errors = []
    for penalty, classifier in fit_penalties(*kept, classes, options.penalties):
        wrong, _ = count_all_errors(classifier, *held_out)
        errors.append(PenaltyError(penalty=penalty, held_out_error=100 * wrong / len(held_out.labels)))
        progress(f"penalty {penalty:g}: error {errors[-1].held_out_error:.2f} % on held-out training images")
    return errors, len(held_out.labels)


def fit_one(trained_on: LabelledFeatures, classes: int, penalty: float) -> LinearClassifier:
    ((_, classifier),) = fit_penalties(*trained_on, classes, [penalty])
    return classifier


def few_shots(
    trained_on: LabelledFeatures, tested: LabelledFeatures, classes: int, shots: int, seed: int
) -> ShotsResult:
    """Test classifiers fitted to `shots` images per class. Raises UserError if a class has too few."""
    labels = trained_on.labels.cpu().numpy()
    fewest = int(np.bincount(labels, minlength=classes).min())
    if fewest < shots:
        raise UserError(f"probe.shots={shots}: a class has only {fewest} training images")
    errors = []
    for draw in range(DRAWS):
        drawn = trained_on.rows(draw_by_class(labels, shots, seed + draw))
        wrong, _ = count_all_errors(fit_one(drawn, classes, FEW_SHOT_PENALTY), *tested)
        errors.append(100 * wrong / len(tested.labels))
    return summarize_draws(shots, errors)


def summarize_draws(shots: int, errors: Sequence[float]) -> ShotsResult:
    """Mean error with Student's t interval over draws; for a single draw both bounds equal the error."""
    mean, low, high, _ = mean_ci(Sample(errors))
    interval = [low, high] if len(errors) > 1 else [mean, mean]
    return ShotsResult(
        shots=shots, draws=len(errors), top1_error=mean, top1_error_interval=interval, errors=list(errors)
    )
