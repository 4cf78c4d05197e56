"""Images nested deeper than the class folders: read in known layouts, refused by name elsewhere."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import WNIDS, kaggle, photo, shades, store, tree, write

from alexnet_pl.errors import UserError


def class_tree(root: Path) -> Path:
    """Folders train/<class>/ and val/<class>/ without a kit."""
    tree(root)
    for folder in ("val", "ILSVRC2012_devkit_t12"):
        shutil.rmtree(root / folder)
    shutil.copytree(root / "train", root / "val")
    return root


@pytest.mark.parametrize(
    ("form", "train"),
    [(class_tree, "train"), (tree, "train"), (kaggle, "ILSVRC/Data/CLS-LOC/train")],
    ids=["class folders", "development kit", "Kaggle"],
)
def test_image_nested_in_a_class_folder_is_named(form: Callable[[Path], Path], train: str, tmp_path: Path) -> None:
    copy = form(tmp_path / "copy")
    write(copy, {f"{train}/{WNIDS[1]}/more/deep/{WNIDS[1]}_9.JPEG": photo(9)})
    with pytest.raises(UserError, match=rf"{WNIDS[1]}/more/deep/{WNIDS[1]}_9.JPEG is in a folder within .*{WNIDS[1]},"):
        store(copy, tmp_path / "store")


def test_hidden_folders_and_folders_without_images_are_ignored(tmp_path: Path) -> None:
    copy = class_tree(tmp_path / "copy")
    write(copy, {f"train/{WNIDS[1]}/notes/a.txt": b"x", f"train/{WNIDS[1]}/.thumbs/a.jpg": b"x"})
    assert len(shades(store(copy, tmp_path / "store"), "train")) == 6


def test_folder_named_images_may_hold_the_images_of_a_class(tmp_path: Path) -> None:
    """tiny-ImageNet's train/<wnid>/images/, with val/ sorted in the same way or not."""
    plain, copy = class_tree(tmp_path / "plain"), class_tree(tmp_path / "copy")
    for wnid in WNIDS:
        (copy / "train" / wnid).rename(tmp_path / "moved")
        (copy / "train" / wnid).mkdir()
        (tmp_path / "moved").rename(copy / "train" / wnid / "images")
    wanted, found = store(plain, tmp_path / "plain-store"), store(copy, tmp_path / "store")
    for split in ("train", "val"):
        assert shades(found, split) == shades(wanted, split)
    write(copy, {f"train/{WNIDS[0]}/one.jpg": photo(9)})
    with pytest.raises(UserError, match=rf"images/{WNIDS[0]}_0.JPEG is in a folder within"):
        store(copy, tmp_path / "other")


def test_unlabelled_validation_images_name_the_missing_file(tmp_path: Path) -> None:
    copy = tree(tmp_path / "copy")
    shutil.rmtree(copy / "ILSVRC2012_devkit_t12")
    with pytest.raises(UserError, match=r"copy/val holds images without their classes; .*development kit.*Kaggle"):
        store(copy, tmp_path / "store")
