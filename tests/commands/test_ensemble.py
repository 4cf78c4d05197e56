"""`ensemble`: files for the test server."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from running import Compose

from alexnet_pl.commands import ensemble
from alexnet_pl.errors import UserError
from alexnet_pl.runs.records import DatasetInfo


@pytest.mark.parametrize("has_other_store", [False, True])
def test_submission_is_written_with_the_store_of_the_tested_images(
    has_other_store: bool, config: Compose, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another store has other labels' numbers and another number of images."""
    tested = SimpleNamespace(dataset=DatasetInfo(name="ilsvrc2012", fingerprint="0" * 64, split="test"))
    monkeypatch.setattr(ensemble, "find_members", lambda *_: [SimpleNamespace(test=tested)])
    monkeypatch.setattr(ensemble, "average_members", lambda *_: (tested, None))
    monkeypatch.setattr(ensemble, "write_server_file", lambda *_: pytest.fail("written with another store"))
    root = [f"data.root={tiny_store}"] if has_other_store else []
    cfg = config("ensemble_5cnns", "ensemble.members=[a,b]", *root)
    with pytest.raises(UserError, match=r"^data.root: give the store of the tested images, ilsvrc2012 0{12}$"):
        ensemble.average(cfg, tmp_path)


def test_records_without_a_fingerprint_are_of_the_store_of_their_name(config: Compose, tiny_store: Path) -> None:
    """As in records of earlier versions, whose predictions could otherwise never be submitted."""
    cfg = config("ensemble_5cnns", "ensemble.members=[a,b]", f"data.root={tiny_store}")
    for name, split, is_found in (("tiny", "val", True), ("ilsvrc2012", "val", False), ("tiny", "test", False)):
        found = ensemble.find_tested_store(cfg, DatasetInfo(name=name, fingerprint="", split=split))
        assert (found is not None) == is_found
