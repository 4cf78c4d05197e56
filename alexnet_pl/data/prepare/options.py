"""Options of `prepare`, and the settings that a store is made with."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alexnet_pl.data.images import FILTERS
from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.sources.scenes import MOST_OBJECTS
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.remote import is_remote
from alexnet_pl.runtime import cores

SHARD = 1024  # images a file: as many as the program's own batch files held
FEW = 2048


class StoreSettings(NamedTuple):
    """What a store is made with. `how`: the making of the squares, in words, kept in store.json.

    `shard`: images a file; `workers`: processes; None: as many as suit the machine; `allow_incomplete`: take a copy
    that has another number of images than there should be.
    """

    name: str
    size: int
    how: dict[str, Any]
    encoding: StoreEncoding = StoreEncoding()
    shard: int = SHARD
    workers: int | None = None
    allow_incomplete: bool = False

    def num_workers(self, images: int) -> int:
        """Workers for so many images: one more than there are cores, as one of them waits for the disk; few images are
        made by one while others would still be starting."""
        return self.workers or min(cores() + 1, 1 + images // FEW)


@dataclass
class StoreTarget:
    """The store to make: of `data`, the keys that `prepare` reads."""

    root: str
    name: str
    size: int = 256

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size}: at least 1")


@dataclass
class PrepareOptions:
    """`names`: readable class names by folder; `synsets`: a file with the wnids to take of all of ImageNet's archives;
    `val_share`: of each class, the share that becomes val in a copy without such a split; `part`: "2/8" is the second
    of eight parts of the work; `boxes`: the folder, archive or table of the boxes, for a copy that has none itself, and
    `first_pixel` the number of an image's first pixel in it, 0 or 1; `objects`: the least and the most objects of a
    drawn scene; `workers`: processes, one more than cores where not given, one for few images; `allow_incomplete`: take
    a copy of which files or images are missing.

    Raises ValueError, beginning with the key, for a value that there is none of.
    """

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
        if self.source and is_remote(self.source):
            raise ValueError(
                f"source={self.source}: prepare reads a folder; mount the bucket, or copy it first, as by aws s3 sync"
            )
        if self.filter not in FILTERS:
            raise ValueError(f"filter={self.filter}: one of {', '.join(FILTERS)}")
        if self.val_share is not None and not 0 <= self.val_share < 1:
            raise ValueError(f"val_share={self.val_share}: a share, from 0 to less than 1")
        for key in ("size", "images_per_shard", "workers"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ValueError(f"{key}={value}: at least 1")
        if self.first_pixel not in (None, 0, 1):
            raise ValueError(f"first_pixel={self.first_pixel}: 0 as in ILSVRC's files, or 1 as in PASCAL VOC's")
        if self.boxes is not None and not self.store_encoding.is_whole:
            raise ValueError(f"boxes={self.boxes}: only a store of whole images has boxes; add prepare.encoding=whole")
        if len(self.objects) != 2 or not 0 <= self.objects[0] <= self.objects[1] <= MOST_OBJECTS:
            raise ValueError(f"objects={self.objects}: the least and the most of a scene, from 0 to {MOST_OBJECTS}")
        self.store_encoding.check()
        _ = self.work_part

    @property
    def store_encoding(self) -> StoreEncoding:
        return StoreEncoding(self.encoding, self.quality)

    @property
    def work_part(self) -> Part:
        if self.part is None:
            return Part()
        number, _, of = self.part.partition("/")
        if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise ValueError(f"part={self.part}: such as 2/8, the second of eight parts")
        return Part(int(number), int(of))
