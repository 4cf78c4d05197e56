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


def linked_archive(*entries: tuple[str, str, bytes]) -> bytes:
    """Tar of entries (path, target, type): files without a target, and links; GNU tar writes the second name of a file
    as a hard link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, target, kind in entries:
            member = tarfile.TarInfo(path)
            member.type, member.linkname, member.size = kind, target, 0 if target else len(photo(9))
            archive.addfile(member, None if target else io.BytesIO(photo(9)))
    return buffer.getvalue()


FIRST = ("./n01000001_1.JPEG", "", tarfile.REGTYPE)


def linked_to(target: str) -> bytes:
    return linked_archive(("./n01000001_2.JPEG", target, tarfile.LNKTYPE), FIRST)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_hard_linked_files_are_read_from_their_target(suffix: str, tmp_path: Path) -> None:
    data = linked_to("n01000001_1.JPEG")
    copy = write(tmp_path, {f"x.{suffix}": gzip.compress(data) if suffix == "tar.gz" else data})
    found = {member.path: member.location.read() for member in list_members(whole_archive(copy / f"x.{suffix}"))}
    assert found == {"./n01000001_1.JPEG": photo(9), "./n01000001_2.JPEG": photo(9)}


def test_hard_link_that_leads_out_of_an_archive_is_named(tmp_path: Path) -> None:
    copy = write(tmp_path, {"x.tar": linked_to("/etc/passwd")})
    with pytest.raises(UserError, match=r"x.tar: ./n01000001_2.JPEG is a link to /etc/passwd, which is not in it"):
        list(list_members(whole_archive(copy / "x.tar")))


def listed(tmp_path: Path, *entries: tuple[str, str, bytes]) -> list[str]:
    copy = write(tmp_path, {"x.tar": linked_archive(*entries)})
    return [member.path for member in list_members(whole_archive(copy / "x.tar"))]


def test_hard_links_are_listed_in_their_place(tmp_path: Path) -> None:
    """A sample of a WebDataset shard is the files that are adjacent."""
    link = ("1.jpg", "0.jpg", tarfile.LNKTYPE)
    files = [(name, "", tarfile.REGTYPE) for name in ("0.jpg", "0.cls", "1.cls", "2.jpg")]
    entries = [*files[:2], link, *files[2:], ("3.jpg", "1.jpg", tarfile.LNKTYPE)]
    assert listed(tmp_path, *entries) == [path for path, *_ in entries]


@pytest.mark.parametrize("target", [("s.JPEG", "n01000001_1.JPEG", tarfile.SYMTYPE), ("._s.JPEG", "", tarfile.REGTYPE)])
def test_hard_link_to_what_is_skipped_is_skipped(target: tuple[str, str, bytes], tmp_path: Path) -> None:
    assert listed(tmp_path, FIRST, target, ("l.JPEG", target[0], tarfile.LNKTYPE)) == ["./n01000001_1.JPEG"]
