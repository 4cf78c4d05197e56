"""Tar archives: read in place; links are never followed."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from copies import archives, photo, train_images, write

from alexnet_pl.data.archives.tar import list_members, whole_archive
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError


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


def linked_archive(target: str) -> bytes:
    """A class of two images, of which the first is a hard link, as GNU tar writes the second name of a file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link, member = tarfile.TarInfo("./n01000001_2.JPEG"), tarfile.TarInfo("./n01000001_1.JPEG")
        link.type, link.linkname, member.size = tarfile.LNKTYPE, target, len(photo(9))
        archive.addfile(link)
        archive.addfile(member, io.BytesIO(photo(9)))
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_hard_linked_files_are_read_from_their_target(suffix: str, tmp_path: Path) -> None:
    data = linked_archive("n01000001_1.JPEG")
    copy = write(tmp_path, {f"x.{suffix}": gzip.compress(data) if suffix == "tar.gz" else data})
    found = {member.path: member.location.read() for member in list_members(whole_archive(copy / f"x.{suffix}"))}
    assert found == {"./n01000001_1.JPEG": photo(9), "./n01000001_2.JPEG": photo(9)}


def test_hard_link_that_leads_out_of_an_archive_is_named(tmp_path: Path) -> None:
    copy = write(tmp_path, {"x.tar": linked_archive("/etc/passwd")})
    with pytest.raises(UserError, match=r"x.tar: ./n01000001_2.JPEG is a link to /etc/passwd, which is not in it"):
        list(list_members(whole_archive(copy / "x.tar")))
