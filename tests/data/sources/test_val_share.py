"""`prepare.val_share`: validation split by image name for class folders without a validation split."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from copies import WNIDS, photo, tar, train_images, write
from hosted_copies import packed, parquet, shards

from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store, repair_store
from alexnet_pl.data.sources import name_split
from alexnet_pl.data.sources.base import CopyOptions
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.sources.name_split import is_held_out
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


@pytest.fixture
def caltech(tmp_path: Path) -> Path:
    """Layout of Caltech-101: <class>/image_0001.jpg, with the same names in every class."""
    names = [f"{c}/image_{number:04d}.jpg" for c in ("ant", "beaver", "crab") for number in range(1, 61)]
    return write(tmp_path / "101_ObjectCategories", {name: photo(n) for n, name in enumerate(names)})


def split_of(copy: Path, share: float) -> dict[str, set[str]]:
    source = read_source(copy, CopyOptions(val_share=share))[1]
    return {split: {record.name for record in records} for split, records in source.splits.items()}


def test_message_suggests_val_share(caltech: Path) -> None:
    with pytest.raises(
        UserError, match=r"ant, beaver, crab, …\), not train/ and val/; prepare.val_share=0.1 holds out"
    ):
        read_source(caltech)


def test_share_is_held_out_by_name_and_a_larger_share_only_adds(caltech: Path) -> None:
    tenth, half = split_of(caltech, 0.1), split_of(caltech, 0.5)
    for split in (tenth, half):
        assert not split["train"] & split["val"]
        assert len(split["train"] | split["val"]) == 180
    assert tenth["val"] < half["val"]
    assert (8 <= len(tenth["val"]) <= 30, 70 <= len(half["val"]) <= 110) == (True, True)
    assert len({name.split("/")[1] for name in half["val"]}) > 40  # classes hold out different numbers
    (caltech / "ant/image_0099.jpg").write_bytes(photo(1))
    more = split_of(caltech, 0.1)
    assert tenth["val"] <= more["val"]
    assert tenth["train"] <= more["train"]


def test_store_and_log_record_the_share(caltech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(PrepareOptions(str(tmp_path / "store"), "caltech", 16, source=str(caltech), val_share=0.1))
    assert "no validation split: 10 % of the images are held out by name" in capsys.readouterr().out
    assert Store(tmp_path / "store").description["settings"]["held_out"] == 0.1


def test_store_among_the_class_folders_is_refused(caltech: Path) -> None:
    """Its unfinished folder would be a class when `prepare` resumes."""
    options = PrepareOptions(str(caltech / "store"), "x", 16, source=str(caltech), val_share=0.1)
    with pytest.raises(UserError, match=r"^data\.root: .*/store would be a class folder of"):
        make_store(options)
    assert not list(caltech.glob("store*"))
    make_store(replace(options, root=str(caltech / ".store")))
    assert Store(caltech / ".store").description["settings"]["held_out"] == 0.1


def test_train_folder_without_val_is_split_and_test_is_unchanged(caltech: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    caltech.rename(copy / "train")
    write(copy, {f"test/{name}/1.jpg": photo(1) for name in ("ant", "beaver", "crab")})
    with pytest.raises(UserError, match=r"copy/val does not exist .*; prepare.val_share=0.1 holds out a tenth of"):
        read_source(copy)
    found = split_of(copy, 0.1)
    assert len(found["test"]) == 3
    assert len(found["train"] | found["val"]) == 180


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_alternative_validation_folder_names_make_the_share_unused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{split}/{wnid}/{wnid}_{n}.JPEG": photo(n) for n, split in enumerate(("train", name)) for wnid in WNIDS}
    copy = write(tmp_path / "copy", files)
    make_store(PrepareOptions(str(tmp_path / "store"), "x", 16, source=str(copy), val_share=0.1))
    assert "prepare.val_share is not used" in capsys.readouterr().out
    assert "held_out" not in Store(tmp_path / "store").description["settings"]


@pytest.mark.parametrize("form", [parquet, packed, shards])
def test_packed_copies_without_validation_files_are_split(form: Callable[[Path], Path], tmp_path: Path) -> None:
    copy = form(tmp_path / "copy")
    whole = {record.name for record in read_source(copy)[1].splits["train"]}
    for path in [*copy.rglob("*val*"), *copy.glob("_info.json")]:
        path.unlink()
    with pytest.raises(UserError, match=r"all files of the validation split.* missing"):
        read_source(copy)
    found = split_of(copy, 0.5)
    assert found["train"] | found["val"] == whole
    assert found["val"] == {name for name in whole if is_held_out(name, 0.5)}
    assert read_source(copy, CopyOptions(val_share=0.5))[1].held_out == 0.5


def test_share_of_imagenet_names_does_not_depend_on_the_form_of_the_copy(tmp_path: Path) -> None:
    """Fall 2009 and Fall 2011 as archives, which gave the splits of older stores, unpacked, and in one archive."""
    files = {wnid: {f"{wnid}_{i}.JPEG": photo(1) for i in range(40)} for wnid in WNIDS}
    tree = {f"{wnid}/{name}": data for wnid, images in files.items() for name, data in images.items()}
    copies = [
        write(tmp_path / "archives", {f"{wnid}.tar": tar(images) for wnid, images in files.items()}),
        write(tmp_path / "tree", tree),
        write(tmp_path / "packed", {"all.tar": tar({f"fall2011/{name}": data for name, data in tree.items()})}),
    ]
    digests = {name: hashlib.sha256(name.encode()).digest()[0] for images in files.values() for name in images}
    for copy in copies:
        found = split_of(copy, 0.5)
        assert {name.rpartition("/")[2] for name in found["val"]} == {n for n, first in digests.items() if first < 128}


@pytest.mark.parametrize("number", range(8))
def test_name_with_the_wnid_twice_has_the_split_of_the_other(number: int) -> None:
    """As in Hugging Face's archives."""
    plain = f"n01440764_{number}.JPEG"
    held_out = hashlib.sha256(plain.encode()).digest()[0] < 128
    assert is_held_out(f"train/n01440764_{number}_n01440764.JPEG", 0.5) is is_held_out(plain, 0.5) is held_out


