"""Options of `prepare`, and the settings of a store."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_pl.data.images import FILTERS
from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.sources.base import CopyOptions
from alexnet_pl.data.sources.official_sets import KNOWN_COUNTS
from alexnet_pl.data.sources.scenes import MOST_OBJECTS
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.manifest import check_name
from alexnet_pl.runtime.cores import cores

SHARD = 1024  # images per shard, as in the authors' batch files
IMAGES_PER_WORKER = 2048


class StoreSettings(NamedTuple):
    """Settings of a store. `how`: filter, crop and so on, saved as `settings` in store.json; `shard`: images
    per file; `workers`: number of processes, None for a number that suits the machine;
    `allow_incomplete`: accept other numbers of images than expected, and many that cannot be read."""

    name: str
    size: int
    how: dict[str, Any]
    encoding: StoreEncoding = StoreEncoding()
    shard: int = SHARD
    workers: int | None = None
    allow_incomplete: bool = False

    def num_workers(self, images: int) -> int:
        """Default worker count: cores + 1, since one is usually blocked on I/O; 1 below 2,048 images, where start-up
        dominates."""
        return self.workers or min(cores() + 1, 1 + images // IMAGES_PER_WORKER)


def without_missing(value: Any) -> Any:
    """Settings without `missing`, the files that the copy lacked; image names are compared instead."""
    return {k: v for k, v in value.items() if k != "missing"} if isinstance(value, dict) else value


@dataclass
class StoreTarget:
    """Keys of the `data` section that `prepare` reads."""

    root: str
    name: str
    size: int = 256

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.size < 1:
            raise ValueError(f"size={self.size}: at least 1")


@dataclass
class PrepareOptions:
    """Section `prepare`, and `root`, `name` and `size` of section `data`; described in configs/_base.yaml."""

    root: str
    name: str
    size: int = 256
    source: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    synsets: str | None = None
    val_share: float | None = None
    filter: str = "bilinear"
    encoding: str = "raw"
    quality: int = 95
    boxes: str | None = None
    first_pixel: int | None = None
    objects: list[int] = field(default_factory=lambda: [0, 3])
    images_per_shard: int = SHARD
    workers: int | None = None
    part: str | None = None
    repair: bool = False
    allow_incomplete: bool = False

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise ValueError(f"filter={self.filter}: one of {', '.join(FILTERS)}")
        if self.val_share is not None and not 0 <= self.val_share < 1:
            raise ValueError(f"val_share={self.val_share}: at least 0 and below 1")
        for key in ("size", "images_per_shard", "workers"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ValueError(f"{key}={value}: at least 1")
        if self.first_pixel not in (None, 0, 1):
            raise ValueError(f"first_pixel={self.first_pixel}: 0 as in ILSVRC's files, or 1 as in PASCAL VOC's")
        if self.boxes is not None and not self.store_encoding.is_whole:
            raise ValueError(f"boxes={self.boxes}: only a store of whole images has boxes; add prepare.encoding=whole")
        if len(self.objects) != 2 or not 0 <= self.objects[0] <= self.objects[1] <= MOST_OBJECTS:
            raise ValueError(f"objects={self.objects}: minimum and maximum number in a scene, from 0 to {MOST_OBJECTS}")
        self.store_encoding.check()
        _ = self.work_part

    @property
    def store_encoding(self) -> StoreEncoding:
        return StoreEncoding(self.encoding, self.quality)

    @property
    def copy_options(self) -> CopyOptions:
        synsets = Path(self.synsets) if self.synsets else None
        classified = self.name in KNOWN_COUNTS or not self.store_encoding.is_whole  # squares have no boxes
        return CopyOptions(self.names, synsets, self.val_share, self.allow_incomplete, self.first_pixel, classified)

    @property
    def work_part(self) -> Part:
        if self.part is None:
            return Part()
        number, _, of = self.part.partition("/")
        if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise ValueError(f"part={self.part}: such as 2/8, the second of eight parts")
        return Part(int(number), int(of))
