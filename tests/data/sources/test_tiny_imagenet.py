"""tiny-ImageNet: its parent folder, the folder or the zip as source; corrupt copies are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from copies import SYNSETS, TRUTH, WNIDS, photo, shades, store, tiny_imagenet, tiny_imagenet_zip
from running import Compose

from alexnet_pl.commands import prepare
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError

FOLDER = "tiny-imagenet-200"


@pytest.mark.parametrize("inside", ["", FOLDER, f"{FOLDER}.zip"])
def test_folder_or_zip_may_be_the_source(inside: str, tmp_path: Path) -> None:
    copy = (tiny_imagenet_zip if inside.endswith(".zip") else tiny_imagenet)(tmp_path / "copy")
    form, source = read_source(copy / inside)
    assert form == "tiny-ImageNet"
    assert source.classes == sorted(SYNSETS.values())
    assert source.class_counts == [2, 2, 2]
    found = {split: [(r.name, r.label) for r in records] for split, records in source.splits.items()}
    assert found["train"][:3] == [(f"train/{w}/{w}_{i}.JPEG", n) for n, w in enumerate(WNIDS) for i in range(2)][:3]
    assert found["val"] == [(f"val/val_{i}.JPEG", WNIDS.index(SYNSETS[t][0])) for i, t in enumerate(TRUTH)]
    assert found["test"][0] == ("test/test_0.JPEG", -1)
    assert next(iter(source.splits["val"])).location.read() == photo(30)


def test_all_classes_do_not_become_the_store_of_the_recipes_for_half_of_them(config: Compose, tmp_path: Path) -> None:
    copy = tiny_imagenet(tmp_path / "copy")
    says = r"holds the official tiny-ImageNet \(wnids.txt\), not tinyimagenet; prepare it with -c folder, or choose "
    with pytest.raises(UserError, match=says):
        prepare.prepare(config("folder", f"prepare.source={copy}", f"data.root={tmp_path / 'tinyimagenet'}"), tmp_path)


DAMAGES: dict[str, tuple[str, bytes | None, str]] = {
    "no table of validation": ("val/val_annotations.txt", b"", "do not agree on image val_0.JPEG"),
    "an image of no line": ("val/images/val_9.JPEG", photo(9), "do not agree on image val_9.JPEG"),
    "a line of no image": ("val/images/val_2.JPEG", None, "do not agree on image val_2.JPEG"),
    "a line cut off": ("val/val_annotations.txt", b"val_0.JPEG", "val_annotations.txt: 'val_0.JPEG': fewer than 2"),
    "no text": ("wnids.txt", b"\xff\xfe", "wnids.txt: corrupt"),
    "a class of no list": ("train/n05000000/images/a.JPEG", photo(1), "class n05000000, which is not in wnids.txt"),
    "a class too many": ("wnids.txt", b"\n".join([w.encode() for w in WNIDS] + [b"n05000000"]), "no training images"),
    "a class too few": ("wnids.txt", "\n".join(WNIDS[:2]).encode(), f"class {WNIDS[2]}, which is not in wnids.txt"),
    "an image too many": (f"train/{WNIDS[0]}/images/{WNIDS[0]}_7.JPEG", photo(1), f"{WNIDS[0]} has 3 of 2"),
    "boxes cut off": (f"train/{WNIDS[1]}/{WNIDS[1]}_boxes.txt", b"a.JPEG\t1\t2", "a.JPEG': fewer than 5 columns"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_missing_or_inconsistent_files_are_named(what: str, tmp_path: Path) -> None:
    name, content, says = DAMAGES[what]
    copy = tiny_imagenet(tmp_path / "copy")
    path = copy / FOLDER / name
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^prepare.source: .*{says}"):
        store(copy, tmp_path / "store")


def test_class_names_and_boxes_may_be_missing(tmp_path: Path) -> None:
    """In copies that were reduced for classification."""
    copy = tiny_imagenet(tmp_path / "copy")
    for path in (copy / FOLDER / "words.txt", *copy.rglob("*_boxes.txt")):
        path.unlink()
    found = store(copy, tmp_path / "store")
    assert found.classes == [[wnid, wnid] for wnid in WNIDS]
    assert len(shades(found, "train")) == 6


@pytest.mark.parametrize("form", [tiny_imagenet, tiny_imagenet_zip])
def test_truncated_zip_is_named_and_a_renamed_folder_is_read(form: Callable[[Path], Path], tmp_path: Path) -> None:
    copy = form(tmp_path / "copy")
    if form is tiny_imagenet:
        (copy / FOLDER).rename(tmp_path / "tiny")
        assert read_source(tmp_path / "tiny")[0] == "tiny-ImageNet"
        return
    path = copy / f"{FOLDER}.zip"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UserError, match=r"tiny-imagenet-200.zip: corrupt or incomplete"):
        read_source(copy)