@pytest.mark.parametrize("name", ["a/b.jpg", "train/n01440764/a.jpg", "scan20230115_1.jpg", "a/n01440764.JPEG"])
def test_share_of_other_names_is_of_their_whole_path(name: str) -> None:
    assert is_held_out(name, 0.5) == (hashlib.sha256(name.encode()).digest()[0] < 128)


def test_validation_shards_that_a_list_names_are_missing_all_the_same(tmp_path: Path) -> None:
    copy = shards(tmp_path / "copy")
    for path in copy.glob("*validation*"):
        path.unlink()
    with pytest.raises(UserError, match=r"all files of the validation split.* missing"):
        read_source(copy, CopyOptions(val_share=0.5))


def test_image_beside_the_class_folders_is_named(tmp_path: Path) -> None:
    files = {f"{split}/a/1.jpg": photo(1) for split in ("train", "val")} | {"train/lost.jpg": photo(2)}
    with pytest.raises(UserError, match=r"copy/train/lost.jpg is in no class folder"):
        read_source(write(tmp_path / "copy", files))


def test_official_data_set_refuses_a_share(tmp_path: Path) -> None:
    copy = write(
        tmp_path / "copy", {f"{wnid}/{name}": d for wnid, f in train_images().items() for name, d in f.items()}
    )
    options = PrepareOptions(str(tmp_path / "store"), "ilsvrc2012", 16, source=str(copy), val_share=0.5)
    with pytest.raises(UserError, match=r"a store named ilsvrc2012 also needs the validation images"):
        make_store(options)


@pytest.mark.parametrize(("share", "split", "advice"), [(0.0, "val", "larger"), (0.9999, "train", "smaller")])
def test_share_that_leaves_no_image_is_named(
    share: float, split: str, advice: str, tmp_path: Path, caltech: Path
) -> None:
    options = PrepareOptions(str(tmp_path / "store"), "x", 16, source=str(caltech), val_share=share)
    says = rf"^prepare.val_share={share:g}: leaves no images of {split}; choose a {advice} share$"
    with pytest.raises(UserError, match=says):
        make_store(options)


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5])
def test_invalid_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"^val_share=.*: at least 0 and below 1"):
        PrepareOptions("x", "x", val_share=share)


def make(caltech: Path, root: Path, part: str | None = None, val_share: float = 0.3) -> None:
    make_store(PrepareOptions(str(root), "x", 16, source=str(caltech), val_share=val_share, part=part))


def hash_file_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold out other images, as an earlier version did."""
    monkeypatch.setattr(name_split, "IMAGENET_NAME", re.compile(r"(image_\d+)(\.jpg)"))


def test_repair_of_a_store_of_an_earlier_version_says_so(
    caltech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "store"
    make(caltech, root)
    hash_file_names(monkeypatch)
    options = PrepareOptions(str(root), "x", 16, source=str(caltech), val_share=0.3, workers=1)
    says = "that .*store was made from; earlier versions held out other images for prepare.val_share, and such a store"
    with pytest.raises(UserError, match=f"these are not the images of train {says} must be prepared again$"):
        repair_store(options, Store(root, check=False))
    (root / "train.names.jsonl").write_text("")
    with pytest.raises(UserError, match=f"these are not the images of train {says}"):
        repair_store(options, Store(root, check=False))


def test_unfinished_store_of_another_share_is_named(caltech: Path, tmp_path: Path) -> None:
    make(caltech, tmp_path / "store", part="1/2", val_share=0.5)
    says = r"^prepare.val_share=0.25: .*store.partial was started with 0.5; resume with the same, or delete it$"
    with pytest.raises(UserError, match=says):
        make(caltech, tmp_path / "store", val_share=0.25)


def test_unfinished_store_of_an_earlier_version_is_named(
    caltech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(caltech, tmp_path / "store", part="1/2")
    hash_file_names(monkeypatch)
    says = (
        r"started with other images; .* or delete it \(earlier versions held out other images for prepare.val_share\)$"
    )
    with pytest.raises(UserError, match=says):
        make(caltech, tmp_path / "store")
