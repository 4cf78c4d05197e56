"""Tar archives: read in place; links are never followed."""

import io
import tarfile
from pathlib import Path

from copies import archives, photo, train_images, write

from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.forms import read_source


def test_links_and_paths_that_lead_out_of_an_archive_are_never_followed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("n01000001_8.JPEG")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name in ("../../n01000001_9.JPEG", "/n01000001_7.JPEG"):
            member = tarfile.TarInfo(name)
            member.size = len(photo(9))
            archive.addfile(member, io.BytesIO(photo(9)))
    copy = write(tmp_path / "copy", {"n01000001.tar": buffer.getvalue()})
    found = read_source(copy)[1]
    names = [item.name for items in found.splits.values() for item in items]
    assert sorted(names) == ["n01000001/n01000001_7.JPEG", "n01000001/n01000001_9.JPEG"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["copy", "n01000001.tar"]


def test_archive_is_read_in_place(tmp_path: Path) -> None:
    source: DatasetListing = read_source(archives(tmp_path / "copy"))[1]
    for item in source.splits["train"]:
        wnid, name = item.name.split("/")[1:]
        assert item.location.read() == train_images()[wnid][name]
