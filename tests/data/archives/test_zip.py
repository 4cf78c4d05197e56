"""Zip archives against Python's zipfile."""

import io
import stat
import zipfile
from functools import partial
from pathlib import Path

import pytest

from alexnet_pl.data.archives import zip
from alexnet_pl.data.archives.location import zip_location
from alexnet_pl.data.sources.box_files import index_boxes
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError

CONTENT = {"a/one.JPEG": b"\xff\xd8 one", "a/two.JPEG": bytes(70_000), "tables/ä.csv": b"x,y\n" * 9, "empty": b""}


class Unseekable(io.BytesIO):
    """Stream for a zip program that writes to a pipe: sizes and checksums come after each file instead of before."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("a pipe")

    def tell(self) -> int:
        raise OSError("a pipe")


def zipped(path: Path, room: io.BytesIO | None = None) -> Path:
    file = room or io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"a comment of the whole"
        for number, (name, data) in enumerate(CONTENT.items()):
            archive.writestr(name, data, (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)[number % 2])
    path.write_bytes(file.getvalue())
    return path


@pytest.fixture(params=["plain", "64 bits", "piped"])
def archive(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "64 bits":
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 4)
        monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = zipped(tmp_path / "x.zip", Unseekable() if request.param == "piped" else None)
    assert (b"PK\6\6" in path.read_bytes()) == (request.param == "64 bits")
    return path


def test_members_match_zipfile(archive: Path) -> None:
    with zipfile.ZipFile(archive) as library:
        wanted = [(each.filename, each.header_offset, each.file_size, each.CRC) for each in library.infolist()]
        found = list(zip.list_zip_members(archive, lambda name: True))
        assert [tuple(each) for each in found] == wanted
        for each in found:
            assert zip.read_member(archive, *each[1:]) == library.read(each.name) == CONTENT[each.name]


def test_links_folders_and_unwanted_names_are_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.mkdir("folder")
        link = zipfile.ZipInfo("link.JPEG")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("1.xml", "x", zipfile.ZIP_BZIP2)  # cannot be read in place, but is not requested
        archive.writestr("1.JPEG", "x")
    found = zip.list_zip_members(tmp_path / "x.zip", lambda name: not name.endswith(".xml"))
    assert [each.name for each in found] == ["1.JPEG"]
    with pytest.raises(UserError, match=r"x.zip: 1.xml is compressed by method 12; unpack the archive"):
        list(zip.list_zip_members(tmp_path / "x.zip", lambda name: True))


@pytest.mark.parametrize("kept", [0, 10, 100, -1, -30, -200])
def test_truncated_archive_is_reported(tmp_path: Path, kept: int) -> None:
    path = zipped(tmp_path / "x.zip")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^prepare.source: .*x.zip: corrupt or incomplete archive"):
        list(zip.list_zip_members(path, lambda name: True))


TABLES = {
    "imagenet.zip": ("LOC_val_solution.csv", read_source),
    "tiny-imagenet-200.zip": ("tiny-imagenet-200/wnids.txt", read_source),
    "boxes.zip": ("1.xml", partial(index_boxes, first=0)),
}


@pytest.mark.parametrize("position", [1, 9, 60])
@pytest.mark.parametrize("name", TABLES)
def test_corrupt_table_is_named(name: str, position: int, tmp_path: Path) -> None:
    """A changed byte ends in an error of zlib, in other content, or in fewer bytes."""
    (table, read), text = TABLES[name], bytes(range(32, 127)) * 9
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(table, text)
        archive.writestr("ILSVRC/Data/CLS-LOC/val/1.JPEG" if name == "imagenet.zip" else "other", b"")
    data = bytearray((tmp_path / name).read_bytes())
    data[zip.LOCAL_HEADER.size + len(table) + position] ^= 0x55
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=rf"^prepare\.(source|boxes): .*{name}: .*{Path(table).name}: corrupt \("):
        read(tmp_path / name)


@pytest.mark.parametrize("room", [io.BytesIO(), Unseekable()], ids=["plain", "piped"])
def test_changed_byte_in_a_stored_file_is_detected(tmp_path: Path, room: io.BytesIO) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(room, "w") as archive:
        archive.writestr("1.JPEG", b"pixels")
    path.write_bytes(room.getvalue().replace(b"pixels", b"pickle", 1))
    (member,) = zip.list_zip_members(path, lambda name: True)
    with pytest.raises(ValueError, match="checksum"):
        zip_location(path, member).read()
