"""Options of `prepare`, and the settings that a store is made with."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alexnet_pl.data.images import FILTERS
from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.sources.synset_archives import HELD_OUT
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.runtime import cores

SHARD = 1024  # images a file: as many as the program's own batch files held
IMAGES_PER_WORKER = 2048


class StoreSettings(NamedTuple):
    """What a store is made with. `how`: the making of the squares, in words, kept in store.json.

    `shard`: images a file; `workers`: processes; None: as many as suit the machine.
    """

    name: str
    size: int
    preparation: dict[str, Any]
    encoding: StoreEncoding = StoreEncoding()
    shard: int = SHARD
    workers: int | None = None

    def num_workers(self, images: int) -> int:
        """Workers for so many images: one more than there are cores, as one of them waits for the disk; few images are
        made by one while others would still be starting."""
        return self.workers or min(cores() + 1, 1 + images // IMAGES_PER_WORKER)


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
    """`names`: readable class names by folder; `synsets`: a file with the wnids to take of all of ImageNet's archives,
    and `held_out_share` the share of each that becomes val; `part`: "2/8" is the second of eight parts of the work;
    `workers`: processes, one more than cores where not given, one for few images; `allow_incomplete`: take a copy of
    which files are missing.

    Raises ValueError, beginning with the key, for a value that there is none of.
    """

    root: str
    name: str
    size: int = 256
    source: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    synsets: str | None = None
    held_out_share: float = HELD_OUT
    filter: str = "bilinear"
    encoding: str = "raw"
    quality: int = 95
    images_per_shard: int = SHARD
    workers: int | None = None
    part: str | None = None
    repair: bool = False
    allow_incomplete: bool = False

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise ValueError(f"filter={self.filter}: one of {', '.join(FILTERS)}")
        if not 0 <= self.held_out_share < 1:
            raise ValueError(f"held_out_share={self.held_out_share}: a share, from 0 to less than 1")
        for key in ("size", "images_per_shard", "workers"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ValueError(f"{key}={value}: at least 1")
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
