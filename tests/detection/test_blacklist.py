"""Blacklists of development kits, and what detection's changes in a test."""

from pathlib import Path

import pytest

from alexnet_pl.detection.blacklist import read_image_blacklist, read_object_blacklist
from alexnet_pl.errors import UserError

WNIDS = ["n01", "n02"]


def listed(tmp_path: Path, text: str) -> str:
    path = tmp_path / "blacklist.txt"
    path.write_text(text)
    return str(path)


def test_numbers_start_at_one(tmp_path: Path) -> None:
    assert read_image_blacklist(listed(tmp_path, "1\n50000\n")) == {0, 49_999}
    assert read_object_blacklist(listed(tmp_path, "3 n02\n3 n01\n\n7 n02\n"), WNIDS) == {(2, 1), (2, 0), (6, 1)}
    assert read_image_blacklist(None) == read_object_blacklist(None, WNIDS) == set()


@pytest.mark.parametrize("line", ["0", "-1", "x", "1 n01"])
def test_damaged_image_list_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=rf"detect\.blacklist: .*blacklist\.txt: '{line}': not an image number"):
        read_image_blacklist(listed(tmp_path, line))


@pytest.mark.parametrize(("line", "error"), [("1", "not an image number and"), ("1 n09", "n09 is no class")])
def test_damaged_object_list_is_named(tmp_path: Path, line: str, error: str) -> None:
    with pytest.raises(UserError, match=error):
        read_object_blacklist(listed(tmp_path, line), WNIDS)


def test_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"detect\.blacklist: .*none\.txt: cannot be read"):
        read_image_blacklist(str(tmp_path / "none.txt"))
