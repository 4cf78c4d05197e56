"""The whole of ImageNet (§7): Fall 2011 and Fall 2009, one archive n########.tar a synset, in a folder or an archive.

There is no official split. Half of each synset's images, by the hash of their names, are held out, as §7 does for Fall
2009 ("half of the images for training and half for testing"); which half an image is in depends on its name alone.
"""

import hashlib
from pathlib import Path

from alexnet_pl.data.source import Item, Place, Source
from alexnet_pl.data.tars import WNID, Member, by_class, first
from alexnet_pl.errors import UserError


def find_archives(source: Path) -> list[Path]:
    """n########.tar files, or archives of such."""
    if source.is_file():
        return [source]
    inner = [path for path in sorted(source.glob("n*.tar")) if WNID.match(path.name)]
    return inner or [path for path in sorted(source.glob("*.tar")) if WNID.match(first(path))]


def read_fall(source: Path, held_out: float = 0.5) -> Source:
    """Every synset that has images; `held_out`: the share of each that becomes `val`."""
    found = [pair for path in find_archives(source) for pair in by_class(Place(path))]
    if not found:
        raise UserError(f"data.source: {source} holds no n########.tar archives, nor an archive of such")
    classes = sorted({wnid for wnid, _ in found})
    index = {wnid: i for i, wnid in enumerate(classes)}
    splits: dict[str, list[Item]] = {"train": [], "val": []}
    for wnid, member in sorted(found):
        split = "val" if share(member) < held_out else "train"
        splits[split].append(Item(f"{wnid}/{member.name}", index[wnid], member.place))
    return Source([(wnid, wnid) for wnid in classes], splits)


def share(member: Member) -> float:
    """A number from 0 to 1 that the name determines and nothing else."""
    return int.from_bytes(hashlib.sha256(member.name.encode()).digest()[:8]) / 2**64
