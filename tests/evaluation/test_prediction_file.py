"""probabilities.parquet: round trip, incomplete files, bounded memory."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import (
    Block,
    PredictionFile,
    PredictionFileWriter,
    concat_blocks,
    merge_parts,
)
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

TEST = TestDescription(dataset=DatasetInfo(name="tiny"), views="ten", checkpoint=CheckpointInfo(sha256="a" * 64))


def block(count: int, classes: int = 7, start: int = 0, seed: int = 0) -> Block:
    chance = np.random.default_rng([seed, start])
    probabilities = chance.dirichlet(np.ones(classes), count).astype(np.float16)
    best = np.argsort(-probabilities, 1, kind="stable")[:, :5].astype(np.int32)
    labels = chance.integers(-1, classes, count).astype(np.int32)
    return Block([f"val/{i:05d}.jpg" for i in range(start, start + count)], labels, best, probabilities)


def write(path: Path, blocks: list[Block], classes: int = 7, kept: bool = True) -> Path:
    writer = PredictionFileWriter(path, classes, kept)
    for one in blocks:
        writer.add(one)
    writer.close(TEST)
    return path


def same(one: Block, other: Block) -> bool:
    arrays = [(one.labels, other.labels), (one.best, other.best), (one.probabilities, other.probabilities)]
    return one.images == other.images and all(np.array_equal(a, b) for a, b in arrays if a is not None)


def test_predictions_round_trip_exactly_in_blocks_of_any_size(tmp_path: Path) -> None:
    blocks = [block(128, start=128 * i) for i in range(20)] + [block(40, start=2560)]
    reader = PredictionFile(write(tmp_path / "p.parquet", blocks))
    assert (reader.rows, reader.test) == (2600, replace(TEST, schema=2))
    for rows in (100, 700, 1024, 5000):
        found = list(reader.blocks(rows))
        assert {len(one.images) for one in found[:-1]} <= {rows}
        assert same(concat_blocks(found), concat_blocks(blocks))


def test_file_is_readable_by_any_parquet_reader(tmp_path: Path) -> None:
    one = block(10)
    table = pq.read_table(write(tmp_path / "p.parquet", [one]))
    assert table.column_names == ["image", "label", "best", "probabilities"]
    assert table.column("probabilities").type == pa.list_(pa.float16(), 7)
    assert np.array_equal(np.array(table.column("probabilities").to_pylist(), np.float16), one.probabilities)


def test_without_probabilities_top_classes_are_saved_and_averaging_is_refused(tmp_path: Path) -> None:
    one = block(10)
    reader = PredictionFile(write(tmp_path / "p.parquet", [one._replace(probabilities=None)], kept=False))
    (found,) = reader.blocks(probabilities=False)
    assert np.array_equal(found.best, one.best)
    with pytest.raises(UserError, match=r"p.parquet: .*test again with test.save_predictions=true"):
        list(reader.blocks())


def test_fewer_than_five_classes_have_fewer_top_classes(tmp_path: Path) -> None:
    one = block(4, classes=3)
    (found,) = PredictionFile(write(tmp_path / "p.parquet", [one], classes=3)).blocks()
    assert found.best.shape == (4, 3)


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    writer = PredictionFileWriter(tmp_path / "p.parquet", 7)
    writer.add(block(2000))
    writer.flush()
    assert not (tmp_path / "p.parquet").exists()
    writer.close(TEST)
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


@pytest.mark.parametrize("left", [0, 1, 1000, -1])
def test_truncated_file_is_named(tmp_path: Path, left: int) -> None:
    path = write(tmp_path / "p.parquet", [block(3000)])
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match=r"p.parquet: corrupt or not written by `test` .*; test again"):
        PredictionFile(path)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a"], "label": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"other.parquet: .*not written by `test`"):
        PredictionFile(tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"away.parquet: does not exist; `test` writes it"):
        PredictionFile(tmp_path / "away.parquet")


@pytest.mark.parametrize(
    "footer",
    [{"schema": "x"}, {"training": [1]}, {"dataset": {"name": "a", "split": "../../up"}}, []],
)
def test_footer_of_another_form_is_named(footer: object, tmp_path: Path) -> None:
    """The split becomes part of a path."""
    path = write(tmp_path / "p.parquet", [block(3)])
    table = pq.read_table(path)
    own = json.loads(pq.ParquetFile(path).metadata.metadata[b"alexnet_pl"])
    changed = {**own, **footer} if isinstance(footer, dict) else footer
    pq.write_table(table.replace_schema_metadata({"alexnet_pl": json.dumps(changed)}), path)
    with pytest.raises(UserError, match=r"p.parquet: corrupt or not written by `test` .*; test again"):
        PredictionFile(path)


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [block(3000, classes=50)], classes=50)
    data = bytearray(path.read_bytes())
    data[2000:40000] = b"\xff" * 38000
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"p.parquet: corrupt"):
        list(PredictionFile(path).blocks())


@given(count=st.integers(1, 60), world=st.integers(2, 5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shards_of_several_devices_are_merged_in_order(tmp_path: Path, count: int, world: int) -> None:
    whole = block(count + world)
    assert whole.probabilities is not None
    parts = []
    for rank in range(world):
        mine = slice(rank, None, world)
        share = Block(whole.images[mine], whole.labels[mine], whole.best[mine], whole.probabilities[mine])
        parts.append(write(tmp_path / f"p.{rank}", [share]))
    merge_parts(parts, tmp_path / "p.parquet", 7, True, TEST)
    assert same(concat_blocks(list(PredictionFile(tmp_path / "p.parquet").blocks())), whole)
    assert not any(part.exists() for part in parts)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """20,000 × 1,000 in float16 are 40 MB; a block of 1,024 takes 2 MB and is copied a few times."""
    one = block(500, classes=1000)
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    writer = PredictionFileWriter(tmp_path / "p.parquet", 1000)
    for start in range(0, 20_000, 500):
        writer.add(one._replace(images=[str(start + i) for i in range(500)]))
    writer.close(TEST)
    assert sum(len(found.images) for found in PredictionFile(tmp_path / "p.parquet").blocks()) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6
    assert pa.default_memory_pool().max_memory() - before < 30e6
