"""Class folders within archives: the store of the unpacked tree, every layout, and what is refused."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from copies import Files, folder_files, folder_tgz, photo, shades, store, tar, write

from alexnet_pl.data.sources.base import CopyOptions, DatasetListing
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError


def names_and_labels(source: DatasetListing) -> dict[str, list[tuple[str, int]]]:
    return {split: sorted((r.name, r.label) for r in records) for split, records in source.splits.items()}


def test_same_names_as_of_the_unpacked_tree(tmp_path: Path) -> None:
    copy = folder_tgz(tmp_path / "packed")
    with tarfile.open(copy / "imagenette2.tgz") as archive:
        archive.extractall(tmp_path / "tree", filter="data")
    unpacked = read_source(tmp_path / "tree/imagenette2")[1]
    for place in (copy, copy / "imagenette2.tgz"):
        assert names_and_labels(read_source(place)[1]) == names_and_labels(unpacked)


def test_class_folders_without_splits_are_split_by_name(tmp_path: Path) -> None:
    files: Files = {f"101_ObjectCategories/{c}/image_{i:04d}.jpg": photo(i) for c in "ab" for i in range(40)}
    path = write(tmp_path / "packed", {"101_ObjectCategories.tar": tar(files)}) / "101_ObjectCategories.tar"
    write(tmp_path / "tree", {name.partition("/")[2]: data for name, data in files.items()})
    assert names_and_labels(read_source(path, CopyOptions(val_share=0.3))[1]) == names_and_labels(
        read_source(tmp_path / "tree", CopyOptions(val_share=0.3))[1]
    )
    with pytest.raises(UserError, match=r"no validation images; prepare.val_share=0.1 holds out a tenth of each class"):
        read_source(path)


def test_images_folders_and_unlabelled_test_images(tmp_path: Path) -> None:
    places = [f"{split}/{name}/images" for split in ("train", "val") for name in "ab"]
    files: Files = {f"{place}/{i}.jpg": photo(20 * i) for place in places for i in (1, 2)}
    files |= {"test/images/9.jpg": photo(90), "__MACOSX/train/a/._1.jpg": b"x"}
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    found = store(tmp_path / "archive.zip", tmp_path / "store")
    assert shades(found, "train") == [(20, "a"), (20, "b"), (40, "a"), (40, "b")]
    assert shades(found, "test") == [(90, "-")]


def refused(tmp_path: Path, files: Files) -> str:
    with pytest.raises(UserError) as error:
        read_source(write(tmp_path, {"x.tar": tar(files)}) / "x.tar")
    return str(error.value)


def test_what_is_refused(tmp_path: Path) -> None:
    train, val = folder_files()
    both: Files = {f"train/{name}": data for name, data in train.items()} | {f"val/{n}": d for n, d in val.items()}
    more = {"val/n07000000/1.JPEG": photo(1)}
    assert "x.tar/val has n07000000, unlike" in refused(tmp_path, both | more)
    assert "train/7.JPEG is in no class folder" in refused(tmp_path, both | {"train/7.JPEG": photo(1)})
    assert "class folders lie in several places" in refused(tmp_path, both | {"b/train/n01000001/1.JPEG": photo(1)})
    assert "n01000001 lies beside train, val" in refused(tmp_path, both | {"n01000001/1.JPEG": photo(1)})
    assert "no training images, only val" in refused(tmp_path, {f"val/{n}": d for n, d in val.items()})


@pytest.mark.parametrize("form", ["one archive", "one per split", "inside a split"])
def test_class_may_be_named_like_a_split(form: str, tmp_path: Path) -> None:
    classes = ["apple", "bullet_train", "crash_test", "pear-val", "test"]
    classes += ["train"] if form == "inside a split" else []
    trees: dict[str, Files] = {
        split: {f"{name}/{split}{i}.jpg": photo(i) for name in classes for i in range(70)} for split in ("train", "val")
    }
    for split, files in trees.items():
        write(tmp_path / f"tree/{split}", files)
    whole: Files = {f"photos/{split}/{name}": data for split, files in trees.items() for name, data in files.items()}
    packed: Files = {f"{split}.tar": tar(files) for split, files in trees.items()}
    place = write(tmp_path / "packed", packed if form == "one per split" else {"photos.tar": tar(whole)})
    found = read_source(place)[1]
    assert [name for name, _ in found.classes] == classes
    assert names_and_labels(found) == names_and_labels(read_source(tmp_path / "tree")[1])


def test_class_named_like_a_split_in_an_archive_without_splits(tmp_path: Path) -> None:
    files: Files = {f"{name}/{i}.jpg": photo(i) for name in ("bus", "crash_test") for i in range(20)}
    place = write(tmp_path, {"photos.tar": tar(files)}) / "photos.tar"
    found = read_source(place, CopyOptions(val_share=0.3))[1]
    assert ([name for name, _ in found.classes], sorted(found.splits)) == (["bus", "crash_test"], ["train", "val"])


TREES = {
    "flowers_train_test.zip": ("train/{}/1.jpg", "test/{}.jpg"),
    "flowers_train_val_test.tar": ("flowers/train/{}/1.jpg", "flowers/val/{}/1.jpg", "flowers/test/{}.jpg"),
    "flowers_train.tar": ("flowers/train/{}/1.jpg", "flowers/test/{}.jpg"),
    "flowers-test.tar": ("train/{}/1.jpg", "val/{}/1.jpg", "test/{}.jpg"),
    "my.zip": ("my_train/{}/1.jpg", "my_val/{}/1.jpg", "my_test/{}.jpg"),
    "my_train.tar": ("x/my-train/{}/images/1.jpg", "x/my-valid/{}/1.jpg", "x/my-test/{}.jpg"),
}


@pytest.mark.parametrize(
    ("name", "first"),
    [*((name, "classes") for name in TREES), *((name, "test") for name in TREES if "-test" not in name)],
)
def test_unlabelled_test_images_are_no_class(name: str, first: str, tmp_path: Path) -> None:
    """Whatever the archive's name says. They may come first, except in an archive that is named like one of them."""
    *classes, test = TREES[name]
    files: Files = {place.format(folder): photo(i) for place in classes for i, folder in enumerate("abcdefgh")}
    loose: Files = {test.format(i): photo(i) for i in range(100)}
    files = loose | files if first == "test" else files | loose
    place = write(tmp_path / "packed", {name: zipped(files) if name.endswith("zip") else tar(files)}) / name
    write(tmp_path / "tree", files)
    root = tmp_path / "tree" / test.rpartition("/")[0] / ".."
    options = CopyOptions(val_share=0.5)
    assert names_and_labels(read_source(place, options)[1]) == names_and_labels(read_source(root, options)[1])


