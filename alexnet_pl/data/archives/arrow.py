"""Arrow files of images, as Hugging Face's `datasets` writes them, and the position of each image's bytes.

A file is a stream of messages, a schema and then record batches; Arrow's own file format has the same stream after
eight bytes. Listing a file does not read the bytes of images.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet_pl.data.archives.file_map import map_file
from alexnet_pl.data.archives.remote import client_errors
from alexnet_pl.errors import UserError, reason

MAGIC = b"ARROW1"


class ArrowImage(NamedTuple):
    """Row of a file: the image's path and label, if it has any, and its bytes' position."""

    path: str | None
    label: int | None
    start: int
    size: int


def read_images(path: Path) -> Iterator[ArrowImage]:
    """Yield the rows. Raises UserError, naming the file, if it is corrupt or has no images with their bytes."""
    with naming_file(path):
        content = ArrowContent(path)
        for batch in content.batches():
            yield from content.images(batch)


def read_arrow_class_names(path: Path) -> list[str]:
    """Read the class names that `datasets` stores in the schema; [] if another program wrote the file."""
    with naming_file(path):
        return class_names(ArrowContent(path).schema)


@contextmanager
def naming_file(path: Path, problem: str = "corrupt or incomplete") -> Iterator[None]:
    """Turn errors of a corrupt Arrow or Parquet file into a UserError that names it and the `problem`."""
    from pyarrow import ArrowException  # imported here, since this takes half a second

    try:
        with client_errors(path):
            yield
    except (ArrowException, OSError) as error:
        raise UserError(f"prepare.source: {path}: {problem} ({reason(error)}); download it again") from error


def class_names(schema: Any) -> list[str]:
    """Class names in the metadata that `datasets` adds to a schema; [] if there are none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return list(features["label"]["names"])
    except (KeyError, ValueError, TypeError):
        return []


class ArrowContent:
    """Content of an Arrow file."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path, self.pa = path, pa
        self.buffer = pa.py_buffer(map_file(path))
        self.stream = pa.BufferReader(self.buffer)
        self.stream.seek(8 if self.buffer.slice(0, len(MAGIC)).to_pybytes() == MAGIC else 0)
        self.schema = pa.ipc.read_schema(self.stream)
        check_image_column(path, self.schema)

    def batches(self) -> Iterator[Any]:
        """Record batches, as views of the file."""
        while True:
            try:
                message = self.pa.ipc.read_message(self.stream)
            except EOFError:
                return
            if message.type == "record batch":
                yield self.pa.ipc.read_record_batch(message, self.schema)

    def images(self, batch: Any) -> Iterator[ArrowImage]:
        column = batch.column("image")
        data, paths = column.field("bytes"), column.field("path").to_pylist()
        labels = batch.column("label").to_pylist() if "label" in self.schema.names else [None] * len(batch)
        if data.null_count:
            row = data.is_null().index(True).as_py()
            raise UserError(
                f"prepare.source: {self.path} has no bytes of {paths[row]}, only its path; give the images themselves"
            )
        for path, label, (start, size) in zip(paths, labels, self.positions(data), strict=True):
            yield ArrowImage(path, label, start, size)

    def positions(self, data: Any) -> Iterator[tuple[int, int]]:
        """(start, size) in the file of each value of a binary array."""
        kind = np.int64 if self.pa.types.is_large_binary(data.type) else np.int32
        _, offsets, values = data.buffers()
        if values is None:  # all are empty
            return iter([(0, 0)] * len(data))
        base = values.address - self.buffer.address
        if not 0 <= base <= self.buffer.size:
            raise UserError(f"prepare.source: {self.path} is compressed; write it without compression")
        edges = np.frombuffer(offsets, kind)[data.offset : data.offset + len(data) + 1].astype(np.int64)
        return zip((base + edges[:-1]).tolist(), np.diff(edges).tolist(), strict=True)


def check_image_column(path: Path, schema: Any) -> None:
    """Raise UserError unless there is a column `image` with fields `bytes` and `path`."""
    image = schema.field("image").type if "image" in schema.names else None
    if image is None or {"bytes", "path"} - {image.field(i).name for i in range(image.num_fields)}:
        raise UserError(f"prepare.source: {path} has no column `image` with fields `bytes` and `path`")
