"""Prepared store: images of one size (§3), labels, mean image and color covariance.

    store.json         manifest: format, name, fingerprint, classes (id, name) sorted by id, ILSVRC ids if any, size,
                       splits, and how the images were prepared; written last
    train-000000.u8 …  raw shards of images; or JPEG shards, train-000000.tar … (see raw.py and jpeg.py)
    train.labels.npy   (records,) int32 class index; −1: label unknown; −2: no image in this record
    train.names.jsonl  one JSON string per record: the name of the source file
    train.index.npy    JPEG only: offset of each image in its shard, and its size in bytes
    train.sizes.npy …  whole images only: their sizes and bounding boxes (see whole.py)
    mean.npy           (3, size, size), or (3, 1, 1) for whole images, float64 mean of the training split, 0 … 255
    covariance.npy     (3, 3) float64 covariance of RGB over all pixels of the training split
    odd.json           images that could not be read, were not RGB JPEGs, or whose annotation has a wrong size, and
                       what was done with each

A store is always complete: it is built in another folder, which is renamed when everything is on disk.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from alexnet_pl.console import is_first_process
from alexnet_pl.data.archives.remote import is_remote
from alexnet_pl.data.store.encoding import WHOLE, parse_encoding, shard_name
from alexnet_pl.data.store.integrity import DESCRIPTION, corrupt_files
from alexnet_pl.data.store.manifest import read_manifest
from alexnet_pl.data.store.raw import REPAIR
from alexnet_pl.data.store.remote import Mirror
from alexnet_pl.data.store.split import EMPTY, Split, load_array
from alexnet_pl.data.store.verified import verify_files
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.errors import UserError


class Store:
    """Prepared store, read-only. `root`: a folder or a URL. Raises UserError if it holds no store of this format.

    Verifies the checksum of every file except shards, unless `check` is False, for a store that is to be repaired.
    `manifest`: store.json as a record; `description`: as JSON, from which the fingerprint is computed.
    """

    def __init__(self, root: str | Path, check: bool = True) -> None:
        self.mirror = Mirror(str(root)) if is_remote(root) else None
        self.root = self.mirror.root if self.mirror else Path(root)
        self.manifest, self.description = read_manifest(self.root)
        self.name, self.size, self.classes = self.manifest.name, self.manifest.size, self.manifest.classes
        self.fingerprint, self.encoding = self.manifest.fingerprint, parse_encoding(self.manifest.encoding)
        if self.mirror:
            self.mirror.largest = self.manifest.largest_file
            self.mirror.fetch_small(self.description)
        if check and (corrupt := self.find_corrupt_small()):
            raise corruption_error(self.root, corrupt)
        self.opened: dict[str, Split] = {}
        self.opened_whole: dict[str, WholeSplit] = {}

    @property
    def is_whole(self) -> bool:
        """Whether these are whole images with boxes (`WholeSplit`), not squares."""
        return self.encoding.name == WHOLE

    @property
    def splits(self) -> list[str]:
        return list(self.manifest.splits)

    def split(self, name: str) -> Split:
        """Open a split, once, so that images cached on a device are cached once. Raises UserError if there is none.

        Of whole images, only those with a class are included; a scene without objects has none.
        """
        self.check_split(name)
        if name not in self.opened:
            self.fetch(name)
            whole = self.is_whole
            self.opened[name] = self.whole(name).classified() if whole else Split(self.root, name, self.manifest)
        return self.opened[name]

    def whole(self, name: str) -> WholeSplit:
        """Open a split with boxes, including images without a class. Raises UserError for a store of squares."""
        self.check_split(name)
        if not self.is_whole:
            raise UserError(
                f"data.root: {self.root} holds squares without boxes; prepare it with prepare.encoding=whole"
            )
        if name not in self.opened_whole:
            self.fetch(name)
            self.opened_whole[name] = WholeSplit(self.root, name, self.manifest)
        return self.opened_whole[name]

    def is_labeled(self, name: str) -> bool:
        """Whether the labels of all images of `split(name)` are known, without its images."""
        labels = load_array(self.root / f"{name}.labels.npy")
        known = labels[labels != EMPTY] >= 0
        return bool(known.any() or not len(known) if self.is_whole else known.all())

    def check_identity(self, name: str | None, size: int) -> None:
        """Raise UserError, naming the key, if the store has another name or size; a name of None is not compared."""
        for key, wanted, found in (("name", name, self.name), ("size", size, self.size)):
            if wanted is not None and wanted != found:
                crop = f" with an augment.crop of at most {found}" if key == "size" else ""
                raise UserError(
                    f"data.{key}: the store at {self.root} has {found}, the recipe {wanted}; set data.{key}={found}"
                    f"{crop}, or give another data.root"
                )

    def check_split(self, name: str) -> None:
        if name not in self.manifest.splits:
            raise UserError(f"{self.root}: has no split {name!r}, only {', '.join(self.splits)}")

    def fetch(self, name: str) -> None:
        """Download the files of a split of a remote store, unless cached; cached files are verified once."""
        if self.mirror is None:
            return
        shards = self.shard_checksums(name)
        self.mirror.check_free_space(self.manifest.splits[name].bytes, shards)
        self.mirror.fetch(shards, shards, label=name)
        self.mirror.check(shards)

    def shard_checksums(self, name: str) -> dict[str, str]:
        """BLAKE3 checksum of each shard of a split, by file name."""
        hashes = self.manifest.splits[name].blake3
        return {shard_name(name, number, self.encoding): checksum for number, checksum in enumerate(hashes)}

    def check_shards(self, name: str) -> None:
        """Raise UserError, naming a shard, if the shards of a split differ from their checksums. Those that have not
        changed since an earlier call are not read, and only the first process reads any."""
        if is_first_process() and (corrupt := verify_files(self.root, self.shard_checksums(name))):
            raise corruption_error(self.root, corrupt)

    def fetch_again(self, name: str, number: int) -> bool:
        """Download a corrupt shard of a remote store again; False for a local store."""
        if self.mirror is None:
            return False
        shard = shard_name(name, number, self.encoding)
        self.mirror.fetch_again(shard, self.manifest.splits[name].blake3[number])
        return True

    def find_corrupt_small(self) -> list[str]:
        """Names of small files that are missing or corrupt; those of a remote store are downloaded again first."""
        corrupt = corrupt_files(self.description, self.root)
        if self.mirror is None or not corrupt:
            return corrupt
        self.mirror.fetch_small_again(self.description)
        return corrupt_files(self.description, self.root)

    @cached_property
    def mean(self) -> np.ndarray:
        return load_array(self.root / "mean.npy")

    @cached_property
    def covariance(self) -> np.ndarray:
        return load_array(self.root / "covariance.npy")


def short_name(name: str) -> str:
    """The first of a class's names, as of "tench, Tinca tinca"."""
    return name.split(",")[0]


def corruption_error(root: Path, corrupt: list[str]) -> UserError:
    path = root / corrupt[0]
    if corrupt[0] == DESCRIPTION:
        advice = "it or a file beside it was changed; prepare the store again or copy it again"
        return UserError(f"{path}: does not match its checksum; {advice}")
    state = "corrupt" if path.is_file() else "missing"
    more = f", and {len(corrupt) - 1} more files" if len(corrupt) > 1 else ""
    return UserError(f"{path}: {state}{more}; {REPAIR}")
