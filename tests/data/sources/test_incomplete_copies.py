"""Copies that are incomplete, corrupt or mixed up are refused or reported by file."""

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from copies import (
    SYNSETS,
    WNIDS,
    Files,
    archives,
    numbered,
    photo,
    shades,
    sorted_tree,
    store,
    tar,
    train_images,
    tree,
    write,
)
from copy_forms import FORMS
from hosted_copies import packed, parquet, shards

from alexnet_pl.data.prepare.options import PrepareOptions, StoreSettings
from alexnet_pl.data.prepare.pipeline import make_store
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.sources.base import CopyOptions, ImageRecord
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dataset_info import describe_dataset


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a-val-000.tar": tar({"0.jpg": photo(1), "0.cls": b"0"})}, "no files of the training split, only of val"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1)})}, "training images without a class"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1), "0.cls": b"x"})}, "the description of 0 is not JSON"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1), "0.cls": b"[1]"})}, "0.cls is not a class number"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1), "0.cls": b"0"})[:700]}, "corrupt or incomplete"),
        ({"train_images_0.tar.gz": b"\x1f\x8bno gzip"}, "train_images_0.tar.gz: corrupt or incomplete"),
        (
            {"train_images_0.tar.gz": gzip.compress(tar({"n01000001_1.JPEG": bytes(9000)}))[:-30]},
            "corrupt or incomplete",
        ),
        ({"imagenet-object-localization-challenge.zip": b"PK no zip"}, "challenge.zip: corrupt or incomplete"),
        (
            {"imagenet_object_localization_patched2019.tar.gz": gzip.compress(tar({"x": b""}))},
            "has no LOC_val_solution.csv",
        ),
        ({"data/train-00000-of-00001.parquet": b"PAR1"}, "train-00000-of-00001.parquet: corrupt or incomplete"),
    ],
)
def test_incomplete_download_is_reported_by_file(files: Files, says: str, tmp_path: Path) -> None:
    if any("parquet" in name for name in files):
        pytest.importorskip("pyarrow", reason="pyarrow is not here")
    copy = write(tmp_path / "copy", files)
    with pytest.raises(UserError, match=says):
        read_source(copy, CopyOptions(allow_incomplete=True))


