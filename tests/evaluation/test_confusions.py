"""Errors per class against torchmetrics, confusions against a loop, and pages with the right images."""

import csv
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import MulticlassAccuracy

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation.confusions import (
    LISTED,
    describe_pair,
    errors_by_class,
    find_confusions,
    write_confusions,
)
from alexnet_pl.evaluation.prediction_file import Block, PredictionFile, PredictionFileWriter
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

CLASSES = [[f"n{i}", f"name {i}"] for i in range(9)]


def scores(count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(labels, best five, scores) of a network that is right about half of the time; class 8 has no images."""
    chance = np.random.default_rng(3)
    labels = chance.integers(0, 8, count).astype(np.int32)
    found = chance.standard_normal((count, 9)) + 1.5 * np.eye(9)[labels]
    return labels, np.argsort(-found, 1)[:, :5].astype(np.int32), found


def test_errors_per_class_match_torchmetrics() -> None:
    labels, best, found = scores()
    rows = {row["class"]: row for row in errors_by_class(labels, best, CLASSES)}
    for top in (1, 5):
        accuracy = MulticlassAccuracy(9, top_k=top, average=None)(torch.from_numpy(found), torch.from_numpy(labels))
        for i in range(8):
            assert abs(rows[f"n{i}"][f"top{top}_error"] - 100 * (1 - float(accuracy[i]))) < 1e-4
    assert set(rows) == {f"n{i}" for i in range(8)}
    assert sum(row["images"] for row in rows.values()) == 400
    ordered = [row["top1_error"] for row in errors_by_class(labels, best, CLASSES)]
    assert ordered == sorted(ordered, reverse=True)


def test_confusions_match_a_plain_count() -> None:
    labels, best, _ = scores()
    wanted = Counter((int(a), int(b)) for a, b in zip(labels, best[:, 0], strict=True) if a != b)
    found = find_confusions(labels, best, 9)
    assert {(true, taken): len(images) for true, taken, images in found} == dict(wanted)
    assert [len(images) for *_, images in found] == sorted(wanted.values(), reverse=True)
    for true, taken, images in found:
        assert list(images) == [i for i in range(400) if labels[i] == true and best[i, 0] == taken]
    assert find_confusions(labels, labels[:, None], 9) == []


def test_image_without_an_answer_is_wrong_but_taken_for_no_class() -> None:
    """−1: its scores were not finite."""
    labels, best = np.array([0, 0, 1]), np.array([[-1, -1], [0, 1], [0, 1]])
    assert [(true, taken) for true, taken, _ in find_confusions(labels, best, 3)] == [(1, 0)]
    assert {row["class"]: row["top5_error"] for row in errors_by_class(labels, best, CLASSES)} == {"n0": 50, "n1": 0}


def test_table_of_a_million_pairs_has_the_most_confused_and_takes_seconds() -> None:
    """Of twenty thousand classes, as in Fall 2011, each image's error is another pair; one pair is confused twice."""
    classes, images = 20_000, 1_000_000
    labels = (np.arange(images) % classes).astype(np.int32)
    taken = ((labels + 1 + np.arange(images) // classes) % classes).astype(np.int32)
    taken[classes] = taken[0]
    start = time.process_time()
    found = find_confusions(labels, taken[:, None], classes)
    assert len(found) == LISTED
    first = [(true, other, list(numbers)) for true, other, numbers in found[:2]]
    assert first == [(0, 1, [0, classes]), (0, 3, [2 * classes])]
    counts = np.bincount(labels)
    names = [[f"n{i}", f"name {i}"] for i in range(classes)]
    rows = [describe_pair(names, counts, *pair) for pair in found]
    assert rows[0]["of_class"] == 100 * 2 / 50
    assert time.process_time() - start < 10, "a count over all images for each pair would take minutes"


def test_shortened_test_shows_the_images_that_it_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of its predictions are every third image of the split."""
    drawn = synthetic.list_synthetic(20, 30)
    prepare(drawn, tmp_path / "store", StoreSettings("tiny", 40, {}), partial(synthetic.read_drawn, size=40))
    store = Store(tmp_path / "store")
    split, read = store.split("val"), np.arange(1, 30, 3)
    labels = split.labels[read].astype(np.int32)
    wrong = (labels + 1) % 10
    with PredictionFileWriter(tmp_path / "probabilities.parquet", 10, with_probabilities=False) as writer:
        writer.add(Block(split.names_of(read), labels, np.stack([(wrong + i) % 10 for i in range(5)], 1), None))
        writer.close(TestDescription(dataset=DatasetInfo(), views="ten", checkpoint=CheckpointInfo(sha256="")))
    shown: list[int] = []
    images = Split.images
    monkeypatch.setattr(Split, "images", lambda self, numbers: (shown.extend(numbers), images(self, numbers))[1])
    write_confusions(tmp_path, store, "val")
    with (tmp_path / "confusions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = [int(row["class"][1:]) for row in rows]
    assert [split.labels[int(row["first_image"])] for row in rows] == classes
    assert {int(row["first_image"]) for row in rows} <= {*read}
    assert list(split.labels[shown]) == classes[:8]


def test_table_has_all_pairs_of_ilsvrc() -> None:
    """AlexNet confuses 15,850 pairs of ILSVRC-2012's validation images."""
    images = np.arange(15_850)
    labels = images % 1000
    taken = (labels + 1 + images // 1000) % 1000
    assert len(find_confusions(labels, taken[:, None], 1000)) == 15_850


def test_readable_files_list_and_show_the_confusions(tmp_path: Path) -> None:
    prepare(
        synthetic.list_synthetic(20, 30),
        tmp_path / "store",
        StoreSettings("tiny", 40, {}),
        partial(synthetic.read_drawn, size=40),
    )
    store = Store(tmp_path / "store")
    labels = store.split("val").labels
    best = np.stack([(labels + i) % 10 for i in range(5)], 1).astype(np.int32)
    best[labels == 4] = [7, 4, 1, 2, 3]  # all images of class 4 are classified as class 7
    writer = PredictionFileWriter(tmp_path / "probabilities.parquet", 10, with_probabilities=False)
    writer.add(Block(store.split("val").names, labels, best, None))
    writer.close(TestDescription(dataset=DatasetInfo(), views="ten", checkpoint=CheckpointInfo(sha256="")))
    write_confusions(tmp_path, store, "val")
    with (tmp_path / "confusions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["class"], row["taken_for"], row["images"], row["of_class"]) == ("d04", "d07", "3", "100.00")
    assert row["first_image"] == str(int(np.flatnonzero(labels == 4)[0]))
    with Image.open(tmp_path / "confusions.png") as picture:
        assert picture.width > 400
        gray = np.asarray(picture.convert("L"))
    beside = np.flatnonzero((gray < 255).any(0))  # columns of text or images
    assert max(np.diff(beside)) < 40, "images follow the text"
    assert (np.diff(beside)[:-1] > 8).any(), "and do not touch it"
    best[labels == 4, 0], best[labels == 4, 1] = 4, 7
    writer = PredictionFileWriter(tmp_path / "probabilities.parquet", 10, with_probabilities=False)
    writer.add(Block(store.split("val").names, labels, best, None))
    writer.close(TestDescription(dataset=DatasetInfo(), views="ten", checkpoint=CheckpointInfo(sha256="")))
    write_confusions(tmp_path, store, "val")
    assert not (tmp_path / "confusions.png").exists(), "pictures of an earlier test"
    assert (PredictionFile(tmp_path / "probabilities.parquet").top_classes()[1][:, 0] == labels).all()
