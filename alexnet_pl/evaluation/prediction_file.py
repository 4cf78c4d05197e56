"""probabilities.parquet: saved predictions of a test (§5.1, §7), so that ensembles need not run a network again.

One row per image, in the split's order, readable by pandas, polars and DuckDB:

    image          string             the image's name in the store
    label          int32              class index, −1 if unknown
    best           5 × int32          top class indices, best first, ranked before rounding; −1 for images with scores
                                      that are not finite
    probabilities  classes × float16  softmax outputs, averaged over the views; omitted where they would be too large

The footer's key `alexnet_pl` holds the test's description as JSON: `dataset`, `views`, `checkpoint` and more. The
footer is written last and the file is renamed after it, so a truncated file is never taken for a complete one.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.data.store.split import Split
from alexnet_pl.errors import UserError, reason
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.json_records import parse_record, to_json
from alexnet_pl.temporary_files import temporary_path

ROWS_PER_BLOCK = 1024  # images in memory at a time


class Block(NamedTuple):
    """Predictions for consecutive images."""

    images: list[str]
    labels: np.ndarray  # (N,) int32
    best: np.ndarray  # (N, 5 or fewer) int32
    probabilities: np.ndarray | None  # (N, classes) float16


def parquet_schema(classes: int, with_probabilities: bool) -> pa.Schema:
    """Columns of probabilities.parquet."""
    fields = [pa.field("image", pa.string()), pa.field("label", pa.int32())]
    fields.append(pa.field("best", pa.list_(pa.int32(), min(5, classes))))
    if with_probabilities:
        fields.append(pa.field("probabilities", pa.list_(pa.float16(), classes)))
    return pa.schema(fields)


class PredictionFileWriter:
    """Writes blocks to a temporary file; `close` adds the test's description and renames it. As a context manager, it
    removes the file if an error is raised."""

    def __init__(self, path: Path, classes: int, with_probabilities: bool = True) -> None:
        self.path, self.temporary = path, temporary_path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.has_probabilities, self.rows = with_probabilities, 0
        self.pending: list[Block] = []
        self.file = pq.ParquetWriter(
            self.temporary, parquet_schema(classes, with_probabilities), compression="zstd", use_dictionary=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.discard()

    def add(self, block: Block) -> None:
        self.pending.append(block)
        self.rows += len(block.images)
        if sum(len(block.images) for block in self.pending) >= ROWS_PER_BLOCK:
            self.flush()

    def flush(self) -> None:
        if not self.pending:
            return
        images, labels, best, _ = joined = concat_blocks(self.pending)
        columns = [pa.array(images), pa.array(labels.astype(np.int32)), to_list_array(best.astype(np.int32))]
        if self.has_probabilities:
            assert joined.probabilities is not None
            columns.append(to_list_array(joined.probabilities.astype(np.float16)))
        self.file.write_batch(pa.record_batch(columns, schema=self.file.schema))
        self.pending = []

    def close(self, test: TestDescription) -> None:
        self.flush()
        self.file.add_key_value_metadata({"alexnet_pl": json.dumps({**to_json(test), "schema": SCHEMA})})
        self.file.close()
        self.temporary.replace(self.path)

    def discard(self) -> None:
        """Close and remove the file of a test that has failed."""
        self.file.close()
        self.temporary.unlink(missing_ok=True)


def concat_blocks(blocks: list[Block]) -> Block:
    """Concatenate blocks, in order."""
    probabilities = [block.probabilities for block in blocks if block.probabilities is not None]
    return Block(
        [name for block in blocks for name in block.images],
        np.concatenate([block.labels for block in blocks]),
        np.concatenate([block.best for block in blocks]),
        np.concatenate(probabilities) if probabilities else None,
    )


def select_images(block: Block, mask: np.ndarray) -> Block:
    images = [name for name, wanted in zip(block.images, mask, strict=True) if wanted]
    kept = None if block.probabilities is None else block.probabilities[mask]
    return Block(images, block.labels[mask], block.best[mask], kept)


def probabilities_float64(block: Block) -> np.ndarray:
    assert block.probabilities is not None
    return block.probabilities.astype(np.float64)


def to_list_array(rows: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


class PredictionFile:
    """A complete probabilities.parquet, read block by block. Raises UserError, naming the file, if it is corrupt."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with pq.ParquetFile(path, memory_map=True) as file:
                footer = migrate_record(json.loads((file.metadata.metadata or {})[b"alexnet_pl"]))
                self.test = parse_record(footer, TestDescription)
                if not re.fullmatch(r"\w*", self.test.dataset.split):  # part of a path
                    raise ValueError(f"dataset.split: {self.test.dataset.split!r} is not a name")
                self.rows: int = file.metadata.num_rows
                columns = set(file.schema_arrow.names)
                self.has_probabilities = "probabilities" in columns
                if not {"image", "label", "best"} <= columns:
                    raise KeyError("image, label, best")
        except FileNotFoundError as error:
            raise UserError(f"{path}: does not exist; `test` writes it") from error
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: corrupt or not written by `test` ({reason(error)}); test again") from error

    def labels(self) -> np.ndarray:
        """(images,) int32 class indices; −1 where unknown. Raises UserError if the file is corrupt."""
        return self.top_classes()[0]

    def top_classes(self) -> tuple[np.ndarray, np.ndarray]:
        """(labels (N,), best classes (N, at most 5)) of all images. Raises UserError if the file is corrupt."""
        blocks = list(self.blocks(probabilities=False))
        return np.concatenate([block.labels for block in blocks]), np.concatenate([block.best for block in blocks])

    def image_numbers(self, split: Split) -> np.ndarray:
        """(images,) number of each image in `split`, the tested one, of which a shortened test has only a part. Raises
        UserError if its images have other names."""
        if self.rows == len(split):
            return np.arange(self.rows)
        numbers = {name: number for number, name in enumerate(split.names)}
        names = [name for block in self.blocks(probabilities=False) for name in block.images]
        if unknown := next((name for name in names if name not in numbers), None):
            raise UserError(f"{self.path}: {unknown} is not in the {split.name} split of {split.root}; test again")
        return np.array([numbers[name] for name in names])

    def blocks(self, rows: int = ROWS_PER_BLOCK, probabilities: bool = True) -> Iterator[Block]:
        """Read blocks of `rows` images in order; `probabilities=False` leaves out that column.

        Raises UserError if the file is corrupt, or lacks that column.
        """
        if probabilities and not self.has_probabilities:
            raise UserError(f"{self.path}: has no probabilities; test again with test.save_predictions=true")
        columns = ["image", "label", "best", *(["probabilities"] if probabilities else [])]
        try:
            with pq.ParquetFile(self.path, memory_map=True) as file:
                for batch in file.iter_batches(rows, columns=columns):
                    yield Block(
                        batch.column("image").to_pylist(),
                        batch.column("label").to_numpy(),
                        from_list_column(batch.column("best")),
                        from_list_column(batch.column("probabilities")) if probabilities else None,
                    )
        except (pa.ArrowException, OSError, ValueError, AttributeError) as error:
            raise UserError(f"{self.path}: corrupt ({reason(error)}); test again") from error


def from_list_column(column: Any) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def merge_parts(parts: list[Path], path: Path, classes: int, with_probabilities: bool, test: TestDescription) -> None:
    """Merge the files of several processes, where process r of n had images r, r + n, r + 2n, …; delete the parts."""
    streams = [PredictionFile(part).blocks(probabilities=with_probabilities) for part in parts]
    with PredictionFileWriter(path, classes, with_probabilities) as writer:
        while blocks := [block for stream in streams if (block := next(stream, None)) is not None]:
            writer.add(interleave_ranks(blocks))
        writer.close(test)
    for part in parts:
        part.unlink()


def interleave_ranks(blocks: list[Block]) -> Block:
    """One block: the first images of all blocks, then the second ones, and so on."""
    rank = np.repeat(np.arange(len(blocks)), [len(block.images) for block in blocks])
    position = np.concatenate([np.arange(len(block.images)) for block in blocks])
    order = np.lexsort((rank, position))
    images, labels, best, probabilities = concat_blocks(blocks)
    rows = None if probabilities is None else probabilities[order]
    return Block([images[i] for i in order], labels[order], best[order], rows)
