"""Submission file for the test server, read back by an independent parser."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.devkit import read_devkit
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import Block, PredictionFileWriter
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.evaluation.submission import is_submittable, server_labels, write_submission
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

KIT = Path(__file__).parents[3] / "shared/data/devkit/ILSVRC2012_devkit_t12"
IDS = [7, 3, 10, 1, 9, 2, 8, 4, 6, 5]


def parse(path: Path, classes: int) -> list[list[int]]:
    """Parse by the challenge's readme: one line per image, up to five labels from 1, separated by spaces."""
    lines = path.read_text().split("\n")
    assert lines.pop() == "", "the last line ends too"
    rows = [[int(word) for word in line.split(" ")] for line in lines]
    assert all(len(row) == 5 and len(set(row)) == 5 and set(row) <= set(range(1, classes + 1)) for row in rows)
    return rows


def make_store(root: Path, name: str = "ILSVRC2012_test_{:08d}.JPEG", numbers: list[int] | None = IDS) -> Store:
    drawn = synthetic.list_synthetic(20, 12)
    test = [item._replace(name=f"test/{name.format(i + 1)}", label=-1) for i, item in enumerate(drawn.splits["val"])]
    source = DatasetListing(drawn.classes, {**drawn.splits, "test": test}, numbers)
    prepare(source, root, StoreSettings("tiny", 32, {}), partial(synthetic.read_drawn, size=32))
    return Store(root)


def answer(path: Path, names: list[str], unanswered: int | None = None) -> np.ndarray:
    chance = np.random.default_rng(5)
    best = np.stack([chance.permutation(10)[:5] for _ in names]).astype(np.int32)
    if unanswered is not None:
        best[unanswered] = -1
    writer = PredictionFileWriter(path, 10, with_probabilities=False)
    writer.add(Block(names, np.full(len(names), -1), best, None))
    writer.close(TestDescription(dataset=DatasetInfo(), views="ten", checkpoint=CheckpointInfo(sha256="")))
    return best


def test_each_image_gets_its_five_labels_in_the_order_of_the_images(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    names = store.split("test").names
    order = np.random.default_rng(0).permutation(len(names))
    best = answer(tmp_path / "p.parquet", [names[i] for i in order])
    assert is_submittable(store, "test")
    assert write_submission(tmp_path / "submission.txt", store, tmp_path / "p.parquet") == (12, 0)
    rows = parse(tmp_path / "submission.txt", 10)
    for row, image in zip(best, order, strict=True):
        assert rows[image] == [IDS[index] for index in row]


def test_unreadable_image_still_has_a_line(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    names = store.split("test").names
    answer(tmp_path / "p.parquet", [name for name in names if "0005" not in name])
    assert write_submission(tmp_path / "submission.txt", store, tmp_path / "p.parquet") == (12, 1)
    assert parse(tmp_path / "submission.txt", 10)[4] == [1, 2, 3, 4, 5]


def test_image_without_an_answer_still_has_a_line(tmp_path: Path) -> None:
    """−1: its scores were not finite."""
    store = make_store(tmp_path / "store")
    names = store.split("test").names
    answer(tmp_path / "p.parquet", names, unanswered=4)
    assert write_submission(tmp_path / "submission.txt", store, tmp_path / "p.parquet") == (12, 1)
    assert parse(tmp_path / "submission.txt", 10)[4] == [1, 2, 3, 4, 5]


def test_other_images_or_classes_without_ids_are_refused(tmp_path: Path) -> None:
    assert not is_submittable(make_store(tmp_path / "other", "holiday_{}.JPEG"), "test")
    assert not is_submittable(make_store(tmp_path / "kaggle", numbers=None), "test")
    store = make_store(tmp_path / "store")
    answer(tmp_path / "p.parquet", ["val/ILSVRC2012_val_00000001.JPEG"])
    with pytest.raises(UserError, match=r"ILSVRC2012_val_00000001.JPEG: not an image of the ILSVRC-2012 test set"):
        write_submission(tmp_path / "submission.txt", store, tmp_path / "p.parquet")


@pytest.mark.skipif(not KIT.is_dir(), reason="the real development kit lies in ../shared, which is not here")
def test_class_index_is_mapped_to_the_ilsvrc_number() -> None:
    """Classes are sorted by wnid here; ILSVRC2012_ID has another order."""
    table = loadmat(KIT / "data/meta.mat", squeeze_me=False)["synsets"]
    number_of = {str(row["WNID"][0][0]): int(row["ILSVRC2012_ID"][0][0][0]) for row in table}
    kit = read_devkit(KIT)
    wnids = sorted(wnid for wnid, number in number_of.items() if number <= 1000)
    assert [wnid for wnid, _ in kit.classes] == wnids
    for start in range(0, 1000, 5):
        found = server_labels(np.arange(start, start + 5), kit.numbers)
        assert found == " ".join(str(number_of[wnid]) for wnid in wnids[start : start + 5])
    assert kit.numbers != sorted(kit.numbers)
