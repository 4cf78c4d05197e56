"""Validation split by image name, for copies without one (§7: "half of the images for training and half for testing").

Which split an image is in depends on its name and the share alone, on no seed and on no other image: it stays there
when images are added, and a larger share only adds.
"""

import hashlib
from collections.abc import Callable, Iterable

from alexnet_pl.data.sources.base import ImageRecord, LazyRecords


def is_held_out(name: str, share: float) -> bool:
    """Whether the image `name` is one of the share, 0 to 1, that is held out for validation."""
    return int.from_bytes(hashlib.sha256(name.encode("utf8", "surrogateescape")).digest()[:8]) / 2**64 < share


def split_by_name(listed: Callable[[], Iterable[ImageRecord]], share: float) -> dict[str, LazyRecords]:
    """Splits `train` and `val` of the images that `listed` gives, `share` of them in `val`."""
    return {
        split: LazyRecords(lambda wanted=split == "val": (r for r in listed() if is_held_out(r.name, share) is wanted))
        for split in ("train", "val")
    }
