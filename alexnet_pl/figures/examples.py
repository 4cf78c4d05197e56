"""Example images for Figure 4 (§7.1; §6.1 of 2012): five most probable labels, and nearest training images by fc7.

The images are spread evenly over the classes of the tested split, not selected as the paper's eight and five were.
"""

from typing import NamedTuple

import numpy as np
import torch

from alexnet_pl.data.loading.whole_images import whole_images
from alexnet_pl.data.store.split import Split
from alexnet_pl.digests import sha256
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.evaluation.prediction_writer import best_classes
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.runs.layout import PROBABILITIES

NUM_IMAGES, NUM_QUERIES, NUM_NEIGHBORS = 8, 5, 6  # as in the paper's figure


class SavedPrediction(NamedTuple):
    """Five most probable classes of an image, best first."""

    number: int  # index of the image in its split
    name: str  # of its file
    label: int  # its class, −1 if unknown
    best: np.ndarray  # (5,) classes
    probabilities: np.ndarray  # (5,)


def spread_evenly(count: int, chosen: int) -> np.ndarray:
    """Indices of `chosen` of `count` images: the middles of equal parts."""
    chosen = min(chosen, count)
    return (2 * np.arange(chosen) + 1) * count // (2 * chosen)


def spread_over_classes(labels: np.ndarray, chosen: int) -> np.ndarray:
    """Indices of `chosen` images with labels (N,), evenly spaced when sorted by class; in ascending order.

    Splits with classes in turn, as those of the demo, would otherwise show the same few classes again.
    """
    by_class = np.argsort(labels, kind="stable")
    return np.sort(by_class[spread_evenly(len(labels), chosen)])


def describe_spread(labels: np.ndarray, classes: int) -> str:
    """From which of the split's classes images with labels (N,) are, for a caption."""
    known = len(np.unique(labels[labels >= 0]))
    if not known:
        return "spread evenly over the split"
    return "spread evenly over the classes" if known == classes else f"from {known} of the {classes:,} classes"


def find_saved_predictions(run: TrainedRun) -> PredictionFile | None:
    """Newest saved predictions of the run's checkpoint that include probabilities; None if there are none.

    Those of a test on other classes are skipped: their class numbers count within that test's classes.
    """
    paths = sorted(run.folder.glob(f"results/*/{PROBABILITIES}"), key=lambda path: path.stat().st_mtime)
    if not paths:
        return None
    digest = sha256(run.checkpoint)
    readers = (PredictionFile(path) for path in reversed(paths))
    return next((reader for reader in readers if is_of_run(reader, digest, len(run.classes))), None)


def is_of_run(reader: PredictionFile, digest: str, classes: int) -> bool:
    test = reader.test
    return reader.has_probabilities and (test.checkpoint.sha256, test.dataset.classes) == (digest, classes)


def choose_saved(reader: PredictionFile, chosen: int) -> np.ndarray:
    """Numbers of `chosen` images with an answer, spread over the classes; those with scores that are not finite have
    none (`best` is −1)."""
    labels, best = reader.top_classes()
    answered = np.flatnonzero(best[:, 0] >= 0)
    return answered[spread_over_classes(labels[answered], chosen)]


def read_predictions(reader: PredictionFile, numbers: np.ndarray) -> list[SavedPrediction]:
    """Read the predictions of images `numbers` from saved predictions, in the order of the split."""
    predictions, start = [], 0
    for block in reader.blocks():
        assert block.probabilities is not None
        for i in numbers[(numbers >= start) & (numbers < start + len(block.images))] - start:
            best = block.best[i]
            shares = block.probabilities[i, best].astype(float)
            predictions.append(SavedPrediction(start + int(i), block.images[i], int(block.labels[i]), best, shares))
        start += len(block.images)
    return predictions


@torch.inference_mode()
def predict_images(run: TrainedRun, split: Split, numbers: np.ndarray) -> list[SavedPrediction]:
    """Predict images `numbers` by running the network, with the views of the run's test. Images with scores that are
    not finite are left out."""
    images = whole_images(split, numbers) if run.module.dense else split.images(numbers)
    scores = run.module.test_scores(images)
    best = best_classes(scores)
    shares = scores.exp().gather(1, best.clamp_min(0))
    rows = zip(numbers.tolist(), best.numpy(), shares.double().numpy(), strict=True)
    return [SavedPrediction(i, split.names[i], int(split.labels[i]), *row) for i, *row in rows if row[0][0] >= 0]