def test_prefixed_folder_that_is_no_split_beside_splits_is_refused(tmp_path: Path) -> None:
    files: Files = {f"{split}/{name}/1.jpg": photo(1) for split in ("train", "val") for name in "ab"}
    assert "crash_test lies beside train, val" in refused(tmp_path, files | {"crash_test/1.jpg": photo(1)})
    assert "a, b lies beside test" in refused(
        tmp_path, {"a/1.jpg": photo(1), "b/1.jpg": photo(1), "test/1.jpg": photo(1)}
    )


def test_archive_of_unlabelled_images_beside_the_others_is_passed_over(tmp_path: Path) -> None:
    files = {split: tar({f"x_{split}/a/{i}.jpg": photo(i) for i in range(2)}) for split in ("train", "val")}
    place = write(tmp_path, {f"x_{split}.tar": data for split, data in files.items()})
    write(place, {"x_test.tar": tar({"x_test/1.jpg": photo(1)})})
    assert sorted(read_source(place)[1].splits) == ["train", "val"]


def test_archive_of_unlabelled_images_in_an_inner_folder_is_the_test_split(tmp_path: Path) -> None:
    """As in tiny-ImageNet, test/images/*."""
    archives = {
        split: tar({f"{name}/{i}.jpg": photo(i) for name in "ab" for i in range(2)}) for split in ("train", "val")
    }
    place = write(tmp_path, {f"{split}.tar": data for split, data in archives.items()})
    write(place, {"test.tar": tar({"test/images/1.jpg": photo(1)})})
    assert names_and_labels(read_source(place)[1])["test"] == [("test/1.jpg", -1)]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("flowers_train_val.zip", "flowers_test.zip"), ["test", "train", "val"]),
        (("stress_test_train.zip", "stress_test_val.zip"), ["train", "val"]),
    ],
)
def test_archives_with_two_splits_in_their_names(names: tuple[str, ...], splits: list[str], tmp_path: Path) -> None:
    files: Files = {f"{name}/{i}.jpg": photo(i) for name in ("rose", "tulip") for i in range(20)}
    place = write(tmp_path, {name: zipped(files) for name in names})
    found = read_source(place, CopyOptions(val_share=0.2))[1]
    assert sorted(found.splits) == splits
    assert [name for name, _ in found.classes] == ["rose", "tulip"]


def test_all_classes_may_be_named_like_splits(tmp_path: Path) -> None:
    files: Files = {f"{split}/{name}/1.jpg": photo(1) for split in ("train", "val") for name in ("train", "test")}
    place = write(tmp_path, {"all.zip": zipped(files)}) / "all.zip"
    assert [name for name, _ in read_source(place)[1].classes] == ["test", "train"]


def zipped(files: Files) -> bytes:
    room = io.BytesIO()
    with zipfile.ZipFile(room, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return room.getvalue()


@pytest.mark.parametrize("form", ["separators of Windows", "lists first", "plain .tar.gz", "gzipped .tar"])
def test_archive_that_is_written_or_named_unusually_is_read(form: str, tmp_path: Path) -> None:
    train, val = folder_files()
    files = {f"train/{name}": data for name, data in train.items()} | {f"val/{n}": d for n, d in val.items()}
    write(tmp_path / "tree", files)
    lists = {f"lists/{number}.xml": b"x" for number in range(100)}
    packed: Files = {
        "separators of Windows": {"x.zip": zipped({name.replace("/", "\\"): data for name, data in files.items()})},
        "lists first": {"x.zip": zipped(lists | files)},
        "plain .tar.gz": {"x.tar.gz": tar(files)},
        "gzipped .tar": {"x.tar": gzip.compress(tar(files))},
    }[form]
    found = read_source(next(write(tmp_path / "packed", packed).iterdir()))[1]
    assert names_and_labels(found) == names_and_labels(read_source(tmp_path / "tree")[1])
    for record in found.splits["train"]:
        assert record.location.read() == files[record.name]
