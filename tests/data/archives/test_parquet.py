"""Parquet files of images: a corrupt row group is named, and does not pass for unreadable images."""

from pathlib import Path

import pytest

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.archives.parquet import read_labels
from alexnet_pl.errors import UserError

pa = pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'alexnet_pl[parquet]'")
IMAGES = [f"image {number} ".encode() * 40 for number in range(4)]


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Four images in two row groups; the pages of the second are overwritten."""
    from pyarrow.parquet import ParquetFile, write_table

    path = tmp_path / "train-00000-of-00001.parquet"
    rows = [{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(IMAGES)]
    write_table(pa.table({"image": rows, "label": [0, 1, 0, 1]}), path, row_group_size=2)
    data, group = bytearray(path.read_bytes()), ParquetFile(path).metadata.row_group(1)
    for column in (group.column(number) for number in range(group.num_columns)):
        start = column.dictionary_page_offset or column.data_page_offset
        data[start + 20 : start + column.total_compressed_size] = b"\x55" * (column.total_compressed_size - 20)
    path.write_bytes(data)
    return path


def test_corrupt_row_group_is_named(damaged: Path) -> None:
    assert [ByteLocation(damaged, row, None, "parquet").read() for row in range(2)] == IMAGES[:2]
    says = rf"^prepare.source: {damaged}: row group 1 is corrupt \(.*\); download it again"
    with pytest.raises(UserError, match=says):
        ByteLocation(damaged, 2, None, "parquet").read()
    with pytest.raises(UserError, match=says):
        list(read_labels(damaged))
