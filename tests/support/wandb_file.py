"""Reader of W&B's offline run file without W&B's server: a LevelDB log of protobuf records.

After a header of 7 bytes, the file consists of blocks of 32 KiB. They contain chunks of a checksum, a length, a kind (1
whole, 2 first, 3 middle, 4 last) and that many bytes (LevelDB, doc/log_format.md).
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768


def chunks(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 7
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
        checksum, length, kind = struct.unpack("<IHB", data[place : place + 7])
        found = data[place + 7 : place + 7 + length]
        assert checksum == zlib.crc32(found, zlib.crc32(bytes([kind])))
        yield kind, found
        place += 7 + length


def records(path: Path) -> Iterator[Record]:
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    whole = b""
    for kind, part in chunks(data):
        whole += part
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def put(values: dict[str, Any], items: Any) -> dict[str, Any]:
    """Set the value of each item at its key or nested keys."""
    for item in items:
        place = values
        *outer, last = item.nested_key or [item.key]
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return values


class WandbRun:
    """Content of all .wandb files of a run folder, in the order written."""

    def __init__(self, run: Path) -> None:
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.artifacts: list[Any] = []
        self.files: list[str] = []
        self.identities: set[str] = set()
        self.folders = sorted(path.parent for path in run.glob("wandb/*run-*/*.wandb") if not path.parent.is_symlink())
        for folder in self.folders:
            for record in records(next(folder.glob("*.wandb"))):
                self.take(record)

    def take(self, record: Record) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "history":
            self.history.append(put({}, record.history.item))
        elif kind == "summary":
            put(self.summary, record.summary.update)
        elif kind == "run":
            self.identities.add(record.run.run_id)
            put(self.config, record.run.config.update)
        elif kind == "config":
            put(self.config, record.config.update)
        elif kind == "artifact":
            self.artifacts.append(record.artifact)
        elif kind == "files":
            self.files += [file.path for file in record.files.files]

    @property
    def metrics(self) -> set[str]:
        return {key for row in self.history for key in row if not key.startswith("_")}

    def column(self, key: str) -> list[Any]:
        return [row[key] for row in self.history if key in row]

    def media(self, path: str) -> Path:
        """Path of a file named in a record."""
        (found,) = {folder / "files" / path for folder in self.folders if (folder / "files" / path).is_file()}
        return found
