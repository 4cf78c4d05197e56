"""train.txt, val.txt and test.txt beside images: lists of Caffe, Food-101 and users."""

from pathlib import Path

import pytest
from copies import Files, photo, write

from alexnet_pl.data.sources.base import CopyOptions, DatasetListing
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.sources.split_lists import rows
from alexnet_pl.errors import UserError


def listed(source: DatasetListing) -> dict[str, list[tuple[str, str]]]:
    names = [*(name for name, _ in source.classes), "-"]
    return {split: [(r.name, names[r.label]) for r in records] for split, records in source.splits.items()}


def images(*paths: str) -> Files:
    return {path: photo(10 * number) for number, path in enumerate(paths)}


def test_caffes_lists_map_folders_to_class_numbers(tmp_path: Path) -> None:
    """The numbers have their own order; validation images have no folders."""
    files = images("train/n2/a.JPEG", "train/n1/b.JPEG", "train/n2/c.JPEG", "val/x_1.JPEG", "val/x_2.JPEG")
    files |= {"train.txt": b"n2/a.JPEG 0\nn1/b.JPEG 1\nn2/c.JPEG 0\n", "val.txt": b"x_1.JPEG 1\nx_2.JPEG 0\n"}
    form, source = read_source(write(tmp_path / "copy", files), CopyOptions({"n1": "ant"}))
    assert form == "images with split lists"
    assert source.classes == [("n1", "ant"), ("n2", "n2")]
    assert listed(source) == {
        "train": [("train/n2/a.JPEG", "n2"), ("train/n1/b.JPEG", "n1"), ("train/n2/c.JPEG", "n2")],
        "val": [("val/x_1.JPEG", "n1"), ("val/x_2.JPEG", "n2")],
    }
    assert [record.location.read() for record in source.splits["val"]] == [photo(30), photo(40)]


def test_food_101_lists_have_no_suffix_and_no_validation_split(tmp_path: Path) -> None:
    classes, numbers = ("apple_pie", "waffles"), range(40)
    files = images(*(f"images/{name}/{number}.jpg" for name in classes for number in numbers))
    files["meta/train.txt"] = "".join(f"{c}/{n}\n" for c in classes for n in numbers if n < 30).encode()
    files["meta/test.txt"] = "".join(f"{c}/{n}\n" for c in classes for n in numbers if n >= 30).encode()
    copy = write(tmp_path / "copy", files)
    with pytest.raises(UserError, match=r"has no val.txt; prepare.val_share=0.1 holds out a tenth of train.txt"):
        read_source(copy)
    _, source = read_source(copy, CopyOptions(val_share=0.25))
    found = listed(source)
    assert (len(found["test"]), len(found["train"]) + len(found["val"]), source.held_out) == (20, 60, 0.25)
    assert 5 <= len(found["val"]) <= 25
    assert ("test/waffles/39", "waffles") in found["test"]
    assert not {name for name, _ in found["train"]} & {name for name, _ in found["val"]}


def test_paths_may_have_spaces_and_classes_may_be_words_or_missing(tmp_path: Path) -> None:
    files = images("a b.jpg", "c.png", "d.jpg", "sub/e f.jpg")
    files |= {"train.txt": b"a b.jpg  cat\n\nc.png\tdog\n", "val.txt": b"d.jpg dog\n", "test.txt": b"sub/e f.jpg\n"}
    _, source = read_source(write(tmp_path / "copy", files))
    assert listed(source) == {
        "train": [("train/a b.jpg", "cat"), ("train/c.png", "dog")],
        "val": [("val/d.jpg", "dog")],
        "test": [("test/sub/e f.jpg", "-")],
    }


def test_class_numbers_without_folders_are_the_classes(tmp_path: Path) -> None:
    files = images("x/a.jpg", "x/b.jpg", "x/c.jpg")
    files |= {"train.txt": b"x/a.jpg 10\nx/b.jpg 2\n", "val.txt": b"x/c.jpg 10\n"}
    _, source = read_source(write(tmp_path / "copy", files))
    assert source.classes == [("00002", "00002"), ("00010", "00010")]
    assert listed(source)["val"] == [("val/x/c.jpg", "00010")]


def test_class_folders_take_precedence_over_lists(tmp_path: Path) -> None:
    files = images("train/a/1.jpg", "val/a/1.jpg") | {"train.txt": b"whatever\n"}
    assert read_source(write(tmp_path / "copy", files))[0] == "class folders"


GOOD = images("a/1.jpg", "a/2.jpg", "b/1.jpg", "c.jpg") | {"train.txt": b"a/1.jpg\nb/1.jpg\n", "val.txt": b"a/2.jpg\n"}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"train.txt": b"a/1.jpg\na/7.jpg\n"}, r"train.txt, line 2: no image 'a/7.jpg' in "),
        ({"val.txt": b"a/2.jpg zebra\n"}, r"val.txt: a/2.jpg is of class zebra; train.txt lists no image of it"),
        ({"train.txt": b"a/1.jpg 0\nb/1.jpg 1\n", "val.txt": b"a/2.jpg 7\n"}, r"a/2.jpg is of class 7; train.txt"),
        ({"val.txt": b"c.jpg\n"}, r"val.txt: c.jpg has no class, neither beside it nor by its folder"),
        ({"val.txt": b"a/1.jpg\n"}, r"train.txt and .*val.txt both list a/1.jpg"),
        ({"train.txt": b"../a/1.jpg\n"}, r"train.txt, line 1: ../a/1.jpg leads out of"),
        ({"train.txt": b"/etc/passwd\n"}, r"train.txt, line 1: /etc/passwd leads out of"),
        ({"train.txt": b"\xff\xfe\n"}, r"train.txt: cannot be read"),
    ],
)
def test_faulty_line_is_named_with_its_list(files: Files, says: str, tmp_path: Path) -> None:
    copy = write(tmp_path / "copy", GOOD | files)
    with pytest.raises(UserError, match=rf"^prepare.source: .*{says}"):
        read_source(copy)


@pytest.mark.parametrize("line", ["x" * 300, f"{'x' * 300}.jpg 3"])
def test_line_longer_than_a_file_name_is_reported(tmp_path: Path, line: str) -> None:
    copy = write(tmp_path / "copy", {"train.txt": line.encode(), "val.txt": b""})
    with pytest.raises(UserError, match=r"train.txt, line 1: no image 'xxx"):
        read_source(copy)


def test_line_of_a_long_list_takes_few_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = write(tmp_path / "copy", images("train/n1/b.JPEG") | {"train.txt": b"n1/b.JPEG 1\n"})
    asked, is_file = [], Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: bool(asked.append(path)) or is_file(path))
    assert len(list(rows(copy, "train", copy / "train.txt"))) == 1
    assert len(asked) == 3  # the copy's folder, images/ and train/
