"""Test images for Figure 4 (§7.1; §6.1 of 2012): five most probable labels, and nearest training images in fc7.

The images are spread evenly over the tested split, not chosen as the paper's eight and five were.
"""

from typing import NamedTuple

import numpy as np
import torch

from alexnet_pl.data.loading.whole_images import whole_images
from alexnet_pl.data.store.split import Split
from alexnet_pl.evaluation.predictions import Reader
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.runs.checkpoint import about_checkpoint

ASKED, QUERIES, NEAREST = 8, 5, 6  # images, queries, neighbours of each, as printed


class Answer(NamedTuple):
    """The five most probable classes of an image, best first."""

    number: int  # of the image in its split
    name: str  # of its file
    label: int  # its class, −1 where that is not known
    best: np.ndarray  # (5,) classes
    probabilities: np.ndarray  # (5,)


def spread(count: int, some: int) -> np.ndarray:
    """Numbers of `some` images, the middles of as many equal parts of `count`."""
    some = min(some, count)
    return (2 * np.arange(some) + 1) * count // (2 * some)


def tested(run: TrainedRun) -> Reader | None:
    """The newest test's answers, if it was of the checkpoint that lies there and kept probabilities."""
    paths = sorted(run.folder.glob("results/*/probabilities.parquet"), key=lambda path: path.stat().st_mtime)
    if not paths:
        return None
    mine = about_checkpoint(run.checkpoint)["sha256"]
    readers = (Reader(path) for path in reversed(paths))
    return next((one for one in readers if one.kept and one.facts["checkpoint"].get("sha256") == mine), None)


def saved_answers(reader: Reader, numbers: np.ndarray) -> list[Answer]:
    """Answers for some images from saved predictions, in the order of the split."""
    found, start = [], 0
    for block in reader.blocks():
        assert block.probabilities is not None
        for i in numbers[(numbers >= start) & (numbers < start + len(block.images))] - start:
            best = block.best[i]
            shares = block.probabilities[i, best].astype(float)
            found.append(Answer(start + int(i), block.images[i], int(block.labels[i]), best, shares))
        start += len(block.images)
    return found


@torch.inference_mode()
def new_answers(run: TrainedRun, split: Split, numbers: np.ndarray) -> list[Answer]:
    """Answers for some images by running the network, with the views of the run's test."""
    images = whole_images(split, numbers) if run.module.dense else split.images(numbers)
    shares, best = run.module.test_scores(images).exp().topk(min(5, len(run.classes)))
    rows = zip(numbers.tolist(), best.numpy(), shares.double().numpy(), strict=True)
    return [Answer(i, split.names[i], int(split.labels[i]), *row) for i, *row in rows]