def test_source_that_changes_while_read_makes_no_store(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    source = read_source(copy)[1]

    def growing(item: ImageRecord) -> tuple[np.ndarray, str]:
        with (copy / "ILSVRC2012_img_train.tar").open("ab") as file:
            file.write(bytes(512))
        return read_square(item, 16, "bilinear")

    with pytest.raises(UserError, match=r"ILSVRC2012_img_train.tar changed while it was read"):
        prepare(source, tmp_path / "store", StoreSettings("x", 16, {}), growing)
    assert not (tmp_path / "store").exists()


def hole(path: Path) -> None:
    """Overwrite the second header of the first inner archive with zeros."""
    data = bytearray(path.read_bytes())
    start = 512 + data[512:].index(b"n01000001_1.JPEG")
    data[start : start + 512] = bytes(512)
    path.write_bytes(data)


def exchange_kit(copy: Path) -> None:
    (copy / "ILSVRC2012_devkit_t12.tar.gz").unlink()
    write(copy, {"ILSVRC2014_devkit.tgz": gzip.compress(tar({"data/meta_det.mat": b"x"}))})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: hole(c / "ILSVRC2012_img_train.tar"), r"ILSVRC2012_img_train.tar: .*corrupt header"),
        (
            lambda c: (c / "ILSVRC2012_devkit_t12.tar.gz").unlink(),
            r"needs the development kit \(ILSVRC…devkit….tar.gz\) beside it$",
        ),
        (
            exchange_kit,
            r"needs the development kit of 2012; ILSVRC2014_devkit.tgz is another, without a meta.mat$",
        ),
    ],
)
def test_silent_loss_of_images_is_reported(spoil: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    """tarfile takes a corrupt header for the end, and archives without a kit look like those of all of ImageNet."""
    copy = archives(tmp_path / "copy")
    spoil(copy)
    with pytest.raises(UserError, match=says):
        store(copy, tmp_path / "store")


def test_archives_beside_their_unpacked_files_are_read_once(tmp_path: Path) -> None:
    """torchvision leaves copies like this."""
    copy = tree(tmp_path / "copy")
    shutil.rmtree(copy / "ILSVRC2012_devkit_t12")
    archives(copy)
    assert len(shades(store(copy, tmp_path / "store"), "val")) == 5


def test_images_of_another_year_are_refused(tmp_path: Path) -> None:
    copy = tree(tmp_path / "copy")
    for path in sorted((copy / "val").iterdir()):
        path.rename(path.with_name(path.name.replace("2012", "2010")))
    with pytest.raises(UserError, match=r"is of ILSVRC-2010, .* of ILSVRC-2012"):
        store(copy, tmp_path / "store")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_complete_copy_reports_nothing_missing(
    form: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "missing" not in store(form(tmp_path / "copy"), tmp_path / "store").description["settings"]
    assert "but there should be" not in capsys.readouterr().out


def test_duplicate_names_are_reported_in_any_row_order(tmp_path: Path) -> None:
    """Hugging Face's rows have no fixed order."""
    names = [f"{wnid}_{i}.JPEG" for i in range(3) for wnid in WNIDS]
    samples = {f"{i}.jpg": photo(i) for i in range(10)} | {f"{i}.cls": str(i % 3).encode() for i in range(10)}
    about = {f"{i}.json": json.dumps({"filename": name}).encode() for i, name in enumerate([*names, names[3]])}
    files = {name: (samples | about)[name] for i in range(10) for name in (f"{i}.jpg", f"{i}.cls", f"{i}.json")}
    sample = {"0.jpg": photo(1), "0.cls": b"0", "0.json": json.dumps({"filename": f"{WNIDS[0]}_9.JPEG"}).encode()}
    copy = write(tmp_path / "copy", {"x-train-0000.tar": tar(files), "x-val-0000.tar": tar(sample)})
    with pytest.raises(UserError, match=rf"^prepare.source: two images are called train/{names[3]}$"):
        store(copy, tmp_path / "store")


def test_duplicate_names_are_reported(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    write(copy, {"again.tar": tar({f"{WNIDS[0]}.tar": tar({f"{WNIDS[0]}_0.JPEG": photo(7)})})})
    with pytest.raises(UserError, match=rf"two images are called train/{WNIDS[0]}/{WNIDS[0]}_0.JPEG"):
        store(copy, tmp_path / "store")


def validation(copy: Path, year: int, count: int) -> None:
    write(copy, {"ILSVRC2012_img_val.tar": tar(numbered(year, "val", count))})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-11_000])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: cut(c / "ILSVRC2012_img_train.tar"), "ILSVRC2012_img_train.tar: corrupt or incomplete archive"),
        (lambda c: cut(c / "ILSVRC2012_img_val.tar"), "ILSVRC2012_img_val.tar: corrupt or incomplete archive"),
        (lambda c: (c / "ILSVRC2012_img_train.tar").unlink(), "no training images of n01000001 and 2 more"),
        (lambda c: (c / "ILSVRC2012_img_val.tar").unlink(), "5 of 5 val images are missing, from number 1"),
        (
            lambda c: validation(c, 2012, 4),
            "1 of 5 val images are missing",
        ),
        (
            lambda c: validation(c, 2012, 7),
            "val image number 6, but only 5",
        ),
        (
            lambda c: validation(c, 2010, 5),
            "is of ILSVRC-2010, .* of ILSVRC-2012",
        ),
        (
            lambda c: write(c, {"more.tar": tar({"n07000000.tar": tar({"x.JPEG": b""})})}),
            "training class n07000000 is not in",
        ),
        (
            lambda c: (c / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"no"),
            "devkit_t12.tar.gz: corrupt or incomplete archive",
        ),
    ],
)
def test_incomplete_copy_is_reported_by_file(spoil: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    spoil(copy)
    with pytest.raises(UserError, match=says):
        read_source(copy)


def test_class_of_the_other_years_devkit_is_reported(tmp_path: Path) -> None:
    """The two years share only 640 of their 1,000 classes."""
    copy = tree(tmp_path / "copy")
    (copy / "train/n09000009").rename(copy / "train/n09000010")
    with pytest.raises(UserError, match=r"training class n09000010 is not in .*of the other year"):
        read_source(copy)


def test_validation_image_in_the_wrong_class_folder_is_reported(tmp_path: Path) -> None:
    copy = sorted_tree(tmp_path / "copy")
    name = "ILSVRC2012_val_00000001.JPEG"
    (copy / "val" / SYNSETS[3][0] / name).rename(copy / "val" / SYNSETS[1][0] / name)
    with pytest.raises(UserError, match=r"is in n02000003, but .* says n09000009"):
        read_source(copy)


def remove(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).unlink()
    return root


INCOMPLETE = {
    "a Parquet file": (parquet, ["data/train-00001-of-00002.parquet"], r"train-00001-of-00002.parquet missing"),
    "all validation tables": (
        parquet,
        ["data/validation-00000-of-00002.parquet", "data/validation-00001-of-00002.parquet"],
        "all files of the validation split missing",
    ),
    "a train archive": (packed, ["train_images_0.tar.gz"], r"train_images_0.tar.gz missing"),
    "the validation archive": (packed, ["val_images.tar.gz"], "all files of the validation split missing"),
    "a shard": (shards, ["imagenet22k-train-0000.tar"], r"imagenet22k-train-0000.tar missing"),
    "all validation shards": (
        shards,
        ["imagenet22k-validation-0000.tar", "imagenet22k-validation-0001.tar"],
        "all files of the validation split missing",
    ),
}


@pytest.mark.parametrize("what", INCOMPLETE)
def test_missing_files_are_named(what: str, tmp_path: Path) -> None:
    make, names, says = INCOMPLETE[what]
    with pytest.raises(UserError, match=rf"{says}; download it again, or .*prepare.allow_incomplete=true"):
        read_source(remove(make(tmp_path / "copy"), *names))


def test_missing_parts_are_noticed_in_names_with_a_digest(tmp_path: Path) -> None:
    """As `push_to_hub` named them until 2023."""
    copy = parquet(tmp_path / "copy")
    for path in sorted(copy.glob("data/*.parquet")):
        path.rename(path.with_stem(f"{path.stem}-{hashlib.sha256(path.name.encode()).hexdigest()[:16]}"))
    assert len(list(read_source(copy)[1].splits["train"])) == 6
    (part,) = copy.glob("data/train-00001-*")
    part.unlink()
    with pytest.raises(UserError, match=r"data: train-00001-of-00002-\*.parquet missing; download it again"):
        read_source(copy)


def test_incomplete_copy_may_be_accepted_and_is_recorded(tmp_path: Path) -> None:
    copy = remove(shards(tmp_path / "copy"), "imagenet22k-train-0000.tar")
    _, source = read_source(copy, CopyOptions(allow_incomplete=True))
    assert source.missing == ["imagenet22k-train-0000.tar"]
    options = PrepareOptions(str(tmp_path / "store"), "part", 16, source=str(copy), allow_incomplete=True)
    make_store(options)
    summary = describe_dataset(Store(tmp_path / "store"), "train").missing
    assert summary == ["imagenet22k-train-0000.tar", "train: 3 images, but there should be 6"]


def test_desktop_files_are_skipped(tmp_path: Path) -> None:
    litter = {".DS_Store": b"x", "Thumbs.db": b"x", "desktop.ini": b"x", "._a.JPEG": b"x"}
    clean, dirty = archives(tmp_path / "clean"), archives(tmp_path / "dirty")
    for name, content in litter.items():
        (dirty / name).write_bytes(content)
    (dirty / "._ILSVRC2012_img_train.tar").write_bytes(b"no archive")
    (outer,) = dirty.glob("ILSVRC2012_img_train.tar")
    inner = {wnid: files | litter for wnid, files in train_images().items()}
    outer.write_bytes(tar({f"{wnid}.tar": tar(files) for wnid, files in inner.items()}))
    wanted, found = (store(copy, tmp_path / f"{copy.name}-store") for copy in (clean, dirty))
    for split in ("train", "val"):
        assert shades(found, split) == shades(wanted, split)


def test_archive_of_another_task_is_skipped_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = archives(tmp_path / "copy")
    wnid, files = next(iter(train_images().items()))
    dogs = {f"dog_{name}": content for name, content in files.items()}
    (copy / "ILSVRC2012_img_train_t3.tar").write_bytes(tar({f"{wnid}.tar": tar(dogs)}))
    _, source = read_source(copy)
    assert not [item for item in source.splits["train"] if "dog_" in item.name]
    assert "ignored: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ilsvrc2010", "ilsvrc2012"])
def test_synset_archives_cannot_have_an_official_name(tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for wnid, files in train_images().items():
        (copy / f"{wnid}.tar").write_bytes(tar(files))
    options = PrepareOptions(str(tmp_path / "store"), name, 16, source=str(copy))
    with pytest.raises(UserError, match=rf"a store named {name} also needs the validation images and the"):
        make_store(options)
    options = PrepareOptions(str(tmp_path / "store"), "fall2009", 16, source=str(copy))
    with pytest.raises(UserError, match=r"without a validation split; prepare\.val_share=0\.5 holds out half"):
        make_store(options)
    assert make_store(replace(options, val_share=0.5))
