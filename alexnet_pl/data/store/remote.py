"""Local mirror of a remote store (s3://, gs://, hf://, …): files are downloaded once, checked and cached."""

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec

from alexnet_pl.cache import CACHE, open_cache
from alexnet_pl.data.archives.remote import check_protocol
from alexnet_pl.data.store.integrity import DESCRIPTION, checksum, compute_fingerprint, corrupt_files, list_small_files
from alexnet_pl.data.store.verified import list_unverified, remember, verify_files
from alexnet_pl.errors import UserError, reason
from alexnet_pl.files import check_space
from alexnet_pl.json_records import JsonObject
from alexnet_pl.locks import exclusive_lock
from alexnet_pl.progress import track
from alexnet_pl.temporary_files import replacing

PARALLEL_DOWNLOADS = 8
LARGEST_MANIFEST = 2**26  # bytes; that of 14 million images in 21,841 classes has 3 million


class SizeLimit(fsspec.callbacks.NoOpCallback):
    """Callback that stops a download of more than `most` bytes, so that a wrong address cannot fill the disk.

    It is a NoOpCallback because HfFileSystem downloads a file by Xet or in one request only with such a callback, and
    else in ranges of a few MB.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def set_size(self, size: int | None) -> None:
        """`size`: of the whole file, None if the server does not say. Gcsfs repeats a download with the same callback,
        so that its bytes are counted from 0 again."""
        self.value = 0
        super().set_size(size)

    def call(self, *_: object, **__: object) -> None:
        """Called after each change of size and value."""
        if max(self.size or 0, self.value) > self.most:
            raise ValueError(f"more than {self.most / 1e6:,.0f} MB, too large for a file of this store")


class Mirror:
    """Local folder that mirrors the store at `url`; a store with another fingerprint gets another folder.

    `largest`: bytes that no file of the store exceeds, known once store.json is read. Raises UserError if the URL
    cannot be read or holds no store.
    """

    largest = LARGEST_MANIFEST

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        check_protocol(self.url, "data.root")
        try:
            self.files, self.path = fsspec.core.url_to_fs(self.url)
            manifest = self.read_description()
        except Exception as error:  # each protocol raises its own errors
            raise UserError(f"data.root: {self.url}: cannot be read ({reason(error)})") from error
        try:
            key = json.loads(manifest)["fingerprint"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"data.root: {self.url}/store.json: not the manifest of a store ({error})") from error
        name = hashlib.sha256(f"{self.url} {key}".encode()).hexdigest()[:16]
        self.root = open_cache() / name
        self.root.mkdir(mode=0o700, exist_ok=True)
        with exclusive_lock(self.root / ".lock"):
            self.write_description(manifest)

    def read_description(self) -> bytes:
        """Content of store.json."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, DESCRIPTION)
            self.files.get_file(f"{self.path}/{DESCRIPTION}", str(path), callback=SizeLimit(self.largest))
            return path.read_bytes()

    def write_description(self, manifest: bytes) -> None:
        """Write store.json, unless it is there already: another machine may be reading it over NFS."""
        path = self.root / DESCRIPTION
        if not path.is_file() or path.read_bytes() != manifest:
            with replacing(path) as temporary:
                temporary.write_bytes(manifest)

    def fetch_small(self, description: JsonObject) -> None:
        """Download labels, names and statistics unless cached."""
        self.fetch(list_small_files(description), description["files"])

    def fetch_small_again(self, description: JsonObject) -> None:
        """Download corrupt labels, names and statistics again: all if their checksums do not show which. Raises
        UserError if their fingerprint still differs."""
        with exclusive_lock(self.root / ".lock"):
            corrupt = corrupt_files(description, self.root)  # fewer, if another process has repaired some
            self.download(list_small_files(description) if DESCRIPTION in corrupt else corrupt, description["files"])
            if corrupt and compute_fingerprint(description, self.root) != description["fingerprint"]:
                what = "store.json or a file beside it is corrupt"
                raise UserError(f"data.root: {self.url}: checksum mismatch after download: {what}")

    def fetch(self, names: Collection[str], hashes: Mapping[str, str], label: str = "") -> None:
        """Download the files that are not cached, and check those with a checksum in `hashes`.

        Only one process at a time downloads, even if several machines share the cache; the others wait and find the
        files cached. On file systems without locks, files may be downloaded more than once.
        """
        if not self.list_missing(names):
            return
        with exclusive_lock(self.root / ".lock"):
            self.download(self.list_missing(names), hashes, label)  # fewer if another process has downloaded some

    def check(self, hashes: Mapping[str, str]) -> None:
        """Download cached files again that differ from their checksums; those checked before are not read again."""
        if not list_unverified(self.root, hashes):
            return
        with exclusive_lock(self.root / ".lock"):
            self.download(verify_files(self.root, hashes), hashes)

    def fetch_again(self, name: str, expected: str) -> None:
        """Download a corrupt file again. It is replaced, never removed, since other processes may open it."""
        with exclusive_lock(self.root / ".lock"):
            if checksum(self.root / name) != expected:  # unless another process has replaced it
                self.fetch_one(name, expected)

    def download(self, names: Collection[str], hashes: Mapping[str, str], label: str = "") -> None:
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as threads:
            done = threads.map(lambda name: self.fetch_one(name, hashes.get(name)), names)
            for _ in track(done, f"fetch {label}", len(names), transient=False) if label and names else done:
                pass
        remember(self.root, {name: hashes[name] for name in names if name in hashes})

    def list_missing(self, names: Collection[str]) -> list[str]:
        return [name for name in names if not (self.root / name).is_file()]

    def fetch_one(self, name: str, expected: str | None) -> None:
        if not (self.root / name).resolve().is_relative_to(self.root.resolve()):
            raise UserError(f"data.root: {self.url}: store.json names {name}, outside of the store")
        try:
            with replacing(self.root / name) as temporary:
                self.files.get_file(f"{self.path}/{name}", str(temporary), callback=SizeLimit(self.largest))
                if expected and checksum(temporary) != expected:
                    raise UserError(
                        f"data.root: {self.url}/{name}: checksum mismatch after download: the remote file or the "
                        "transfer is corrupt"
                    )
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"data.root: {self.url}/{name}: cannot be downloaded ({reason(error)})") from error

    def check_free_space(self, num_bytes: int, shards: Iterable[str]) -> None:
        cached = sum(path.stat().st_size for name in shards if (path := self.root / name).is_file())
        advice = f"choose another folder: {CACHE}=FOLDER"
        check_space(self.root, num_bytes - cached, f"data.root: {self.url}", advice)
