"""Files are replaced atomically; temporary files of killed processes are removed."""

import os
import socket
import time
from pathlib import Path

import pytest

from alexnet_pl.locks import machine
from alexnet_pl.temporary_files import replacing


def test_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "first"
    with pytest.raises(UnicodeEncodeError), replacing(path) as temporary:
        temporary.write_text(f"third{chr(0xD800)}", encoding="utf-8")
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_next_write_removes_what_killed_processes_left_and_nothing_else(tmp_path: Path) -> None:
    host, none = machine(), 2**22 + 1  # Linux gives no process that number
    now, old = time.time() - 50 * 60, time.time() - 70 * 60
    container = f"{socket.gethostname()}.1"  # shares the name of this machine: it runs too, or was restarted
    names = [
        (f"a.json.{host}-{none}.tmp", None, False),
        (f"a.json.{host}-{os.getppid()}.tmp", old, True),  # still running
        (f"b.json.{host}-{none}.tmp", None, True),  # of another file
        ("a.json.another-machine-1.tmp", now, True),
        (f"a.json.{container}-1.tmp", now, True),
        (f"a.json.{container}-{os.getppid()}.tmp", old, False),
        ("a.json.another-machine-2.tmp", old, False),
        ("a.json.tmp", old, False),  # of an earlier version
    ]
    for name, changed, _ in names:
        (tmp_path / name).write_text("")
        if changed:
            os.utime(tmp_path / name, (changed, changed))
    with replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("")
    assert {path.name for path in tmp_path.iterdir()} == {name for name, _, stays in names if stays} | {"a.json"}
