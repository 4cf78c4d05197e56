"""Class folders: which images are listed, in which order, and messages for faulty copies."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.image_folder import read_folders
from alexnet_pl.errors import UserError

GOOD = ("train/b/2.jpg", "train/b/1.jpg", "train/a/1.jpg", "val/a/9.jpg", "val/b/8.jpg")
Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Create files, or folders for names that end in /, in a source folder."""

    def made(*names: str) -> Path:
        root = tmp_path / "copy"
        root.mkdir(exist_ok=True)
        for name in names:
            path = root / name
            if name.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
        return root

    return made


def listed(source: DatasetListing) -> dict[str, list[tuple[str, int]]]:
    return {split: [(item.name, item.label) for item in items] for split, items in source.splits.items()}


def test_classes_are_sorted_and_their_images_too(tree: Tree) -> None:
    root = tree(*GOOD)
    source = read_folders(root, {})
    assert source.classes == [("a", "a"), ("b", "b")]
    assert listed(source) == {
        "train": [("train/a/1.jpg", 0), ("train/b/1.jpg", 1), ("train/b/2.jpg", 1)],
        "val": [("val/a/9.jpg", 0), ("val/b/8.jpg", 1)],
    }
    assert all(item.location.path == root / item.name for items in source.splits.values() for item in items)


def test_order_of_creation_and_of_the_disk_do_not_matter(tree: Tree) -> None:
    """A hundred classes created in reverse order: labels are positions in the sorted list of ids."""
    ids = [f"n{number:08d}" for number in range(5000, 0, -50)]
    source = read_folders(tree(*(f"{split}/{each}/x.JPEG" for split in ("val", "train") for each in ids)), {})
    assert [each for each, _ in source.classes] == sorted(ids)
    for items in source.splits.values():
        assert [item.label for item in items] == list(range(100))
        assert [item.name.split("/")[1] for item in items] == sorted(ids)


def test_test_split_is_read_if_present(tree: Tree) -> None:
    source = read_folders(tree(*GOOD, "test/a/5.jpg", "test/b/6.jpg"), {})
    assert listed(source)["test"] == [("test/a/5.jpg", 0), ("test/b/6.jpg", 1)]


def test_unnamed_class_is_named_after_its_folder(tree: Tree) -> None:
    source = read_folders(tree(*GOOD), {"b": "bee", "z": "a class of another set"})
    assert source.classes == [("a", "a"), ("b", "bee")]


@pytest.mark.parametrize("suffix", ["JPEG", "jpeg", "jpg", "JPG", "png", "webp", "bmp", "gif", "tif"])
def test_image_suffixes_are_case_insensitive_and_others_are_skipped(tree: Tree, suffix: str) -> None:
    source = read_folders(tree(*GOOD, f"val/a/1.{suffix}", "val/a/notes.txt", "val/a/jpg", "train/list.txt"), {})
    assert [name for name, _ in listed(source)["val"]] == [f"val/a/1.{suffix}", "val/a/9.jpg", "val/b/8.jpg"]
    assert len(listed(source)["train"]) == 3


def test_hidden_folders_are_not_classes(tree: Tree) -> None:
    source = read_folders(tree(*GOOD, "train/.cache/1.jpg", "val/.ipynb_checkpoints/1.jpg", ".git/x"), {})
    assert [each for each, _ in source.classes] == ["a", "b"]


def test_hidden_files_are_not_images(tree: Tree) -> None:
    """A copy made on a Mac has a ._x.JPEG beside each x.JPEG, and none of them is an image."""
    source = read_folders(tree(*GOOD, "train/a/._1.jpg", "val/b/.8.jpg.swp.jpg", "val/b/.DS_Store"), {})
    assert [item.name for item in (*source.splits["train"], *source.splits["val"])] == [
        *("train/a/1.jpg", "train/b/1.jpg", "train/b/2.jpg"),
        *("val/a/9.jpg", "val/b/8.jpg"),
    ]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"), r"copy/val lacks b,"),
        (("train/a/1.jpg", "val/a/1.jpg", "val/c/1.jpg"), r"copy/val has c,"),
        (("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/c/1.jpg"), r"copy/val lacks b and has c,"),
        ((*GOOD, "test/a/1.jpg"), r"copy/test lacks b,"),
        (("train/a/1.jpg", "val/A/1.jpg"), r"copy/val lacks a and has A,"),
        ((*(f"train/{c}/1.jpg" for c in "abcdefg"), "val/a/1.jpg"), r"lacks b, c, d\b.* more"),
    ],
)
def test_splits_with_different_classes_are_refused_naming_the_class(
    tree: Tree, files: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        read_folders(tree(*files), {})


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((), r"copy/train does not exist \(expected: train/<class>/<image>\)"),
        (("train/",), r"copy/train has no class folders"),
        (("train/1.jpg", "val/1.jpg"), r"copy/train has no class folders"),
        (("val/a/1.jpg",), r"copy/train does not exist"),
        (("train/a/1.jpg",), r"copy/val does not exist"),
        (("train/a/1.jpg", "val/"), r"copy/val has no class folders"),
        (("train/a/", "val/a/"), r"copy/train/\w+ holds no images"),
        (("train/a/1.jpg", "val/a/"), r"copy/val/\w+ holds no images"),
        (("train/a/1.txt", "val/a/1.jpg"), r"copy/train/\w+ holds no images"),
        (("train", "val"), r"copy/train has no class folders"),
    ],
)
def test_folder_without_images_is_refused_by_name(tree: Tree, files: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=rf"^prepare.source: .*{says}"):
        read_folders(tree(*files), {})


def test_source_that_is_missing_or_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "archive.tar").write_bytes(b"")
    for name in ("away", "archive.tar"):
        with pytest.raises(UserError, match=rf"^prepare.source: {tmp_path}/{name} does not exist"):
            read_folders(tmp_path / name, {})


def test_split_folders_with_a_common_prefix(tree: Tree) -> None:
    """Those of ImageNet-21K-P. A class may be called so, too."""
    root = tree("x_train/a/1.jpg", "x_train/b/1.jpg", "x_val/a/2.jpg", "x_val/b/2.jpg")
    found = listed(read_folders(root, {}))
    assert found["val"] == [("x_val/a/2.jpg", 0), ("x_val/b/2.jpg", 1)]
    assert [name for name, _ in found["train"]] == ["x_train/a/1.jpg", "x_train/b/1.jpg"]


def test_class_called_bullet_train_is_no_split(tree: Tree) -> None:
    source = read_folders(tree("bullet_train/1.jpg", "crane/1.jpg"), {}, 0.5)
    assert [name for name, _ in source.classes] == ["bullet_train", "crane"]


def test_files_that_are_no_images_are_counted_by_suffix(tree: Tree) -> None:
    more = ("train/a/3.JFIF", "train/a/4.pgm", "train/a/5.jpe", "train/a/6.avif", "train/b/7", "val/a/8.AVIF")
    source = read_folders(tree(*GOOD, *more, "val/a/.DS_Store", "train/b/Thumbs.db"), {})
    for _ in range(2):  # listed twice, counted once
        names = {item.name for _, item in source.items()}
        assert {"train/a/3.JFIF", "train/a/4.pgm", "train/a/5.jpe"} <= names
        assert sum(source.skipped_files.values(), Counter()) == {".avif": 2, "": 1}
