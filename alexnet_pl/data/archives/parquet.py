"""Parquet files of images, read one row group at a time."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alexnet_pl.data.archives.arrow import check_image_column, class_names, naming_file
from alexnet_pl.data.archives.remote import is_remote, open_binary

THREAD_STATE = threading.local()  # per thread: the file and row group it read last


def open_parquet(path: Path) -> Any:
    from pyarrow.parquet import ParquetFile  # imported here, since this takes half a second

    with naming_file(path):
        return ParquetFile(open_binary(path) if is_remote(path) else path)


def read_labels(path: Path) -> Iterator[tuple[str | None, int | None]]:
    """Read (image path, label) of every row, without the images. Raises UserError if there is no image column."""
    file = open_parquet(path)
    fields = set(file.schema_arrow.names)
    check_image_column(path, file.schema_arrow)
    for group in range(file.num_row_groups):
        columns = ["image.path", *(["label"] if "label" in fields else [])]
        for row in read_group(path, file, group, columns).to_pylist():
            yield (row["image"] or {}).get("path"), row.get("label")


def read_class_names(path: Path) -> list[str]:
    """Read the class names that `datasets` stores in the file's metadata; [] if another program wrote the file."""
    return class_names(open_parquet(path).schema_arrow)


def read_row(path: Path, row: int) -> bytes:
    """Read the image bytes of a row. Rows should be read in order, so that each row group is loaded once."""
    cache = THREAD_STATE.__dict__
    if cache.get("path") != path:
        cache.update(path=path, file=open_parquet(path), first=0, rows=[])
    if not cache["first"] <= row < cache["first"] + len(cache["rows"]):
        load_row_group(cache, row)
    value = cache["rows"][row - cache["first"]]
    return value.as_buffer().to_pybytes() if value.is_valid else b""


def load_row_group(cache: dict[str, Any], row: int) -> None:
    file, first, group = cache["file"], 0, 0
    while row >= first + (count := file.metadata.row_group(group).num_rows):
        first, group = first + count, group + 1
    images = read_group(cache["path"], file, group, ["image.bytes"]).column("image").combine_chunks()
    cache.update(first=first, rows=images.field("bytes"))


def read_group(path: Path, file: Any, group: int, columns: list[str]) -> Any:
    """Table of a row group. Raises UserError if it is corrupt, since pyarrow's ValueError would be taken for one bad
    image."""
    with naming_file(path, f"row group {group} is corrupt"):
        return file.read_row_group(group, columns=columns)
