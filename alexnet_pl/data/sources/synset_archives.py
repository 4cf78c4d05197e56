"""Whole releases of ImageNet (§7): Fall 2011, Fall 2009, Winter 2021; one archive n########.tar per synset, in a folder
or in an outer archive.

There is no official split. `prepare.val_share` of each synset's images becomes `val`, chosen by a hash of the image's
name; the recipe `fall2009` has 0.5, as §7 ("half of the images for training and half for testing").
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path, PurePosixPath

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.members import list_archive
from alexnet_pl.data.archives.tar import (
    TAR_SUFFIXES,
    WNID,
    first_member_name,
    is_desktop_file,
    list_class_archives,
    list_members,
)
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.data.sources.name_split import is_held_out
from alexnet_pl.data.sources.text_files import read_text
from alexnet_pl.errors import UserError

HELD_OUT = 0.5
FIRST = 8  # members that show what kind of archive it is; a text may come first


def find_archives(source: Path) -> list[Path]:
    """Find n########.tar files, or archives that contain such files.

    Raises UserError if `source` is an archive that begins with other files, since all its members would be listed.
    """
    if source.is_file():
        check_synset_archive(source)
        return [source]
    inner = [path for path in sorted(source.glob("n*.tar")) if WNID.match(path.name)]
    named = [path for path in sorted(source.iterdir()) if path.name.endswith(TAR_SUFFIXES)]
    outer = [path for path in named if not is_desktop_file(path.name)]
    return inner or [path for path in outer if is_synset_archive(first_member_name(path))]


def is_synset_archive(path: str) -> bool:
    return path.endswith(".tar") and WNID.match(PurePosixPath(path).name) is not None


def check_synset_archive(path: Path) -> None:
    is_zip = path.suffix == ".zip"
    if WNID.match(path.name) and not is_zip:
        return
    first = [member.path for member in islice(list_archive(path, lambda name: True), FIRST)]
    has_synsets = any(map(is_synset_archive, first))
    if is_zip or (first and not has_synsets):
        problem = f"begins with {first[0] if first else 'nothing'}, not with archives of synsets (n########.tar)"
        problem = "holds archives of synsets, but is itself no tar archive" if is_zip and has_synsets else problem
        raise UserError(f"prepare.source: {path} {problem}; unpack it, and give the folder")


def read_synset_archives(source: Path, synsets: Path | None = None, val_share: float = HELD_OUT) -> DatasetListing:
    """List all synsets that have an archive.

    `synsets`: a file of the wnids to keep, one per line. `val_share`: fraction of each synset that becomes `val`.
    Raises UserError if there are no archives, or none of a listed synset.
    """
    archives = sorted(pair for path in find_archives(source) for pair in list_class_archives(path))
    if not archives:
        raise UserError(f"prepare.source: {source} holds no n########.tar archives, nor an archive of such")
    if synsets is not None:
        archives = filter_synsets(archives, synsets, source)
    return HashSplitListing(
        [(wnid, wnid) for wnid in sorted({wnid for wnid, _ in archives})],
        archives=archives,
        held_out=val_share,
    )


def filter_synsets(
    archives: list[tuple[str, ByteLocation]], synsets: Path, source: Path
) -> list[tuple[str, ByteLocation]]:
    """Keep the archives of the wnids listed in the file `synsets`, such as the 10,184 of Fall 2009."""
    wanted = read_synsets(synsets)
    if missing := sorted(wanted - {wnid for wnid, _ in archives}):
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise UserError(f"prepare.synsets: {source} has no archive of {missing[0]}{more}, which {synsets} lists")
    return [(wnid, location) for wnid, location in archives if wnid in wanted]


def read_synsets(path: Path) -> set[str]:
    """Read the wnids of a list, one per line. Raises UserError if it cannot be read."""
    wanted = set(read_text(path, "prepare.synsets").split())
    if invalid := sorted(word for word in wanted if not WNID.fullmatch(word)):
        raise UserError(f"prepare.synsets: {path}: {invalid[0]!r} is not a wnid; give one per line, such as n01440764")
    return wanted


@dataclass(frozen=True)
class HashSplitListing(DatasetListing):
    """Listing that splits images by a hash of their names, in one pass over the archives."""

    splits: dict[str, LazyRecords] = field(init=False)
    archives: list[tuple[str, ByteLocation]] = field(default_factory=list)
    held_out: float = HELD_OUT

    def __post_init__(self) -> None:
        halves = {split: LazyRecords(lambda split=split: self.images_of(split)) for split in ("train", "val")}
        object.__setattr__(self, "splits", halves)

    def images_of(self, wanted: str) -> Iterator[ImageRecord]:
        return (item for split, item in self.items() if split == wanted)

    def items(self) -> Iterator[tuple[str, ImageRecord]]:
        for label, (wnid, group) in enumerate(groupby(self.archives, key=lambda pair: pair[0])):
            for member in sorted(member for _, location in group for member in list_members(location)):
                split = "val" if is_held_out(member.name, self.held_out) else "train"
                yield split, ImageRecord(f"{wnid}/{member.name}", label, member.location)
