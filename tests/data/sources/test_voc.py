"""PASCAL VOC: boxes, and the split of images without lists."""

from pathlib import Path

import numpy as np
import pytest
from box_copies import OBJECTS, annotation, prepared, voc
from copies import photo, write
from torchvision.datasets import VOCDetection

from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.sources.base import CopyOptions
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.sources.name_split import is_held_out
from alexnet_pl.data.sources.with_boxes import add_boxes
from alexnet_pl.errors import UserError


def test_voc_boxes_count_from_one_and_the_largest_gives_the_class(tmp_path: Path) -> None:
    store = prepared(voc(tmp_path / "copy"), tmp_path / "store")
    assert [name for _, name in store.classes] == ["cat", "dog"]
    train, val = store.whole("train"), store.whole("val")
    assert train.boxes(0).tolist() == [[0, 0, 24, 20]]
    assert np.allclose(train.boxes(1).numpy(), [[1, 2, 5, 6], [9, 9, 20, 20], [0, 0, 24, 20]], atol=1e-4)
    assert train.box_labels(1).tolist() == [0, 1, 0]
    assert train.box_difficult(1).tolist() == [False, False, True]
    assert train.labels.tolist() == [1, 1]
    assert val.labels.tolist() == [-1, 0]
    assert val.box_counts().tolist() == [0, 1]
    assert set(train.coverage) == set(val.coverage) == {Coverage.ALL}


def test_torchvision_reads_the_same_boxes(tmp_path: Path) -> None:
    store = prepared(voc(tmp_path / "copy"), tmp_path / "store")
    for split in ("train", "val"):
        own = store.whole(split)
        for i, (_, target) in enumerate(VOCDetection(str(tmp_path / "copy"), "2007", split)):
            found = target["annotation"].get("object", [])
            corners = [[int(o["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")] for o in found]
            assert np.allclose(own.boxes(i).numpy() + np.array([1, 1, 0, 0]), np.reshape(corners, (-1, 4)), atol=1e-4)
            assert [store.classes[label][1] for label in own.box_labels(i)] == [o["name"] for o in found]


def test_boxes_that_count_from_zero_are_recorded(tmp_path: Path) -> None:
    store = prepared(voc(tmp_path / "copy"), tmp_path / "store", first_pixel=0)
    assert np.allclose(store.whole("val").boxes(1).numpy(), [[5, 5, 16, 16]], atol=1e-4)


def test_without_lists_names_decide_the_split(tmp_path: Path) -> None:
    copy = voc(tmp_path / "copy") / "VOCdevkit/VOC2007"
    for path in (copy / "ImageSets/Main").iterdir():
        path.unlink()
    with pytest.raises(
        UserError, match=r"PASCAL VOC's layout, without a validation split; prepare\.val_share=0\.5 holds"
    ):
        prepared(copy, tmp_path / "store")
    store = prepared(copy, tmp_path / "store", val_share=0.5)
    names = [name.partition("/")[2] for split in ("train", "val") for name in store.whole(split).names]
    assert sorted(names) == [f"{name}.jpg" for name in OBJECTS]


def split_folders(root: Path, *folders: str) -> Path:
    """ImageAI's layout: annotations/ and images/ of each split."""
    for number, folder in enumerate(folders):
        write(
            root / folder / "annotations", {f"{number}.{i}.xml": annotation(("dog", 0, 1, 1, 9, 9)) for i in range(8)}
        )
        write(root / folder / "images", {f"{number}.{i}.jpg": photo(9 * i) for i in range(8)})
    return root


def test_folders_named_like_splits_are_the_splits(tmp_path: Path) -> None:
    source = read_source(split_folders(tmp_path, "train", "validation", "test"))[1]
    names = {split: {record.name.partition(".")[0] for record in records} for split, records in source.splits.items()}
    assert names == {"train": {"train/0"}, "val": {"val/1"}, "test": {"test/2"}}
    assert source.held_out is None


@pytest.mark.parametrize("name", ["0", "0.1"])
def test_images_of_two_splits_may_share_their_name(name: str, tmp_path: Path) -> None:
    for number, folder in enumerate(("train", "validation", "test"), 1):
        objects = annotation(("dog", 0, 1, 1, 4 * number, 5))
        write(tmp_path / folder, {f"annotations/{name}.xml": objects, f"images/{name}.jpg": photo(9)})
    source = read_source(tmp_path)[1]
    boxes = [item.annotation.boxes for _, item in add_boxes(source, source.boxes()).items()]  # type: ignore
    assert [[box.right for box in each] for each in boxes] == [[4], [8], [12]]


@pytest.mark.parametrize("folders", [("train",), ("train", "test"), ("VOC2007", "VOC2012")])
def test_other_folders_are_split_by_name(folders: tuple[str, ...], tmp_path: Path) -> None:
    source = read_source(split_folders(tmp_path, *folders), CopyOptions(val_share=0.5))[1]
    assert source.held_out == 0.5
    found = {split: {record.name.split("/")[1] for record in records} for split, records in source.splits.items()}
    assert found["val"] == {name for name in found["train"] | found["val"] if is_held_out(name, 0.5)}
    assert len(found.get("test", ())) == 8 * ("test" in folders)


def test_listed_names_may_contain_spaces(tmp_path: Path) -> None:
    year = voc(tmp_path) / "VOCdevkit/VOC2007"
    for folder, suffix in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        (year / folder / f"000001.{suffix}").rename(year / folder / f"my dog 1.{suffix}")
    (year / "ImageSets/Main/train.txt").write_text("my dog 1 \r\n\n000002\n")
    assert [record.name for record in read_source(tmp_path)[1].splits["train"]] == [
        "train/my dog 1.jpg",
        "train/000002.jpg",
    ]


def test_two_images_of_one_annotation_are_named(tmp_path: Path) -> None:
    write(voc(tmp_path) / "VOCdevkit/VOC2007/JPEGImages", {"000001.png": photo(1)})
    with pytest.raises(UserError, match=r"JPEGImages/000001\.jpg and 000001\.png have one annotation"):
        read_source(tmp_path)


def test_missing_listed_image_is_named_and_squares_are_refused(tmp_path: Path) -> None:
    copy = voc(tmp_path / "copy")
    with pytest.raises(UserError, match=r"has boxes, not classes; add prepare\.encoding=whole"):
        prepared(copy, tmp_path / "store", encoding="raw")
    (copy / "VOCdevkit/VOC2007/JPEGImages/000002.jpg").unlink()
    with pytest.raises(UserError, match=r"train\.txt lists 000002, which is not in"):
        prepared(copy, tmp_path / "store")
