"""Validation split by image name, for copies without one (§7: "half of the images for training and half for testing").

The split of an image depends only on its name and the share, not on a seed or on other images. It does not change when
images are added; a larger share only adds images to `val`.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from alexnet_pl.data.sources.base import ImageRecord, LazyRecords

IMAGENET_NAME = re.compile(r"(n\d{8}_\d+)(?:_n\d{8})?(\.\w+)")  # Hugging Face's archives give the wnid twice
OLDER_SPLIT = "earlier versions held out other images for prepare.val_share"


def is_held_out(name: str, share: float) -> bool:
    """Whether the image `name` is in the fraction `share`, 0 to 1, that is held out for validation.

    For ImageNet's file names, only the first wnid, the number and the suffix are used, so that archives of synsets,
    folders unpacked from them and packed copies have the same split.
    """
    if match := IMAGENET_NAME.fullmatch(PurePosixPath(name).name):
        name = match[1] + match[2]
    return int.from_bytes(hashlib.sha256(name.encode("utf8", "surrogateescape")).digest()[:8]) / 2**64 < share


def split_by_name(listed: Callable[[], Iterable[ImageRecord]], share: float) -> dict[str, LazyRecords]:
    """Split the images that `listed` returns into `train` and `val`; `share`: fraction in `val`."""
    return {
        split: LazyRecords(lambda wanted=split == "val": (r for r in listed() if is_held_out(r.name, share) is wanted))
        for split in ("train", "val")
    }
