"""Ensembles (§7): "averaging the predictions of five similar CNNs gives an error rate of 16.4%".

As in the authors' avg-test.py, the ten-view softmax outputs of the members are averaged arithmetically, from what their
tests saved, a block of images at a time. Equal weights by default; `search` is their coordinate search (avg-valid.py).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from alexnet_pl.config.options import EnsembleOptions
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.predictions import Block, Reader, Writer
from alexnet_pl.evaluation.result import EnsembleMember, TestDescription
from alexnet_pl.runs.records import CheckpointInfo

ALIKE = ("classes", "class_list", "name", "split", "fingerprint", "images")  # of what members were tested on
GRID = np.arange(21) / 20  # avg-valid.py: 0 … 1 by 0.05
PASSES = 5

Mask = Callable[[list[str]], np.ndarray]
"""Image names → (N,) bool: which of them count."""


def average_members(
    readers: Sequence[Reader], options: EnsembleOptions, path: Path
) -> tuple[TestDescription, dict[str, float] | None]:
    """Average, and write the averages as a network's own test would.

    Returns (what was tested, errors); errors are None where labels are not known.
    """
    images = {None: all_images, "same": all_images, "half": hash_half}[options.tune_on]
    weights = tune_weights(readers, images) if options.weights == "tuned" else [1.0] * len(readers)
    described = describe_ensemble(readers, weights, options.tune_on)
    writer, counts = Writer(path, described.dataset.classes), ErrorCounter()
    for block in averages(readers, weights):
        writer.add(block)
        if (block.labels >= 0).all():
            counts.add(
                selected(block, ~hash_half(block.images) if options.tune_on == "half" else all_images(block.images))
            )
    writer.close(described)
    return described, counts.errors() if counts.images else None


def find_members(runs: Sequence[Path], split: str | None, views: str) -> list[Reader]:
    """Saved predictions of each run, in an order that does not depend on how the runs are listed.

    Raises UserError for a run that was not tested or not trained to its end, and for one whose classes, images or views
    are not the first's.
    """
    if not runs:
        raise UserError("ensemble.members is required: pass ensemble.members=[RUN,RUN], or groups to train")
    readers = [Reader(open_predictions(run, split, views)) for run in runs]
    for reader in readers[1:]:
        check_alike(readers[0], reader)
    for run, reader in zip(runs, readers, strict=True):
        if not reader.test.finished:
            raise UserError(f"ensemble: {run} was tested before its training had come to its end; fit it on, then test")
    hashes = [reader.test.checkpoint.network for reader in readers]
    for run, one in zip(runs, hashes, strict=True):
        if hashes.count(one) > 1:
            raise UserError(
                f"ensemble: {run} is there twice, with the same weights; an average needs different networks"
            )
    return sorted(readers, key=lambda reader: reader.test.checkpoint.sha256)


def open_predictions(run: Path, split: str | None, views: str) -> Path:
    names = (views, "centre") if views == "center" else (views,)  # the older name of the centre view
    found = sorted(path for name in names for path in run.glob(f"results/{split or '*'}-{name}/probabilities.parquet"))
    if len(found) == 1:
        return found[0]
    if not run.is_dir():
        raise UserError(f"ensemble: {run}: there is no such run folder")
    what = f"{'on ' + split if split else ''} with {views} view{'s' * (views == 'ten')}"
    if not found:
        raise UserError(f"ensemble: {run} has not been tested {what.strip()}: python -m alexnet_pl test -c {run}")
    splits = ", ".join(path.parent.name.rpartition("-")[0] for path in found)
    raise UserError(f"ensemble: {run} was tested on {splits}; say on which with test.split=…")


def check_alike(one: Reader, other: Reader) -> None:
    for key in ALIKE:
        a, b = getattr(one.test.dataset, key), getattr(other.test.dataset, key)
        if a != b:
            differs = f"{key} {str(b)[:12]}, not {str(a)[:12]}"
            raise UserError(f"ensemble: {other.path} is of other images or classes than {one.path}: {differs}")
    if one.test.views != other.test.views or one.rows != other.rows:
        a, b = (f"{reader.rows:,} images, views {reader.test.views}" for reader in (one, other))
        raise UserError(f"ensemble: {other.path} has {b}; {one.path} has {a}")


def together(readers: Sequence[Reader]) -> Iterator[list[Block]]:
    """A block of each, of the same images."""
    for blocks in zip(*(reader.blocks() for reader in readers), strict=True):
        for reader, block in zip(readers, blocks, strict=True):
            if block.images != blocks[0].images or (block.labels != blocks[0].labels).any():
                raise UserError(f"ensemble: {reader.path} has other images or labels than {readers[0].path}")
        yield list(blocks)


def averages(readers: Sequence[Reader], weights: Sequence[float]) -> Iterator[Block]:
    """Weighted means (N, classes) float64 of the members' probabilities, and their best classes."""
    total = sum(weights)
    for blocks in together(readers):
        mean = weighted([as_float64(block) for block in blocks], weights) / total
        ranked = mean + weighted([rank_tie_break(block) for block in blocks], [1 / len(blocks)] * len(blocks))
        yield Block(blocks[0].images, blocks[0].labels, top_classes(ranked, blocks[0].best.shape[1]), mean)


