"""Ensembles (§7): "averaging the predictions of five similar CNNs gives an error rate of 16.4%".

As in the authors' avg-test.py, the members' ten-view softmax outputs are averaged arithmetically, read block by block
from their saved predictions. Weights are equal by default, or tuned.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from alexnet_pl.config.options import EnsembleOptions
from alexnet_pl.evaluation.ensemble_members import zip_blocks
from alexnet_pl.evaluation.prediction_file import (
    Block,
    PredictionFile,
    PredictionFileWriter,
    probabilities_float64,
    select_images,
)
from alexnet_pl.evaluation.result import EnsembleMember, TestDescription
from alexnet_pl.evaluation.weight_tuning import all_images, hash_half, tune_weights, weighted_sum
from alexnet_pl.runs.records import CheckpointInfo


def average_members(
    readers: Sequence[PredictionFile], options: EnsembleOptions, path: Path
) -> tuple[TestDescription, dict[str, float] | None]:
    """Average the members' predictions and write them to `path` in the format of a single network's predictions.

    Returns (description of the test, errors); the errors are None if the labels are not known.
    """
    images = {None: all_images, "same": all_images, "half": hash_half}[options.tune_on]
    weights = tune_weights(readers, images) if options.weights == "tuned" else [1.0] * len(readers)
    description, counts = describe_ensemble(readers, weights, options.tune_on), ErrorCounter()
    with PredictionFileWriter(path, description.dataset.classes) as writer:
        for block in average_blocks(readers, weights):
            writer.add(block)
            tested = ~hash_half(block.images) if options.tune_on == "half" else all_images(block.images)
            counts.add(select_images(block, tested & (block.labels >= 0)))
        writer.close(description)
    return description, counts.errors() if counts.images else None


def average_blocks(readers: Sequence[PredictionFile], weights: Sequence[float]) -> Iterator[Block]:
    """Blocks with the weighted mean (N, classes) float64 of the members' probabilities, and its top classes."""
    total = sum(weights)
    for blocks in zip_blocks(readers):
        mean = weighted_sum([probabilities_float64(block) for block in blocks], weights) / total
        ranked = mean + weighted_sum([rank_tie_break(block) for block in blocks], [1 / len(blocks)] * len(blocks))
        yield Block(blocks[0].images, blocks[0].labels, top_classes(ranked, blocks[0].best.shape[1]), mean)


def rank_tie_break(block: Block) -> np.ndarray:
    """(N, classes): a bonus by rank for the five top classes, far below the smallest float16 step.

    Rounding to float16 creates ties, mostly among small probabilities. The bonus restores their order before rounding:
    an ensemble of one member equals the member, and no true difference is overruled.
    """
    assert block.probabilities is not None
    bonus, ranks = np.zeros(block.probabilities.shape), block.best.shape[1]
    np.put_along_axis(bonus, block.best.astype(np.int64), 2.0**-40 * np.arange(ranks, 0, -1)[None], 1)
    return bonus


def top_classes(scores: np.ndarray, count: int) -> np.ndarray:
    """(N, count): classes with the highest scores, best first; ties go to the lower class index. −1 for images with
    scores that are not finite."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count].astype(np.int32)
    return np.where(np.isfinite(scores).all(1, keepdims=True), best, np.int32(-1))


class ErrorCounter:
    """Error counts over blocks of predictions, by the rules of `metrics.ErrorRates`: an image with a probability that
    is not finite counts as wrong, and is excluded from the mean loss."""

    def __init__(self) -> None:
        self.images, self.wrong1, self.wrong5, self.nonfinite, self.nll = 0, 0, 0, 0, 0.0

    def add(self, block: Block) -> None:
        labels, best = block.labels.astype(np.int64), block.best
        assert block.probabilities is not None
        probability = np.take_along_axis(block.probabilities, labels[:, None], 1)
        nonfinite = ~np.isfinite(block.probabilities).all(1)
        self.images += len(labels)
        self.wrong1 += int((nonfinite | (best[:, 0] != labels)).sum())
        self.wrong5 += int((nonfinite | (best != labels[:, None]).all(1)).sum())
        self.nonfinite += int(nonfinite.sum())
        self.nll -= float(np.log(probability[~nonfinite].clip(2.0**-25)).sum())  # the smallest positive float16 is 2⁻²⁴

    def errors(self) -> dict[str, float]:
        """Errors in percent, `nll` in nats per image, and numbers of images."""
        finite = self.images - self.nonfinite
        return {
            "top1_error": 100 * self.wrong1 / self.images,
            "top5_error": 100 * self.wrong5 / self.images,
            "nll": self.nll / finite if finite else math.nan,
            "count": self.images,
            "nonfinite": self.nonfinite,
        }


def describe_ensemble(
    readers: Sequence[PredictionFile], weights: Sequence[float], tuned_on: str | None
) -> TestDescription:
    """Description of an ensemble's test; `checkpoint.sha256` is a hash over the hashes of all members."""
    first, files = readers[0].test, [reader.test.checkpoint.sha256 for reader in readers]
    return TestDescription(
        dataset=first.dataset,
        views=first.views,
        checkpoint=CheckpointInfo(file="ensemble", sha256=hashlib.sha256(" ".join(files).encode()).hexdigest()),
        finished=True,  # `find_members` has checked each member
        members=[
            describe_member(reader, weight / sum(weights)) for reader, weight in zip(readers, weights, strict=True)
        ],
        weights_tuned_on=tuned_on,
    )


def describe_member(reader: PredictionFile, weight: float) -> EnsembleMember:
    test = reader.test
    return EnsembleMember(
        run=str(reader.path.parents[2]),
        weight=weight,
        checkpoint=test.checkpoint,
        seed=test.seed,
        training=test.training,
        trained=test.trained,
        lineage=test.lineage,
        claim=test.claim,
    )
