"""Synset archives without official splits: held out by image name, in any share."""

import io
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest
from copies import photo, write

from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import list_source
from alexnet_pl.data.sources import synset_archives
from alexnet_pl.data.sources.base import CopyOptions
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.sources.synset_archives import read_synset_archives
from alexnet_pl.errors import UserError


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    for wnid in ("n00000001", "n00000002"):
        with tarfile.open(tmp_path / f"{wnid}.tar", "w") as tar:
            for number in range(500):
                member = tarfile.TarInfo(f"{wnid}_{number}.JPEG")
                member.size = 1
                tar.addfile(member, io.BytesIO(b"x"))
    return tmp_path


def test_held_out_shares_of_fall_2009_and_fall_2011(archives: Path) -> None:
    """§7; an image held out with a small share is also held out with a larger one."""
    held = {}
    for share in (0.0, 0.004, 0.1, 0.5):
        what, source = read_source(archives, CopyOptions(val_share=share))
        train, val = ({item.name for item in source.splits[split]} for split in ("train", "val"))
        assert what == "archives of synsets"
        assert len(train) + len(val) == 1000
        assert not train & val
        held[share] = val
    assert not held[0.0]
    assert held[0.004] <= held[0.1] <= held[0.5]
    assert (70 < len(held[0.1]) < 130, 450 < len(held[0.5]) < 550) == (True, True)
    assert {item.name for item in read_synset_archives(archives).splits["val"]} == held[0.5]


def test_archive_of_other_files_is_refused_by_its_first_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "photographs.tgz", []
    with tarfile.open(path, "w:gz") as tar:
        for number in range(100):
            tar.addfile(tarfile.TarInfo(f"{number}.JPEG"))
    whole = synset_archives.list_archive
    monkeypatch.setattr(
        synset_archives, "list_archive", lambda place, accept: (seen.append(m) or m for m in whole(place, accept))
    )
    with pytest.raises(UserError, match=rf"^prepare.source: {path} begins with 0.JPEG, .*; unpack it, and give the"):
        read_source(path)
    assert len(seen) < 10


def test_list_of_synsets_is_refused_for_every_other_form(archives: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("n00000001\n")
    write(tmp_path / "tree", {f"{wnid}/{i}.jpg": photo(i) for wnid in ("n00000001", "n00000002") for i in range(9)})
    options = partial(PrepareOptions, str(tmp_path / "store"), "x", synsets=str(tmp_path / "list.txt"), val_share=0.5)
    assert [wnid for wnid, _ in list_source(options(source=str(archives)))[1].classes] == ["n00000001"]
    says = rf"^prepare.synsets: only classes of archives .*, but {tmp_path}/tree holds class folders; remove the key$"
    with pytest.raises(UserError, match=says):
        list_source(options(source=str(tmp_path / "tree")))


@pytest.mark.parametrize(
    ("name", "inside", "says"),
    [
        ("photographs.zip", "1.JPEG", r"begins with 1.JPEG, not with archives of synsets \(n########.tar\)"),
        ("n00000001.zip", "n00000001_1.JPEG", "begins with n00000001_1.JPEG, not with"),
        ("fall.zip", "n00000001.tar", "holds archives of synsets, but is itself no tar archive"),
    ],
)
def test_sound_zip_that_no_form_has_is_to_be_unpacked(name: str, inside: str, says: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr(inside, photo(1))
    with pytest.raises(UserError, match=rf"^prepare.source: \S+{name} {says}.*; unpack it, and give the folder$"):
        read_source(tmp_path / name)
