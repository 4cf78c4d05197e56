"""Image encoding of a store: squares as `raw` pixels or, at a sixth of the size, as `jpeg`; or `whole` images."""

from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from alexnet_pl.data.store import jpeg, raw
from alexnet_pl.json_records import JsonObject

WHOLE = "whole"
NAMES = (raw.NAME, jpeg.NAME, WHOLE)


class StoreEncoding(NamedTuple):
    """Encoding by name; `quality` (1 … 100) applies to JPEG only."""

    name: str = raw.NAME
    quality: int = 95

    def check(self) -> None:
        """Raise ValueError, naming the key, for an unknown encoding or a value out of range."""
        if self.name not in NAMES:
            raise ValueError(f"encoding={self.name}: one of {', '.join(NAMES)}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality={self.quality}: from 1 to 100")

    @property
    def is_jpeg(self) -> bool:
        """Whether images are JPEGs in tar archives."""
        return self.name != raw.NAME

    @property
    def is_whole(self) -> bool:
        """Whether images keep their aspect ratio and have boxes."""
        return self.name == WHOLE

    @property
    def suffix(self) -> str:
        return raw.SUFFIX if self.name == raw.NAME else jpeg.SUFFIX

    def describe(self) -> dict[str, object]:
        """Entry `encoding` of store.json. `subsampling`: of the chroma, the same in all stores."""
        return {"name": raw.NAME} if self.name == raw.NAME else {**self._asdict(), "subsampling": 420}

    def bytes_per_image(self, size: int) -> int:
        """Bytes of an image whose shorter side has `size` pixels; for JPEG an estimate from photographs."""
        if self.name == raw.NAME:
            return 3 * size**2
        longer = 1.5 if self.is_whole else 1  # photographs of 3:2
        return int(longer * size**2 * (0.5 if self.quality <= 95 else 1.3))

    def writer(self, file: IO[bytes], size: int) -> "raw.RawWriter | jpeg.JpegWriter":
        if self.name == raw.NAME:
            return raw.RawWriter(file, size)
        return jpeg.JpegWriter(file, self.quality)

    def reader(
        self, root: Path, split: str, counts: list[int], size: int, index: np.ndarray | None
    ) -> "raw.RawReader | jpeg.JpegReader":
        paths = [root / shard_name(split, number, self) for number in range(len(counts))]
        if index is None:
            return raw.RawReader(paths, counts, size)
        return jpeg.JpegReader(paths, counts, index)


def parse_encoding(described: JsonObject) -> StoreEncoding:
    """Encoding from its entry in store.json. Raises TypeError for an unknown key."""
    return StoreEncoding(**{key: value for key, value in described.items() if key != "subsampling"})


def shard_name(split: str, number: int, encoding: StoreEncoding) -> str:
    return f"{split}-{number:06d}.{encoding.suffix}"
