"""Records of a run are written back if the session that continues it saved no checkpoint."""

from pathlib import Path
from typing import NoReturn

import pytest

from alexnet_pl.runs import earlier_records
from alexnet_pl.runs.earlier_records import EarlierRecords


def test_records_are_written_back_as_far_as_the_disk_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's own error, that the disk is full, must not be replaced by another."""
    for name in ("checkpoints/last.ckpt", "fit.json", ".hydra/config.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("earlier")
    records = EarlierRecords(tmp_path)
    (tmp_path / "fit.json").write_text("of the session")
    with monkeypatch.context() as patch:
        patch.setattr(earlier_records, "replacing", refuse)
        records.write_back()
    assert (tmp_path / "fit.json").read_text() == "of the session"
    records.write_back()
    assert (tmp_path / "fit.json").read_text() == "earlier"


def refuse(path: Path) -> NoReturn:
    raise OSError(28, "No space left on device", str(path))
