"""Ensembles (§7): "averaging the predictions of five similar CNNs gives an error rate of 16.4%".

As in the authors' avg-test.py, the members' ten-view softmax outputs are averaged arithmetically, read block by block
from their saved predictions. Weights are equal by default; `tune_weights` is the authors' search (avg-valid.py).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from alexnet_pl.config.options import EnsembleOptions
from alexnet_pl.config.views import describe_views
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import Block, PredictionFile, PredictionFileWriter
from alexnet_pl.evaluation.result import EnsembleMember, TestDescription
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import PROBABILITIES, results_dir
from alexnet_pl.runs.records import CheckpointInfo

SHARED_FIELDS = ("classes", "class_list", "name", "split", "fingerprint", "images")  # must be equal for all members
GRID = np.arange(21) / 20  # avg-valid.py: 0 … 1 in steps of 0.05
PASSES = 5

Mask = Callable[[list[str]], np.ndarray]
"""Image names (N) → (N,) bool: the images to use."""


def average_members(
    readers: Sequence[PredictionFile], options: EnsembleOptions, path: Path
) -> tuple[TestDescription, dict[str, float] | None]:
    """Average the members' predictions and write them to `path` in the format of a single network's predictions.

    Returns (description of the test, errors); the errors are None if the labels are not known.
    """
    images = {None: all_images, "same": all_images, "half": hash_half}[options.tune_on]
    weights = tune_weights(readers, images) if options.weights == "tuned" else [1.0] * len(readers)
    description = describe_ensemble(readers, weights, options.tune_on)
    writer, counts = PredictionFileWriter(path, description.dataset.classes), ErrorCounter()
    for block in average_blocks(readers, weights):
        writer.add(block)
        tested = ~hash_half(block.images) if options.tune_on == "half" else all_images(block.images)
        counts.add(select_images(block, tested & (block.labels >= 0)))
    writer.close(description)
    return description, counts.errors() if counts.images else None


def find_members(runs: Sequence[Path], split: str | None, views: str) -> list[PredictionFile]:
    """Open the saved predictions of each run, sorted independently of the order in `runs`.

    Raises UserError for a run that was not tested or not fully trained, for two runs with equal weights, and for runs
    tested on different classes, images or views.
    """
    if not runs:
        raise UserError("ensemble.members is required: pass ensemble.members=[RUN,RUN], or groups to train")
    readers = [PredictionFile(find_predictions(run, split, views)) for run in runs]
    for reader in readers[1:]:
        check_comparable(readers[0], reader)
    for run, reader in zip(runs, readers, strict=True):
        check_finished(run, reader.test)
    hashes = [reader.test.checkpoint.network for reader in readers]
    for run, network in zip(runs, hashes, strict=True):
        if hashes.count(network) > 1:
            raise UserError(
                f"ensemble: {run} is listed twice, or has the same weights as another member; members must differ"
            )
    return sorted(readers, key=lambda reader: reader.test.checkpoint.sha256)


def check_finished(run: Path, test: TestDescription) -> None:
    """Raise UserError, saying why, unless the tested network is the last of a finished fit."""
    if test.finished:
        return
    if test.imported:
        raise UserError(f"ensemble: {run} was imported from {test.imported.file}; members must be trained here")
    status = read_fit_status(run)
    if status and status.finished:
        raise UserError(
            f"ensemble: {run} was not tested with the last checkpoint of its fit; test it again with ckpt_path=last"
        )
    raise UserError(f"ensemble: {run} was tested before its training finished; resume the fit, then test again")


def find_predictions(run: Path, split: str | None, views: str) -> Path:
    """probabilities.parquet of a run's test. Raises UserError if there is none, or several and `split` is None."""
    paths = {tested: path for tested in tested_splits(run, split) if (path := predictions_path(run, tested, views))}
    if len(paths) == 1:
        return next(iter(paths.values()))
    if not run.is_dir():
        raise UserError(f"ensemble: {run}: no such run folder")
    if not paths:
        condition = f"{'on ' + split + ' ' if split else ''}with {describe_views(views)}"
        raise UserError(f"ensemble: {run} has not been tested {condition}: python -m alexnet_pl test -c {run}")
    raise UserError(f"ensemble: {run} was tested on {', '.join(paths)}; choose one with test.split=…")


def tested_splits(run: Path, split: str | None) -> list[str]:
    """Splits that a run was tested on with any views, or only `split` if it is given."""
    if split:
        return [split]
    return sorted({path.name.rpartition("-")[0] for path in run.glob("results/*-*")})


def predictions_path(run: Path, split: str, views: str) -> Path | None:
    path = results_dir(run, split, views) / PROBABILITIES
    return path if path.is_file() else None


def check_comparable(first: PredictionFile, other: PredictionFile) -> None:
    for key in SHARED_FIELDS:
        a, b = getattr(first.test.dataset, key), getattr(other.test.dataset, key)
        if a != b:
            difference = f"{key} {str(b)[:12]}, not {str(a)[:12]}"
            raise UserError(f"ensemble: {other.path}: different images or classes than {first.path}: {difference}")
    if first.test.views != other.test.views or first.rows != other.rows:
        a, b = (f"{reader.rows:,} images, views {reader.test.views}" for reader in (first, other))
        raise UserError(f"ensemble: {other.path} has {b}; {first.path} has {a}")


