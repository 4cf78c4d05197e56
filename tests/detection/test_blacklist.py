"""Blacklists of development kits, and the effect of detection's blacklist on a test."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from alexnet_pl.detection.blacklist import read_image_blacklist, read_object_blacklist
from alexnet_pl.errors import UserError

WNIDS = ["n01", "n02"]
COMPLETE = SimpleNamespace(missing=[])


def listed(tmp_path: Path, text: str) -> str:
    path = tmp_path / "blacklist.txt"
    path.write_text(text)
    return str(path)


def split(name: str = "val", records: int = 9, unreadable: tuple[int, ...] = ()) -> Any:
    """Split of `records` images, of which those with the numbers `unreadable`, from 0, are left out."""
    slots = np.array([number for number in range(records) if number not in unreadable])
    names = [f"val/ILSVRC2012_val_{number + 1:08d}.JPEG" for number in slots]
    return SimpleNamespace(name=name, records=records, slots=slots, names=names, manifest=COMPLETE)


def named(*names: str) -> Any:
    slots = np.arange(len(names))
    return SimpleNamespace(name="val", records=len(names), slots=slots, names=list(names), manifest=COMPLETE)


def test_numbers_start_at_one(tmp_path: Path) -> None:
    assert read_image_blacklist(listed(tmp_path, "1\n9\n"), split()) == {0, 8}
    objects = read_object_blacklist(listed(tmp_path, "3 n02\n3 n01\n\n7 n02\n"), split(), WNIDS)
    assert objects == {(2, 1), (2, 0), (6, 1)}
    assert read_image_blacklist(None, split()) == read_object_blacklist(None, split(), WNIDS) == set()


def test_numbers_count_unreadable_images(tmp_path: Path) -> None:
    without_second = split(unreadable=(1,))
    assert read_image_blacklist(listed(tmp_path, "1\n2\n3\n"), without_second) == {0, 1}
    assert read_object_blacklist(listed(tmp_path, "2 n01\n3 n02\n"), without_second, WNIDS) == {(1, 1)}


@pytest.mark.parametrize("name", ["n02/ILSVRC2012_val_{:08d}.JPEG", "val/ILSVRC2012_val_{:08d}_n01440764.JPEG"])
def test_numbers_for_localisation_are_those_in_the_names(tmp_path: Path, name: str) -> None:
    """A folder for each class and Hugging Face's files have other orders; a store may have some of the classes."""
    stored = named(*(name.format(number) for number in (7, 2, 40_000)))
    assert read_image_blacklist(listed(tmp_path, "1\n2\n40000\n"), stored) == {1, 2}


def test_numbers_for_detection_are_the_order_of_the_names(tmp_path: Path) -> None:
    names = ["val/ILSVRC2012_val_00000018.JPEG", "val/ILSVRC2012_val_00044972.JPEG", "val/ILSVRC2013_val_00000565.JPEG"]
    path = listed(tmp_path, "2 n01\n3 n02\n")
    assert read_object_blacklist(path, named(*names), WNIDS) == {(1, 0), (2, 1)}
    with pytest.raises(UserError, match=r"in another order from ILSVRC2013_val_00000565\.JPEG"):
        read_object_blacklist(path, named(*reversed(names)), WNIDS)


@pytest.mark.parametrize(
    ("tested", "error"),
    [(split("test"), "the tested split is test"), (named("val/1.JPEG"), "store has val/1.JPEG")],
)
def test_image_list_of_other_images_is_refused(tmp_path: Path, tested: Any, error: str) -> None:
    with pytest.raises(UserError, match=error):
        read_image_blacklist(listed(tmp_path, "3"), tested)


@pytest.mark.parametrize(
    ("tested", "error"),
    [(split("test"), "the tested split is test"), (split(records=2), "has image 3; .* 2 val images")],
)
def test_object_list_of_other_images_is_refused(tmp_path: Path, tested: Any, error: str) -> None:
    with pytest.raises(UserError, match=error):
        read_object_blacklist(listed(tmp_path, "3 n01"), tested, WNIDS)


def test_list_for_detection_needs_all_images(tmp_path: Path) -> None:
    """Without the first image, every number would name the image after it."""
    path, incomplete = listed(tmp_path, "2 n01"), split(records=2)
    incomplete.manifest = SimpleNamespace(missing=["test: 1 images, but there should be 2"])
    assert read_object_blacklist(path, incomplete, WNIDS) == {(1, 0)}
    incomplete.manifest.missing.append("val: 2 images, but there should be 3")
    with pytest.raises(UserError, match=r"the store lacks some \(val: 2 images, but there should be 3\)"):
        read_object_blacklist(path, incomplete, WNIDS)


@pytest.mark.parametrize("line", ["0", "00", "-1", "x", "1 n01", "9" * 5000])
def test_damaged_image_list_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=rf"detect\.blacklist: .*blacklist\.txt: '{line[:60]}': not an image number"):
        read_image_blacklist(listed(tmp_path, line), split())


@pytest.mark.parametrize(("line", "error"), [("1", "not an image number and"), ("1 n09", "n09 is not a class")])
def test_damaged_object_list_is_named(tmp_path: Path, line: str, error: str) -> None:
    with pytest.raises(UserError, match=error):
        read_object_blacklist(listed(tmp_path, line), split(), WNIDS)


def test_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"detect\.blacklist: .*none\.txt: cannot be read"):
        read_image_blacklist(str(tmp_path / "none.txt"), split())
