"""Links to folders are followed as `find -L` follows them; loops end."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import kaggle, photo, sorted_tree, tiny_imagenet, write

from alexnet_pl.data.archives.remote import walk_files
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError


def test_files_below_links_are_those_of_find(tmp_path: Path) -> None:
    write(tmp_path / "copy", {"a/1.jpg": b"1", "a/b/2": b"2"})
    write(tmp_path / "elsewhere", {"3.jpg": b"3"})
    for name in ("c", "a/d"):  # the same folder twice
        (tmp_path / "copy" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "copy/a/up").symlink_to(tmp_path / "copy")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "copy/a")
    words = ["find", "-L", str(tmp_path / "copy"), "-type", "f"]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    assert sorted(map(str, walk_files(tmp_path / "copy"))) == sorted(found)
    assert len(found) >= 4


@pytest.mark.parametrize(
    ("form", "inside"),
    [(sorted_tree, "val"), (kaggle, "ILSVRC/Data/CLS-LOC/val"), (tiny_imagenet, "tiny-imagenet-200/train")],
)
def test_linked_class_folders_are_read(form: Callable[[Path], Path], inside: str, tmp_path: Path) -> None:
    copy = form(tmp_path / "copy")
    wanted = [(split, record.name, record.label) for split, record in read_source(copy)[1].items()]
    for number, folder in enumerate([each for each in (copy / inside).iterdir() if each.is_dir()] or [copy / inside]):
        folder.rename(tmp_path / f"moved{number}")
        folder.symlink_to(tmp_path / f"moved{number}")
    assert [(split, record.name, record.label) for split, record in read_source(copy)[1].items()] == wanted


def test_link_of_a_class_to_nothing_is_named(tmp_path: Path) -> None:
    """As when the disk with the images is not mounted: the class would be lost from both splits."""
    write(tmp_path / "copy", {f"{split}/{name}/1.jpg": photo(1) for split in ("train", "val") for name in "ab"})
    for split in ("train", "val"):
        (tmp_path / "copy" / split / "c").symlink_to(tmp_path / "away/c")
    with pytest.raises(
        UserError, match=rf"^prepare.source: \S+/c is a link to {tmp_path}/away/c, which does not exist"
    ):
        read_source(tmp_path / "copy")