def zip_blocks(readers: Sequence[PredictionFile]) -> Iterator[list[Block]]:
    """Iterate over the blocks of all members in parallel. Raises UserError if their images or labels differ."""
    for blocks in zip(*(reader.blocks() for reader in readers), strict=True):
        for reader, block in zip(readers, blocks, strict=True):
            if block.images != blocks[0].images or (block.labels != blocks[0].labels).any():
                raise UserError(f"ensemble: {reader.path}: different images or labels than {readers[0].path}")
        yield list(blocks)


def average_blocks(readers: Sequence[PredictionFile], weights: Sequence[float]) -> Iterator[Block]:
    """Blocks with the weighted mean (N, classes) float64 of the members' probabilities, and its top classes."""
    total = sum(weights)
    for blocks in zip_blocks(readers):
        mean = weighted_sum([probabilities_float64(block) for block in blocks], weights) / total
        ranked = mean + weighted_sum([rank_tie_break(block) for block in blocks], [1 / len(blocks)] * len(blocks))
        yield Block(blocks[0].images, blocks[0].labels, top_classes(ranked, blocks[0].best.shape[1]), mean)


def weighted_sum(arrays: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Σ w · a, summed in the given order."""
    total = np.zeros_like(arrays[0])
    for array, weight in zip(arrays, weights, strict=True):
        total += weight * array
    return total


def probabilities_float64(block: Block) -> np.ndarray:
    assert block.probabilities is not None
    return block.probabilities.astype(np.float64)


def rank_tie_break(block: Block) -> np.ndarray:
    """(N, classes): a bonus by rank for the five top classes, far below the smallest float16 step.

    Rounding to float16 creates ties, mostly among small probabilities. The bonus restores their order before rounding:
    an ensemble of one member equals the member, and no true difference is overruled.
    """
    bonus = np.zeros(probabilities_float64(block).shape)
    ranks = block.best.shape[1]
    np.put_along_axis(bonus, block.best.astype(np.int64), 2.0**-40 * np.arange(ranks, 0, -1)[None], 1)
    return bonus


def top_classes(scores: np.ndarray, count: int) -> np.ndarray:
    """(N, count): classes with the highest scores, best first; ties go to the lower class index."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count].astype(np.int32)


class ErrorCounter:
    """Error counts over blocks of predictions, by the rules of `metrics.ErrorRates`."""

    def __init__(self) -> None:
        self.images, self.wrong1, self.wrong5, self.nll = 0, 0, 0, 0.0

    def add(self, block: Block) -> None:
        labels, best = block.labels.astype(np.int64), block.best
        assert block.probabilities is not None
        probability = np.take_along_axis(block.probabilities, labels[:, None], 1)
        self.images += len(labels)
        self.wrong1 += int((best[:, 0] != labels).sum())
        self.wrong5 += int((best != labels[:, None]).all(1).sum())
        self.nll -= float(np.log(probability.clip(2.0**-25)).sum())  # the smallest positive float16 is 2⁻²⁴

    def errors(self) -> dict[str, float]:
        """Errors in percent, `nll` in nats per image, and the number of images."""
        percent = {"top1_error": 100 * self.wrong1 / self.images, "top5_error": 100 * self.wrong5 / self.images}
        return {**percent, "nll": self.nll / self.images, "count": self.images, "nonfinite": 0}


def select_images(block: Block, mask: np.ndarray) -> Block:
    images = [name for name, wanted in zip(block.images, mask, strict=True) if wanted]
    kept = None if block.probabilities is None else block.probabilities[mask]
    return Block(images, block.labels[mask], block.best[mask], kept)


def all_images(images: list[str]) -> np.ndarray:
    return np.ones(len(images), bool)


def hash_half(images: Iterable[str]) -> np.ndarray:
    """Mask of `tune_on=half`: about half of the images, chosen by the SHA-256 of the name."""
    return np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in images], bool)


def tune_weights(readers: Sequence[PredictionFile], mask: Mask) -> list[float]:
    """Coordinate search of avg-valid.py for the weights with the lowest top-5 error on the masked images.

    Starts at 0.5 each. Up to five times, each weight in turn moves to the best value of `GRID` if it is better than the
    current one.
    """
    weights = [0.5] * len(readers)
    for _ in range(PASSES):
        previous = list(weights)
        for index in range(len(readers)):
            wrong = grid_errors(readers, weights, index, mask)
            current = int(np.flatnonzero(np.isclose(GRID, weights[index]))[0])
            if wrong.min() < wrong[current]:
                weights[index] = float(GRID[wrong.argmin()])
        if weights == previous:
            break
    return weights


def grid_errors(readers: Sequence[PredictionFile], weights: Sequence[float], index: int, mask: Mask) -> np.ndarray:
    """(21,): top-5 errors on the masked images for each value of weight `index`. Ties count as errors.

    Raises UserError for an image without a label.
    """
    wrong = np.zeros(len(GRID), np.int64)
    for blocks in zip_blocks(readers):
        masked = [select_images(block, mask(block.images)) for block in blocks]
        labels = masked[0].labels.astype(np.int64)[:, None]
        if (labels < 0).any():
            raise UserError(
                f"ensemble.weights=tuned: {readers[0].path} has images without labels; leave the weights equal, or "
                "choose a split whose labels are known with test.split=…"
            )
        arrays = [probabilities_float64(block) for block in masked]
        member = arrays.pop(index)
        others = weighted_sum([member * 0, *arrays], [0, *weights[:index], *weights[index + 1 :]])
        for i, value in enumerate(GRID):
            scores = others + value * member
            wrong[i] += int(((scores >= np.take_along_axis(scores, labels, 1)).sum(1) > 5).sum())
    return wrong


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
