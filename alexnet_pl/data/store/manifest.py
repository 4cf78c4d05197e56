"""store.json: the manifest of a prepared store (§2), checked when it is read."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.errors import UserError
from alexnet_pl.files import Count, JsonObject, read_record, to_json

MANIFEST = "store.json"
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class StoreFormat:
    format: Count


@dataclass(frozen=True, kw_only=True)
class SplitManifest:
    """`images` can be read, of `records`; `blake3`: checksum of each shard, None in stores made without BLAKE3;
    `boxes`: how many, in a store of whole images."""

    images: Count
    records: Count
    bytes: Count
    blake3: list[str | None]
    boxes: Count | None = None


@dataclass(frozen=True, kw_only=True)
class StoreManifest(StoreFormat):
    """`size`: pixels of a side; `classes`: [id, name], sorted by id; `ilsvrc_ids`: the benchmark's numbers of the
    classes, where it has such; `shard`: images a file; `settings`: how the images were made; `unreadable`: images left
    out; `odd`: images converted, as they were not plain RGB JPEGs; `fingerprint`: of all this and the small files."""

    name: str
    size: Count
    settings: JsonObject = field(default_factory=dict)
    encoding: JsonObject
    classes: list[list[str]]
    ilsvrc_ids: list[int] | None = None
    shard: Count
    splits: dict[str, SplitManifest]
    unreadable: Count = 0
    odd: Count = 0
    fingerprint: str

    @property
    def content(self) -> JsonObject:
        """The JSON object of the file, in which stores of squares have no `boxes`."""
        content = to_json(self)
        for split in content["splits"].values():
            if split["boxes"] is None:
                del split["boxes"]
        return content


def read_manifest(root: Path) -> StoreManifest:
    """Raises UserError where `root` holds no store, one of another format, or a damaged manifest."""
    path = root / MANIFEST
    if not path.is_file():
        state = "is not there" if not root.exists() else "holds no prepared store (no store.json)"
        raise UserError(f"data.root: {root} {state}; make one: python -m alexnet_pl prepare -c RECIPE data.root={root}")
    number = read_record(path, StoreFormat, "prepare it again").format
    if number != FORMAT:
        raise UserError(f"{path}: format {number}, this version reads {FORMAT}; prepare it again")
    manifest = read_record(path, StoreManifest, "prepare it again")
    try:
        StoreEncoding(**manifest.encoding).check()
        for name in manifest.splits:
            if not re.fullmatch(r"\w+", name):  # it becomes part of file names
                raise ValueError(f"splits.{name}: not a name of a split")
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: damaged or not written by this package ({error}); prepare it again") from error
    return manifest
