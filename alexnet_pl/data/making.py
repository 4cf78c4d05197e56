"""What `data.` of a recipe says of the making of a store, and the making."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pl.data import demo
from alexnet_pl.data.decode import FILTERS, read
from alexnet_pl.data.encoding import Encoding
from alexnet_pl.data.fall import HELD_OUT
from alexnet_pl.data.formats import ARCHIVES, read_source
from alexnet_pl.data.plan import Part
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.settings import SHARD, Settings
from alexnet_pl.data.source import Item, Source
from alexnet_pl.data.store import Store
from alexnet_pl.data.verify import repair
from alexnet_pl.errors import UserError


@dataclass
class Target:
    """The store to make: of `data`, the keys that `prepare` reads."""

    root: str
    name: str
    size: int = 256

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size}: at least 1")


@dataclass
class Making:
    """`names`: readable class names by folder; `synsets`: a file with the wnids to take of all of ImageNet's archives,
    and `held_out_share` the share of each that becomes val; `part`: "2/8" is the second of eight parts of the work;
    `workers`: processes, one more than cores where not given, one for few images.

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

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise ValueError(f"filter={self.filter}: one of {', '.join(FILTERS)}")
        if not 0 <= self.held_out_share < 1:
            raise ValueError(f"held_out_share={self.held_out_share}: a share, from 0 to less than 1")
        for key in ("size", "images_per_shard", "workers"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise ValueError(f"{key}={value}: at least 1")
        self.kept_as.check()
        _ = self.share

    @property
    def kept_as(self) -> Encoding:
        return Encoding(self.encoding, self.quality)

    @property
    def share(self) -> Part:
        if self.part is None:
            return Part()
        number, _, of = self.part.partition("/")
        if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise ValueError(f"part={self.part}: such as 2/8, the second of eight parts")
        return Part(int(number), int(of))

    def listed(self) -> tuple[str, Source]:
        """(what was recognised, its images)."""
        if self.name == "demo":
            return "drawn by the program itself", demo.source()
        if not self.source:
            raise UserError(
                "prepare.source has no value yet: add prepare.source=FOLDER, the copy of the images to prepare"
            )
        synsets = Path(self.synsets) if self.synsets else None
        return read_source(Path(self.source), self.names, synsets, self.held_out_share)

    def settings(self, what: str) -> Settings:
        how: dict[str, Any] = {"drawn": "alexnet_pl.data.demo"}
        if self.name != "demo":
            how = {"filter": self.filter, "crop": "centre", "orientation": "ignored"}
        if what == ARCHIVES:
            how["held_out"] = self.held_out_share
        return Settings(self.name, self.size, how, self.kept_as, self.images_per_shard, self.workers)

    def reader(self) -> Callable[[Item], tuple[np.ndarray, str]]:
        if self.name == "demo":
            return partial(demo.read, size=self.size)
        return partial(read, size=self.size, how=self.filter)

    def make(self) -> dict[str, Any] | None:
        """The description of the store made, None where another part is still to come; says what it found."""
        what, source = self.listed()
        numbers = "" if source.numbers is None else ", with their ILSVRC ids"
        told = f"{what}, {len(source.classes):,} classes{numbers}, splits {', '.join(source.splits)}"
        print(f"{self.source or self.name}: {told}", flush=True)
        return prepare(source, Path(self.root), self.settings(what), self.reader(), self.share)

    def mend(self, store: Store) -> list[Path]:
        """The shards that were damaged and are whole again."""
        what, source = self.listed()
        return repair(store, source, self.settings_of(store, what), self.reader())

    def settings_of(self, store: Store, what: str) -> Settings:
        """Those that the store was made with; raise UserError where the recipe says others."""
        found = self.settings(what)
        self.check_same(store, settings=found.how)
        return found._replace(shard=store.about["shard"])

    def check_same(self, store: Store, **more: Any) -> None:
        """Raise UserError where the recipe's store would be another one than this."""
        own = {"name": self.name, "size": self.size, "encoding": self.kept_as.describe(), **more}
        for key, value in own.items():
            if store.about[key] != value:
                where = "data" if key in ("name", "size") else "prepare"
                raise UserError(f"{where}.{key}: the store at {store.root} has {store.about[key]}, the recipe {value}")
