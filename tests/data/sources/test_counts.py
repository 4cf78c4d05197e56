"""Image counts are checked against the development kit, the copy's own lists and the official splits."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from copies import WNIDS, archives, kaggle, photo, store, tar, tarred, tiny_imagenet, train_images, tree, write, zipped
from hosted_copies import packed, parquet, shards

from alexnet_pl.data.prepare.options import PrepareOptions, StoreSettings
from alexnet_pl.data.prepare.pipeline import make_store, repair_store
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import ImageReader
from alexnet_pl.data.sources import scenes, synthetic
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dataset_info import describe_dataset

LACKS_ONE = "train: 5 images, but there should be 6"
ONE_OF_CLASS = rf"{LACKS_ONE} \({WNIDS[0]} has 1 of 2\)"


def options(copy: Path, root: Path, name: str = "x", allow_incomplete: bool = False) -> PrepareOptions:
    return PrepareOptions(str(root), name, 16, source=str(copy), allow_incomplete=allow_incomplete)


@pytest.mark.parametrize(
    ("whole", "pack", "says"),
    [
        (tree, None, ONE_OF_CLASS),
        (tiny_imagenet, None, ONE_OF_CLASS),
        (kaggle, None, LACKS_ONE),
        (kaggle, zipped, LACKS_ONE),
        (kaggle, tarred, LACKS_ONE),
    ],
    ids=["development kit", "tiny-ImageNet", "Kaggle", "Kaggle's zip", "Kaggle's tar.gz"],
)
def test_copy_with_too_few_training_images_is_refused(
    whole: Callable[[Path], Path], pack: Callable[[Path, Path], Path] | None, says: str, tmp_path: Path
) -> None:
    copy = whole(tmp_path / "tree")
    next(copy.rglob(f"train/**/{WNIDS[0]}_1.JPEG")).unlink()
    with pytest.raises(UserError, match=rf"^prepare.source: {says}; get the copy again, .*allow_incomplete=true$"):
        store(pack(copy, tmp_path / "copy") if pack else copy, tmp_path / "store")
    assert not list(tmp_path.glob("store*")), "no store.partial either"


def test_extra_and_missing_images_do_not_cancel_out(tmp_path: Path) -> None:
    copy = tree(tmp_path / "copy")
    (copy / f"train/{WNIDS[0]}/{WNIDS[0]}_1.JPEG").rename(copy / f"train/{WNIDS[1]}/{WNIDS[0]}_1.JPEG")
    with pytest.raises(UserError, match=rf"there should be 6 \({WNIDS[0]} has 1 of 2 and 1 more classes\)"):
        store(copy, tmp_path / "store")


def test_accepted_incomplete_copy_records_its_counts_and_can_be_repaired(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    (copy / "ILSVRC2012_img_test.tar").unlink()
    files = train_images()
    del files[WNIDS[2]][f"{WNIDS[2]}_0.JPEG"]
    write(copy, {"ILSVRC2012_img_train.tar": tar({f"{wnid}.tar": tar(each) for wnid, each in files.items()})})
    chosen = options(copy, tmp_path / "store", "ilsvrc2012", allow_incomplete=True)
    make_store(chosen)
    found = Store(tmp_path / "store")
    said = [f"{LACKS_ONE} ({WNIDS[2]} has 1 of 2)"]
    assert describe_dataset(found, "val").missing == said
    shard = tmp_path / "store/val-000000.u8"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + b"x")
    assert repair_store(chosen, found) == [shard]
    assert shard.read_bytes() == whole


def test_missing_last_shards_are_found_by_info_json(tmp_path: Path) -> None:
    """Names of shards do not contain their number."""
    copy = shards(tmp_path / "copy")
    (copy / "imagenet22k-train-0001.tar").unlink()
    with pytest.raises(UserError, match=r"train: 3 images, but there should be 6"):
        store(copy, tmp_path / "store")
    about = json.loads((copy / "_info.json").read_text())
    about["splits"]["train"]["filenames"] = [f"imagenet22k-train-{number:04d}.tar" for number in range(2)]
    (copy / "_info.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"imagenet22k-train-0001.tar missing"):
        read_source(copy)
    (copy / "_info.json").write_text('{"splits": {"train": {}}}')
    with pytest.raises(UserError, match=r"_info.json has no sample counts of its splits"):
        read_source(copy)


@pytest.mark.parametrize("form", [packed, parquet, shards])
def test_store_with_an_official_name_needs_the_official_counts(form: Callable[[Path], Path], tmp_path: Path) -> None:
    """If the last of train_images_0.tar.gz to 4.tar.gz is missing, the numbers have no gap."""
    copy = form(tmp_path / "copy")
    (copy / "_info.json").unlink(missing_ok=True)
    says = r"train: 6 images, but there should be 1,281,167; val: 5 images, but there should be 50,000"
    with pytest.raises(UserError, match=says):
        make_store(options(copy, tmp_path / "store", "ilsvrc2012"))
    with pytest.raises(UserError, match=r"train: 6 images, but there should be 1,261,406"):
        make_store(options(copy, tmp_path / "store", "ilsvrc2010"))


def test_counts_are_printed_if_no_expected_counts_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_store(options(packed(tmp_path / "copy"), tmp_path / "store"))
    assert "counted 6 train, 5 val, 3 test images; the copy does not say how many" in capsys.readouterr().out
    make_store(options(tree(tmp_path / "tree"), tmp_path / "other"))
    assert "counted" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("listing", "read", "encoding"),
    [
        (synthetic.list_synthetic(6, 4), partial(synthetic.read_drawn, size=64), "raw"),
        (scenes.source(64, (1, 1), 6, 4), partial(scenes.read, size=64, objects=(1, 1)), "whole"),
    ],
    ids=["demo", "scenes"],
)
def test_drawn_images_are_counted(
    listing: DatasetListing, read: ImageReader, encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their number is known, so nothing is said about it."""
    prepare(listing, tmp_path / "store", StoreSettings("drawn", 64, {}, StoreEncoding(encoding), workers=1), read)
    assert listing.expected == {"train": 6, "val": 4}
    assert "how many" not in capsys.readouterr().out


def test_class_folders_named_ilsvrc2012_are_checked_against_its_counts(tmp_path: Path) -> None:
    copy = tree(tmp_path / "copy")
    for folder in ("val", "ILSVRC2012_devkit_t12"):
        shutil.rmtree(copy / folder)
    write(copy, {f"val/{wnid}/{wnid}_9.JPEG": photo(9) for wnid in WNIDS})
    with pytest.raises(UserError, match=r"val: 3 images, but there should be 50,000"):
        make_store(options(copy, tmp_path / "store", "ilsvrc2012"))
