"""Softmax outputs of a network on disk (§5.1, §7), so that ensembles average without running a network again.

`probabilities.parquet`, a row an image in the split's order, which pandas, polars or DuckDB read as well:

    image          string             the image's name in the store
    label          int32              class index, −1 where none is known
    best           5 of int32         class indices, best first, ranked before rounding
    probabilities  classes of float16 softmax outputs, averaged over the views; left out where they would be too large

Its footer's `alexnet_pl` holds what was tested as JSON: `dataset`, `views`, `checkpoint` and more. The footer is
written last and the file renamed then, so that one cut short is never taken for a whole one.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.data.loading.datamodule import image_share
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.files import parse_record, to_json
from alexnet_pl.runs.records import DatasetInfo

ROWS = 1024  # images in memory at a time
LARGEST = 2 * 10**9  # bytes of probabilities that are kept without being asked for


class Block(NamedTuple):
    """Some images in a row."""

    images: list[str]
    labels: np.ndarray  # (N,) int32
    best: np.ndarray  # (N, 5 or fewer) int32
    probabilities: np.ndarray | None  # (N, classes) float16


def schema(classes: int, kept: bool) -> pa.Schema:
    fields = [pa.field("image", pa.string()), pa.field("label", pa.int32())]
    fields.append(pa.field("best", pa.list_(pa.int32(), min(5, classes))))
    if kept:
        fields.append(pa.field("probabilities", pa.list_(pa.float16(), classes)))
    return pa.schema(fields)


class Writer:
    """Write blocks to a temporary file, which `close` renames once the description of the test is written."""

    def __init__(self, path: Path, classes: int, kept: bool = True) -> None:
        self.path, self.partial = path, path.with_name(path.name + ".partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.kept, self.rows = kept, 0
        self.waiting: list[Block] = []
        self.file = pq.ParquetWriter(self.partial, schema(classes, kept), compression="zstd", use_dictionary=False)

    def add(self, block: Block) -> None:
        self.waiting.append(block)
        self.rows += len(block.images)
        if sum(len(block.images) for block in self.waiting) >= ROWS:
            self.flush()

    def flush(self) -> None:
        if not self.waiting:
            return
        images, labels, best, _ = joined = together(self.waiting)
        columns = [pa.array(images), pa.array(labels.astype(np.int32)), lists(best.astype(np.int32))]
        if self.kept:
            assert joined.probabilities is not None
            columns.append(lists(joined.probabilities.astype(np.float16)))
        self.file.write_batch(pa.record_batch(columns, schema=self.file.schema))
        self.waiting = []

    def close(self, test: TestDescription) -> None:
        self.flush()
        self.file.add_key_value_metadata({"alexnet_pl": json.dumps({**to_json(test), "schema": SCHEMA})})
        self.file.close()
        self.partial.replace(self.path)


def together(blocks: list[Block]) -> Block:
    there = [block.probabilities for block in blocks if block.probabilities is not None]
    return Block(
        [name for block in blocks for name in block.images],
        np.concatenate([block.labels for block in blocks]),
        np.concatenate([block.best for block in blocks]),
        np.concatenate(there) if there else None,
    )


def lists(rows: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


class Reader:
    """A whole file, read a block at a time. Raises UserError that names what is not one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with pq.ParquetFile(path, memory_map=True) as file:
                footer = migrate_record(json.loads((file.metadata.metadata or {})[b"alexnet_pl"]))
                self.test = parse_record(footer, TestDescription)
                self.rows: int = file.metadata.num_rows
                columns = set(file.schema_arrow.names)
                self.kept = "probabilities" in columns
                if not {"image", "label", "best"} <= columns:
                    raise KeyError("image, label, best")
        except FileNotFoundError as error:
            raise UserError(f"{path}: does not exist; `test` writes it") from error
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{path}: damaged, cut short or not probabilities of ours ({reason}); test again"
            ) from error

    def blocks(self, rows: int = ROWS, probabilities: bool = True) -> Iterator[Block]:
        """All images in order, `rows` at a time; of fewer columns where `probabilities` are not asked for."""
        if probabilities and not self.kept:
            raise UserError(f"{self.path}: holds no probabilities; test again with test.save_predictions=true")
        columns = ["image", "label", "best", *(["probabilities"] if probabilities else [])]
        try:
            with pq.ParquetFile(self.path, memory_map=True) as file:
                for batch in file.iter_batches(rows, columns=columns):
                    yield Block(
                        batch.column("image").to_pylist(),
                        batch.column("label").to_numpy(),
                        matrix(batch.column("best")),
                        matrix(batch.column("probabilities")) if probabilities else None,
                    )
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.path}: damaged ({str(error).splitlines()[0]}); test again") from error


