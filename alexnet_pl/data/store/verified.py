"""Files of stores whose checksums were verified, remembered so that a version of a file is read once.

In the cache folder:

    verified/<digest of the store's folder>.json   file → size, times, inode and checksum when it was verified
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from alexnet_pl.cache import open_cache
from alexnet_pl.data.store.integrity import hash_files
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import LARGEST_RECORD, write_json
from alexnet_pl.progress import track

INTERVAL = 60.0  # seconds after which the files verified so far are noted
Version = list[int | str]
"""What identifies a verified version of a file."""


def verify_files(root: Path, hashes: Mapping[str, str]) -> list[str]:
    """Names of the files below `root` that are missing or differ from their checksums. The others are remembered, and
    not read again until they change. An interrupted call keeps what it remembered up to a minute before."""
    names = list_unverified(root, hashes)
    before = {name: read_version(root / name, hashes[name]) for name in names}
    sums = show_progress(hash_files(root / name for name in names), len(names))
    corrupt, intact, since = [], {}, time.monotonic()
    for name, actual in zip(names, sums, strict=True):
        if actual != hashes[name]:
            corrupt.append(name)
        else:
            intact[name] = before[name]
        if time.monotonic() - since >= INTERVAL:
            write_known(root, intact)
            intact, since = {}, time.monotonic()
    write_known(root, intact)
    return corrupt


def show_progress(sums: Iterable[str | None], count: int) -> Iterable[str | None]:
    return track(sums, "verify", count) if count else sums


def list_unverified(root: Path, hashes: Mapping[str, str]) -> list[str]:
    """Names of the files below `root` that have changed since they were verified, or were not."""
    known = read_known(root)
    return [name for name in hashes if not (now := read_version(root / name, hashes[name])) or known.get(name) != now]


def remember(root: Path, hashes: Mapping[str, str]) -> None:
    """Remember files below `root` that were just verified."""
    write_known(root, {name: read_version(root / name, hashes[name]) for name in hashes})


def read_version(path: Path, expected: str) -> Version:
    """Version of a file with the checksum `expected`; [] if it does not exist."""
    if not path.is_file():
        return []
    about = path.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, expected]


def record_path(root: Path) -> Path:
    return open_cache() / "verified" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"


def read_known(root: Path) -> dict[str, Version]:
    """Verified versions of the files below `root`; none if the cache cannot be read, or not be trusted."""
    with suppress(OSError, ValueError, RecursionError, UserError):
        path = record_path(root)
        content = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < LARGEST_RECORD else None
        return content if isinstance(content, dict) else {}
    return {}


def write_known(root: Path, versions: Mapping[str, Version]) -> None:
    """Add to the verified versions, unless the cache cannot be written."""
    if not versions:
        return
    with suppress(OSError, UserError):
        path = record_path(root)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_json(path, {**read_known(root), **versions})
