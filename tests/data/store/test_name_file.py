"""Names of images are read as they are used."""

import json
from pathlib import Path

import pytest

from alexnet_pl.data.store.name_file import NameFile

NAMES = ["n01440764/a.JPEG", "é/\u2028\n.JPEG", "", "last"]


def test_names_take_eight_bytes_of_memory_each(tmp_path: Path) -> None:
    path = tmp_path / "val.names.jsonl"
    path.write_text("".join(f"{json.dumps(name)}\n" for name in NAMES))
    file = NameFile(path)
    assert [file[record] for record in (3, 0, 1, 2)] == [NAMES[3], *NAMES[:3]]
    assert file.starts.nbytes == 8 * (len(NAMES) + 1)
    with pytest.raises(IndexError):
        file[4]


def test_names_beside_the_ascii_ones_are_read(tmp_path: Path) -> None:
    """Other programs write UTF-8."""
    path = tmp_path / "val.names.jsonl"
    path.write_text("".join(f"{json.dumps(name, ensure_ascii=False)}\n" for name in NAMES))
    assert [NameFile(path)[record] for record in range(4)] == NAMES
