"""Image retrieval (§7.1) through the commands: features, neighbors, codes and their table."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import alexnet_pl
from feature_files import IMAGES, make_features, sparse
from processes import end_all, start_ranks

pytestmark = pytest.mark.slow
SHORT = ("codes.bits=16", "codes.hidden=[32]", "data.batch_size=16", "trainer.max_epochs=2", "logger=csv")


def test_codes_from_training_to_table(tiny: list[str], tmp_path: Path) -> None:
    def done(*words: str) -> str:
        found = alexnet_pl(*words, cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        return found.stdout

    def refused(*words: str) -> str:
        found = alexnet_pl(*words, cwd=tmp_path)
        assert (found.returncode, found.stderr.count("\n")) == (2, 1), found.stderr
        return found.stderr

    done("fit", "-c", "imagenette", *tiny, "trainer.max_epochs=1", "hydra.run.dir=net")
    assert "96 train images, 1,024 numbers each (fc7)" in done("features", "-c", "net")
    codes = ("reproduce", "-c", "codes", "codes.features=net", *SHORT, "hydra.run.dir=codes")
    assert "16 bits, 40 val images looked up: " in done(*codes)
    said = done("retrieve", "-c", "net", "retrieval.codes=codes", "retrieval.k=3")
    assert "40 queries among 96 train images, 3 neighbors each, " in said
    assert (tmp_path / "net/retrieval/neighbors.csv").read_text().count("\n") == 121
    assert "Short codes" in done("report", "report.runs=[codes]")
    row = json.loads((tmp_path / "codes/results/val-codes/codes.json").read_text())["rows"][1]
    assert f"| {row['method']} " in (tmp_path / "runs/report/codes.md").read_text()
    assert np.load(tmp_path / "codes/codes/train.npy").shape == (96, 2)

    assert "data.root: away does not exist" in refused("features", "-c", "net", "data.root=away", "features.split=val")
    values = tmp_path / "net/features/train-fc7/features.npy"
    values.write_bytes(values.read_bytes()[:-1])
    assert "train-fc7: corrupt or truncated" in refused("retrieve", "-c", "net")
    (tmp_path / "net/checkpoints/last.ckpt").unlink()
    assert "has no checkpoints/last.ckpt" in refused("retrieve", "-c", "net")


@pytest.mark.parametrize("launcher", ["own", "torchrun"])
def test_two_processes_fit_codes_together_and_the_first_tests_them(tmp_path: Path, launcher: str) -> None:
    for split, count, seed in (("train", IMAGES, 1), ("val", 40, 2)):
        make_features(tmp_path / f"net/features/{split}-fc7", sparse(count, seed))
    words = ["reproduce", "-c", "codes", "codes.features=net", *SHORT, "trainer.accelerator=cpu", "hydra.run.dir=codes"]
    if launcher == "torchrun":
        assert end_all(start_ranks(words, tmp_path)) == [0, 0], (tmp_path / "rank0.txt").read_text()
        said = (tmp_path / "rank1.txt").read_text()
        assert "test: runs on the first process only" in said
        assert "looked up" not in said
    else:
        done = alexnet_pl(*words, "trainer.devices=2", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("looked up") == 1
    sessions = json.loads((tmp_path / "codes/provenance.json").read_text())["sessions"]
    assert [session["command"] for session in sessions] == ["fit", "test"]
    assert sessions[0]["processes"]["world_size"] == 2
