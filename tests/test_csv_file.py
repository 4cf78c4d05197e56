"""CSV files: no text is a formula, and a reader never sees half a file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alexnet_pl.csv_file import escape_formula, to_csv, write_csv


def test_formulas_of_a_spreadsheet_become_text_and_numbers_stay() -> None:
    for cell in ("=cmd|x!A1", "+1+cmd|x", "-2+3", "@sum", "-1 (+cmd"):
        assert escape_formula(cell) == f"'{cell}"
    for cell in ("-1.5", "+1.61 (-2.59 to +5.81)", -3.2, "tench", "a=b"):
        assert escape_formula(cell) == cell


def test_lines_of_files_end_as_rfc_4180_says_and_those_of_the_report_as_text_files(tmp_path: Path) -> None:
    rows = [["a, b", 1], ["=c", -0.5]]
    write_csv(tmp_path / "x.csv", ["name", "change"], rows)
    assert (tmp_path / "x.csv").read_bytes() == b'name,change\r\n"a, b",1\r\n\'=c,-0.5\r\n'
    assert to_csv(["name", "change"], rows) == 'name,change\n"a, b",1\n\'=c,-0.5\n'


def test_byte_of_a_name_that_is_no_text_becomes_an_escape(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", ["name"], [["caf\udce9.jpg"]])
    assert (tmp_path / "x.csv").read_bytes() == b"name\r\ncaf\\udce9.jpg\r\n"


def test_file_stays_as_it_was_if_a_row_fails(tmp_path: Path) -> None:
    def failing_rows() -> Iterator[list[object]]:
        yield ["new"]
        raise OSError("no more")

    write_csv(tmp_path / "x.csv", ["name"], [["old"]])
    with pytest.raises(OSError, match="no more"):
        write_csv(tmp_path / "x.csv", ["name"], failing_rows())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["name\nold\n"]


def test_files_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from alexnet_pl.csv_file import write_csv; write_csv(Path('x.csv'), [chr(233)], [])"
    )
    ascii_alone = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=os.environ | ascii_alone)
    assert (tmp_path / "x.csv").read_bytes() == "é\r\n".encode()
