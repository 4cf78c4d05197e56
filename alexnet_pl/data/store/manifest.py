"""store.json: the manifest of a prepared store."""

import re
from dataclasses import dataclass
from pathlib import Path

from alexnet_pl.config.run_config import RUN_CONFIG
from alexnet_pl.data.store.encoding import parse_encoding
from alexnet_pl.data.store.integrity import DESCRIPTION
from alexnet_pl.desktop_files import is_empty
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import Count, JsonObject, parse_record, read_checked

FORMAT = 2
PLAIN_NAME = re.compile(r"\w[\w .,+@#()'-]{0,99}")


@dataclass(frozen=True)
class StoreFormat:
    format: Count


@dataclass(frozen=True)
class SplitManifest:
    """Split in store.json: readable `images` among `records`; `blake3`, a checksum per shard; number of `boxes`, for
    whole images."""

    images: Count
    records: Count
    bytes: Count
    blake3: list[str]
    boxes: Count = 0


@dataclass(frozen=True)
class StoreManifest(StoreFormat):
    """Content of store.json. `size`: side in pixels; `shard`: images per file; `classes`: [id, name] sorted by id;
    `settings`: how the images were prepared; `ilsvrc_ids`: ILSVRC number, from 1, of each class; `files`: BLAKE3 of
    each file except shards."""

    name: str
    size: Count
    classes: list[list[str]]
    splits: dict[str, SplitManifest]
    fingerprint: str
    encoding: JsonObject
    shard: Count
    files: dict[str, str]
    settings: JsonObject | None = None
    ilsvrc_ids: list[int] | None = None
    unreadable: Count = 0
    odd: Count = 0

    def num_images(self, split: str) -> int:
        """Readable images of a split; 0 if there is no such split."""
        return self.splits[split].images if split in self.splits else 0

    @property
    def largest_file(self) -> int:
        """Bytes that no file of the store exceeds: shards are part of `bytes`, names are paths, and the mean image has
        three float64 numbers per pixel."""
        images = sum(split.bytes + 4096 * (split.records + split.boxes) for split in self.splits.values())
        return images + 24 * self.size**2 + 2**20

    @property
    def missing(self) -> list[str]:
        """Files that the copy of the images lacked."""
        return (self.settings or {}).get("missing") or []


def check_name(name: str) -> None:
    """Raise ValueError unless a store's name is plain: it becomes part of paths, and a value in configs."""
    if not PLAIN_NAME.fullmatch(name):
        raise ValueError(f"name={name[:100]!r}: up to 100 letters, digits, spaces and . , + @ # ( ) ' _ -")


def read_manifest(root: Path) -> tuple[StoreManifest, JsonObject]:
    """Read store.json: (manifest, JSON object). Raises UserError if it is missing or corrupt, naming the field."""
    path = root / DESCRIPTION
    if (root / RUN_CONFIG).is_file():
        raise UserError(f"data.root: {root} is a run folder; give the store with the images (data.root in its config)")
    if not path.is_file():
        raise UserError(f"data.root: {root} {describe_no_store(root)}")
    number = read_checked(path, StoreFormat, "prepare it again")["format"]
    if number != FORMAT:
        raise UserError(f"{path}: format {number}, this version reads {FORMAT}; prepare it again")
    content = read_checked(path, StoreManifest, "prepare it again")
    manifest = parse_record(content, StoreManifest)
    try:
        check_values(manifest)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: corrupt or not written by this package ({error}); prepare it again") from error
    return manifest, content


def describe_no_store(root: Path) -> str:
    """What is at `root`, and the command that makes a store: of these images, if there are any files."""
    if root.is_file() or (root.is_dir() and not is_empty(root)):
        state, source, store = "holds no prepared store (no store.json); if it is a copy of the images, ", root, "NEW"
    else:
        state = "holds no prepared store; " if root.exists() else "does not exist; "
        source, store = "COPY", root
    return f"{state}make one: python -m alexnet_pl prepare -c RECIPE prepare.source={source} data.root={store}"


def check_values(manifest: StoreManifest) -> None:
    """Raise ValueError, or TypeError for an unknown key of the encoding, unless these are values of a store."""
    if "name" not in manifest.encoding:
        raise ValueError("encoding.name: missing")
    check_name(manifest.name)
    parse_encoding(manifest.encoding).check()
    if not manifest.splits or not manifest.size or not manifest.shard:
        raise ValueError("splits, size and shard: at least one of each")
    for name in manifest.splits:
        if not re.fullmatch(r"\w+", name):  # it becomes part of file names
            raise ValueError(f"splits.{name}: not a name of a split")
