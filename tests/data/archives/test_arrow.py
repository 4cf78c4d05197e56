"""Arrow files of `datasets`: the forms that it writes, and files without images."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import photo
from hosted_copies import arrow, rows

from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError

pa = pytest.importorskip("pyarrow")


def saved(root: Path, binary: Any, write: Any) -> None:
    """A dataset in the form of `save_to_disk`."""
    kind = pa.struct([("bytes", binary), ("path", pa.string())])
    schema = pa.schema([("image", kind), ("label", pa.int64())])
    for split, name in (("train", "train"), ("val", "validation")):
        (root / name).mkdir(parents=True)
        table = pa.Table.from_pylist(
            [{"image": {"bytes": d, "path": p}, "label": label} for d, p, label in rows(split)], schema
        )
        with write(root / name / "data-00000-of-00001.arrow", schema) as writer:
            writer.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("binary", [pa.binary(), pa.large_binary()], ids=["32 bits", "64 bits"])
@pytest.mark.parametrize("write", [pa.ipc.new_stream, pa.ipc.new_file], ids=["stream", "file"])
def test_bytes_are_found_in_every_batch(write: Any, binary: Any, tmp_path: Path) -> None:
    saved(tmp_path / "copy", binary, write)
    form, source = read_source(tmp_path / "copy")
    assert form == "Hugging Face's Arrow files"
    for split in ("train", "val"):
        found = [(record.location.read(), record.label) for record in source.splits[split]]
        assert found == [(data, label) for data, _, label in rows(split)]


def test_cache_files_of_map_are_left_out(tmp_path: Path) -> None:
    copy = arrow(tmp_path / "copy")
    shutil.copy(copy / "imagenet-1k-train-00000-of-00002.arrow", copy / "cache-0123-train-00000-of-00002.arrow")
    assert len(list(read_source(copy)[1].splits["train"])) == 6


def test_image_without_its_bytes_and_other_files_are_one_line(tmp_path: Path) -> None:
    copy = arrow(tmp_path / "copy")
    path = copy / "imagenet-1k-train-00000-of-00002.arrow"
    schema = pa.ipc.open_stream(path).schema
    only_path = pa.Table.from_pylist([{"image": {"path": "/home/a.jpg"}, "label": 0}], schema)
    no_image = pa.table({"pixels": np.zeros(3)})
    for table, says in ((only_path, r" has no bytes of /home/a.jpg"), (no_image, r" has no column `image`")):
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(UserError, match=rf"^prepare.source: {path}{says}"):
            read_source(copy)


def test_truncated_and_compressed_files_are_one_line(tmp_path: Path) -> None:
    copy = arrow(tmp_path / "copy")
    path = copy / "imagenet-1k-validation-00001-of-00002.arrow"
    data = path.read_bytes()
    for content in (data[: len(data) * 2 // 3], data[:10], b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"^prepare.source: {path}: corrupt or incomplete \(.*\); download it"):
            read_source(copy)
    table = pa.ipc.open_stream(data).read_all()
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(pa.Table.from_pylist([{"image": {"bytes": photo(3) * 100, "path": "a"}}], table.schema))
    with pytest.raises(UserError, match=rf"^prepare.source: {path} is compressed"):
        read_source(copy)
