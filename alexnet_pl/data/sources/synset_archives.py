"""The whole of ImageNet (§7): Fall 2011, Fall 2009 or Winter 2021, one archive n########.tar a synset, in a folder or
in an archive of such.

There is no official split. Half of each synset's images, by the hash of their names, are held out, as §7 does for Fall
2009 ("half of the images for training and half for testing"); which half an image is in depends on its name alone.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.tar import (
    GZIP_SUFFIXES,
    WNID,
    Member,
    list_class_archives,
    first_member_name,
    is_desktop_file,
    list_members,
)
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords
from alexnet_pl.errors import UserError

HELD_OUT = 0.5


def find_archives(source: Path) -> list[Path]:
    """n########.tar files, or archives of such."""
    if source.is_file():
        return [source]
    inner = [path for path in sorted(source.glob("n*.tar")) if WNID.match(path.name)]
    named = [path for path in sorted(source.iterdir()) if path.name.endswith((".tar", *GZIP_SUFFIXES))]
    outer = [path for path in named if not is_desktop_file(path.name)]
    return inner or [
        path for path in outer if WNID.match(first_member_name(path)) and first_member_name(path).endswith(".tar")
    ]


def read_synset_archives(source: Path, synsets: Path | None = None, held_out_share: float = HELD_OUT) -> DatasetListing:
    """Every synset that has an archive, or of these the ones that a file `synsets` lists, a wnid a line.
    `held_out_share`: the share of each that becomes `val`."""
    archives = sorted(pair for path in find_archives(source) for pair in list_class_archives(path))
    if not archives:
        raise UserError(f"prepare.source: {source} holds no n########.tar archives, nor an archive of such")
    if synsets is not None:
        archives = filter_synsets(archives, synsets, source)
    return HashSplitListing(
        [(wnid, wnid) for wnid in sorted({wnid for wnid, _ in archives})],
        archives=archives,
        held_out_share=held_out_share,
    )


def filter_synsets(
    archives: list[tuple[str, ByteLocation]], synsets: Path, source: Path
) -> list[tuple[str, ByteLocation]]:
    """Fall 2009's 10,184 synsets are a list that its owner has."""
    try:
        wanted = set(synsets.read_text().split())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"prepare.synsets: {synsets}: cannot be read ({error})") from error
    if invalid := sorted(word for word in wanted if not WNID.fullmatch(word)):
        raise UserError(f"prepare.synsets: {synsets}: {invalid[0]!r} is no wnid; give one such as n01440764 a line")
    if missing := sorted(wanted - {wnid for wnid, _ in archives}):
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise UserError(f"prepare.synsets: {source} has no archive of {missing[0]}{more}, which {synsets} lists")
    return [(wnid, location) for wnid, location in archives if wnid in wanted]


@dataclass(frozen=True)
class HashSplitListing(DatasetListing):
    """Both halves in one pass over the archives."""

    splits: dict[str, LazyRecords] = field(init=False)
    archives: list[tuple[str, ByteLocation]] = field(default_factory=list)
    held_out_share: float = HELD_OUT

    def __post_init__(self) -> None:
        halves = {split: LazyRecords(lambda split=split: self.images_of(split)) for split in ("train", "val")}
        object.__setattr__(self, "splits", halves)

    def images_of(self, wanted: str) -> Iterator[ImageRecord]:
        return (item for split, item in self.items() if split == wanted)

    def items(self) -> Iterator[tuple[str, ImageRecord]]:
        for label, (wnid, group) in enumerate(groupby(self.archives, key=lambda pair: pair[0])):
            for member in sorted(member for _, location in group for member in list_members(location)):
                split = "val" if name_hash_fraction(member) < self.held_out_share else "train"
                yield split, ImageRecord(f"{wnid}/{member.name}", label, member.location)


def name_hash_fraction(member: Member) -> float:
    """A number from 0 to 1 that the name determines and nothing else."""
    return int.from_bytes(hashlib.sha256(member.name.encode("utf8", "surrogateescape")).digest()[:8]) / 2**64