def matrix(column: Any) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def interleave(parts: list[Path], path: Path, classes: int, kept: bool, test: TestDescription) -> None:
    """Put together what several devices wrote, of which device r of n had every n-th image from r on."""
    writer = Writer(path, classes, kept)
    streams = [Reader(part).blocks(probabilities=kept) for part in parts]
    while blocks := [block for stream in streams if (block := next(stream, None)) is not None]:
        writer.add(interleave_ranks(blocks))
    writer.close(test)
    for part in parts:
        part.unlink()


def interleave_ranks(blocks: list[Block]) -> Block:
    """First images of all blocks, then second ones, …"""
    rank = np.repeat(np.arange(len(blocks)), [len(block.images) for block in blocks])
    place = np.concatenate([np.arange(len(block.images)) for block in blocks])
    order = np.lexsort((rank, place))
    images, labels, best, probabilities = together(blocks)
    kept = None if probabilities is None else probabilities[order]
    return Block([images[i] for i in order], labels[order], best[order], kept)


def dataset_info(store: Store, split: str) -> DatasetInfo:
    identities = "\n".join(identity for identity, _ in store.classes)
    return DatasetInfo(
        name=store.name,
        fingerprint=store.fingerprint,
        split=split,
        images=len(store.split(split)),
        train_images=store.manifest.num_images("train"),
        classes=len(store.classes),
        class_list=hashlib.sha256(identities.encode()).hexdigest(),
        missing=store.manifest.missing,
    )


def results_dir(run: Path, split: str, views: str) -> Path:
    """Folder of a test's results; center-view results may lie under the older name."""
    path, older = (run / "results" / f"{split}-{name}" for name in (views, "centre"))
    return older if views == "center" and older.is_dir() and not path.is_dir() else path


def should_save_predictions(wanted: bool | str, images: int, classes: int) -> bool:
    """Whether to write probabilities: as `wanted` says, or for `auto` if they take at most `LARGEST` bytes."""
    return images * classes * 2 <= LARGEST if wanted == "auto" else bool(wanted)


class PredictionWriter(L.Callback):
    """Writes a network's answers as the batches come, each device its own share, put together at the end.

    One batch is in memory, and up to `probabilities.ROWS` images that wait for a full block of the file.
    """

    def __init__(self, path: Path, store: Store, test: TestDescription, kept: bool) -> None:
        self.path, self.test, self.kept = path, test, kept
        self.classes, self.split = len(store.classes), store.split(test.dataset.split)
        self.writer: Writer | None = None

    def part(self, share: int, shares: int) -> Path:
        return self.path if shares == 1 else self.path.with_name(f"{self.path.name}.{share}")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Of processes that hold parts of one network and have the same images, the first writes."""
        self.share, self.shares = image_share(trainer)
        if trainer.global_rank == self.share * (trainer.world_size // self.shares):
            self.writer = Writer(self.part(self.share, self.shares), self.classes, self.kept)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """`outputs`: (N, classes) logarithms of probabilities."""
        assert isinstance(outputs, Tensor)
        if self.writer is None:
            return
        first = self.share + self.writer.rows * self.shares
        numbers = range(first, first + len(outputs) * self.shares, self.shares)
        self.writer.add(
            Block(
                [self.split.names[i] for i in numbers],
                batch.labels.cpu().numpy(),
                outputs.topk(min(5, self.classes)).indices.cpu().numpy(),
                outputs.exp().half().cpu().numpy() if self.kept else None,
            )
        )

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.writer is not None:
            self.writer.close(self.test)
        trainer.strategy.barrier()
        if self.shares > 1 and trainer.is_global_zero:
            parts = [self.part(share, self.shares) for share in range(self.shares)]
            interleave(parts, self.path, self.classes, self.kept, self.test)