def weighted(arrays: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Σ w · a, in order."""
    total = np.zeros_like(arrays[0])
    for array, weight in zip(arrays, weights, strict=True):
        total += weight * array
    return total


def as_float64(block: Block) -> np.ndarray:
    assert block.probabilities is not None
    return block.probabilities.astype(np.float64)


def rank_tie_break(block: Block) -> np.ndarray:
    """(N, classes): for a member's best five, by rank, far less than the smallest step of float16.

    Rounding to float16 makes ties, of the smallest probabilities above all; they go to the class that the networks put
    first before rounding. So an ensemble of one is the network itself, and no probability that differs is overruled.
    """
    bonus = np.zeros(as_float64(block).shape)
    places = block.best.shape[1]
    np.put_along_axis(bonus, block.best.astype(np.int64), 2.0**-40 * np.arange(places, 0, -1)[None], 1)
    return bonus


def top_classes(scores: np.ndarray, count: int) -> np.ndarray:
    """(N, count): the classes of the highest scores, best first; of equals the first class."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count].astype(np.int32)


class ErrorCounter:
    """Errors of the images seen so far, as `metrics.Errors` computes them of a single network."""

    def __init__(self) -> None:
        self.images, self.wrong1, self.wrong5, self.nll = 0, 0, 0, 0.0

    def add(self, block: Block) -> None:
        labels, best = block.labels.astype(np.int64), block.best
        assert block.probabilities is not None
        probability = np.take_along_axis(block.probabilities, labels[:, None], 1)
        self.images += len(labels)
        self.wrong1 += int((best[:, 0] != labels).sum())
        self.wrong5 += int((best != labels[:, None]).all(1).sum())
        self.nll -= float(np.log(probability.clip(2.0**-25)).sum())  # float16 ends at 2⁻²⁴

    def errors(self) -> dict[str, float]:
        found = {"top1_error": 100 * self.wrong1 / self.images, "top5_error": 100 * self.wrong5 / self.images}
        return {**found, "nll": self.nll / self.images, "count": self.images, "nonfinite": 0}


def selected(block: Block, mask: np.ndarray) -> Block:
    images = [name for name, wanted in zip(block.images, mask, strict=True) if wanted]
    kept = None if block.probabilities is None else block.probabilities[mask]
    return Block(images, block.labels[mask], block.best[mask], kept)


def all_images(images: list[str]) -> np.ndarray:
    return np.ones(len(images), bool)


def hash_half(images: Iterable[str]) -> np.ndarray:
    """The images that weights are tuned on under `tune_on=half`: by the hash of the name, and nothing else."""
    return np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in images], bool)


def tune_weights(readers: Sequence[Reader], mask: Mask) -> list[float]:
    """The authors' search: from 0.5 each, one weight after the other takes the value of `GRID` with the lowest top-5
    error on the masked images, five times around; a value that is no better than the present one is not taken."""
    weights = [0.5] * len(readers)
    for _ in range(PASSES):
        before = list(weights)
        for index in range(len(readers)):
            wrong = grid_errors(readers, weights, index, mask)
            present = int(np.flatnonzero(np.isclose(GRID, weights[index]))[0])
            if wrong.min() < wrong[present]:
                weights[index] = float(GRID[wrong.argmin()])
        if weights == before:
            break
    return weights


def grid_errors(readers: Sequence[Reader], weights: Sequence[float], index: int, mask: Mask) -> np.ndarray:
    """(21,): top-5 errors among the masked images for each value of weight `index`. A tie counts against the label."""
    wrong = np.zeros(len(GRID), np.int64)
    for blocks in together(readers):
        chosen = [selected(block, mask(block.images)) for block in blocks]
        labels = chosen[0].labels.astype(np.int64)[:, None]
        arrays = [as_float64(block) for block in chosen]
        own = arrays.pop(index)
        rest = weighted([own * 0, *arrays], [0, *weights[:index], *weights[index + 1 :]])
        for i, value in enumerate(GRID):
            scores = rest + value * own
            wrong[i] += int(((scores >= np.take_along_axis(scores, labels, 1)).sum(1) > 5).sum())
    return wrong


def describe_ensemble(readers: Sequence[Reader], weights: Sequence[float], tuned_on: str | None) -> TestDescription:
    """Description of an ensemble's test; its `checkpoint` stands for all members."""
    first, files = readers[0].test, [reader.test.checkpoint.sha256 for reader in readers]
    return TestDescription(
        dataset=first.dataset,
        views=first.views,
        checkpoint=CheckpointInfo(file="ensemble", sha256=hashlib.sha256(" ".join(files).encode()).hexdigest()),
        finished=True,  # as `find_members` has checked of each
        members=[
            describe_member(reader, weight / sum(weights)) for reader, weight in zip(readers, weights, strict=True)
        ],
        weights_tuned_on=tuned_on,
    )


def describe_member(reader: Reader, weight: float) -> EnsembleMember:
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
