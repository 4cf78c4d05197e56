"""`predict` on images of the user."""

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig
from PIL import Image
from run_folders import table
from running import last, run

from alexnet_pl.data.sources import synthetic
from alexnet_pl.errors import UserError


def test_predict_works_without_the_store(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of images is listed once: one of millions on a network drive takes minutes."""
    run(cfg, "fit", tmp_path)
    listed: list[Path] = []
    monkeypatch.setattr(Path, "rglob", lambda path, pattern: listed.append(path) or path.glob(f"**/{pattern}"))
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(synthetic.draw_image(index, 90)[0].transpose(1, 2, 0)).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    cfg.data.root = str(tmp_path / "gone")
    run(cfg, "predict", tmp_path, last(tmp_path), **{"predict.images": str(folder)})
    assert listed == [folder]
    rows = json.loads((tmp_path / "predictions.json").read_text())
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    for row in rows:
        probabilities = [label["probability"] for label in row["labels"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert {label["name"] for label in row["labels"]} <= {name for _, name in synthetic.CLASSES}
    assert len(table(tmp_path / "predictions.csv")) == 15
    assert "not read: " in (said := capsys.readouterr().out)
    assert "broken.jpg" in said


@pytest.mark.parametrize("command", ["predict", "retrieve"])
def test_missing_image_is_named_before_the_checkpoint_is_read(cfg: DictConfig, tmp_path: Path, command: str) -> None:
    with pytest.raises(UserError, match=r"^predict\.images: .*holiday\.jpg does not exist$"):
        run(cfg, command, tmp_path, tmp_path / "no.ckpt", **{"predict.images": str(tmp_path / "holiday.jpg")})


def test_detect_on_a_classifier_names_recipes_of_boxes(cfg: DictConfig, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^detect: needs a run of a box recipe, such as overfeat_detect .* boxes_demo$"
    ):
        run(cfg, "detect", tmp_path, tmp_path / "no.ckpt", **{"predict.images": str(tmp_path)})


def test_predict_with_only_unreadable_files_fails(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path)
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(UserError, match=r"images: none of 1 could be read; .*note.txt: not an image"):
        run(cfg, "predict", tmp_path, last(tmp_path), **{"predict.images": str(tmp_path / "note.txt")})
    assert not (tmp_path / "predictions.csv").exists()
