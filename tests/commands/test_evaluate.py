"""`test` and `validate` count every image once and record what they tested."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from run_folders import load
from running import TRAIN, VAL, Compose, last, run
from torch.nn import functional as F

from alexnet_pl.commands import evaluate
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.evaluation.result import load_result
from alexnet_pl.experiment import build
from alexnet_pl.runs.layout import PROBABILITIES


def ten_views_by_hand(cfg: DictConfig, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean softmax over four corners, center and their reflections, computed by slicing; labels)."""
    module = build.make_module(cfg).eval()
    module.load_state_dict(load(last(folder))["state_dict"])
    store = Store(Path(cfg.data.root))
    images = store.split("val").to_device(torch.device("cpu"))[0].float()
    center = torch.from_numpy(store.mean).float()[:, 2:69, 2:69]
    crops = [images[:, :, y : y + 67, x : x + 67] - center for y, x in [(0, 0), (0, 5), (5, 0), (5, 5), (2, 2)]]
    with torch.inference_mode():
        views = [F.softmax(module.net(view), 1) for crop in crops for view in (crop, (crop + center).flip(3) - center)]
    return torch.stack(views).mean(0), torch.from_numpy(store.split("val").labels)


def test_test_counts_every_image_once_with_ten_views(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.precision = "32-true"
    run(cfg, "fit", tmp_path)
    top1 = run(cfg, "test", tmp_path, last(tmp_path))
    result = json.loads((tmp_path / "result.json").read_text())
    mean, labels = ten_views_by_hand(cfg, tmp_path)
    assert result["images"] == VAL
    assert result["top1_error"] == top1 == pytest.approx(100 * float((mean.argmax(1) != labels).double().mean()))
    right5 = (mean.topk(5).indices == labels[:, None]).any(1)
    assert result["top5_error"] == pytest.approx(100 * float((~right5).double().mean()))
    assert result["nll"] == pytest.approx(float(F.nll_loss(mean.log(), labels)), rel=1e-4)
    fingerprint = Store(Path(cfg.data.root)).fingerprint
    assert {key: result["dataset"][key] for key in ("name", "fingerprint", "split", "images")} == {
        "name": "tiny",
        "fingerprint": fingerprint,
        "split": "val",
        "images": VAL,
    }
    assert result["checkpoint"]["step"] == 12
    assert (result["views"], result["claim"]) == ("ten", None)
    low, high = result["top1_error_interval"]
    assert low < top1 < high


def test_limited_test_names_the_images_that_it_read(cfg: DictConfig, tmp_path: Path, tiny_run: Path) -> None:
    """16 of 40, spread over the ten classes, which come in turn."""
    OmegaConf.update(cfg, "trainer.limit_test_batches", 1, force_add=True)
    cfg.test.views = "center"
    run(cfg, "test", tmp_path, last(tiny_run))
    saved = PredictionFile(tmp_path / "results/val-center" / PROBABILITIES)
    split = Store(Path(cfg.data.root)).split("val")
    by_class = sorted(range(VAL), key=lambda number: (split.labels[number], number))
    numbers = sorted(by_class[number * VAL // 16] for number in range(16))
    blocks = list(saved.blocks())
    assert [name for block in blocks for name in block.images] == [split.names[number] for number in numbers]
    labels = [int(label) for block in blocks for label in block.labels]
    assert labels == [int(split.labels[number]) for number in numbers]
    assert len(set(labels)) == 10
    assert list(saved.image_numbers(split)) == numbers


def test_shortened_test_does_not_replace_a_full_one(cfg: DictConfig, tmp_path: Path, tiny_run: Path) -> None:
    """Nor does it replace predictions of images without labels, whose tests have no result.json."""
    shutil.copytree(tiny_run / "results", tmp_path / "results")
    results = tmp_path / "results/val-center"
    cfg.test.views = "center"
    OmegaConf.update(cfg, "trainer.limit_test_batches", 1, force_add=True)
    for _ in range(2):
        kept = {path.name: path.read_bytes() for path in results.iterdir()}
        with pytest.raises(UserError, match=r"^trainer\.limit_test_batches=1: .*val-center has a test of all images"):
            run(cfg, "test", tmp_path, last(tiny_run))
        assert {path.name: path.read_bytes() for path in results.iterdir()} == kept
        assert not (tmp_path / "result.json").exists()
        (results / "result.json").unlink(missing_ok=True)
    cfg.trainer.limit_test_batches = 3  # of 16 images: all 40
    run(cfg, "test", tmp_path, last(tiny_run))
    assert load_result(tmp_path)["images"] == VAL
    cfg.test.views, cfg.trainer.limit_test_batches = "ten", 1
    run(cfg, "test", tmp_path, last(tiny_run))
    assert json.loads((tmp_path / "results/val-ten/result.json").read_text())["images"] == 16
    assert load_result(tmp_path)["images"] == VAL, "the run's own"
    shutil.rmtree(tmp_path / "results")
    (tmp_path / "result.json").unlink()
    for limit in (1, 2):  # another shortened test may follow a shortened one
        cfg.trainer.limit_test_batches = limit
        run(cfg, "test", tmp_path, last(tiny_run))
        assert load_result(tmp_path)["images"] == 16 * limit


def test_validate_repeats_the_last_validation_of_the_fit(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at_end = run(cfg, "fit", tmp_path)
    capsys.readouterr()
    assert run(cfg, "validate", tmp_path, last(tmp_path)) == pytest.approx(at_end)
    found = json.loads((tmp_path / "validation.json").read_text())
    assert (found["views"], found["finished"]) == ("center", True)
    assert "not the last weights" not in capsys.readouterr().out
    OmegaConf.update(cfg, "trainer.limit_val_batches", 1, force_add=True)
    with pytest.raises(UserError, match=r"^trainer\.limit_val_batches=1: .*validation\.json has a test of all images"):
        run(cfg, "validate", tmp_path, last(tmp_path))
    assert json.loads((tmp_path / "validation.json").read_text()) == found
    (tmp_path / "validation.json").unlink()
    run(cfg, "validate", tmp_path, last(tmp_path))
    assert json.loads((tmp_path / "validation.json").read_text())["images"] == 16


def test_run_without_validation_is_validated_only_with_images(cfg: DictConfig, tmp_path: Path, tiny_run: Path) -> None:
    OmegaConf.update(cfg, "trainer.limit_val_batches", 0, force_add=True)
    with pytest.raises(
        UserError, match=r"^trainer\.limit_val_batches=0: leaves no images to validate; for all, set it "
    ):
        run(cfg, "validate", tmp_path, last(tiny_run))


@pytest.mark.parametrize("command", ["test", "validate", "features"])
def test_overwritten_image_is_named_before_the_measurement(cfg: DictConfig, tmp_path: Path, command: str) -> None:
    """Its store has the fingerprint of the original one."""
    run(cfg, "fit", tmp_path / "run", **{"trainer.max_epochs": 1})
    shutil.copytree(cfg.data.root, tmp_path / "store")
    shard = tmp_path / "store/val-000000.u8"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=rf"^{shard}: corrupt; `verify` lists"):
        run(cfg, command, tmp_path / "run", last(tmp_path / "run"), **{"data.root": str(tmp_path / "store")})
    assert not list((tmp_path / "run").glob("**/result.json"))
    assert not list((tmp_path / "run").glob("**/validation.json"))


def test_test_split_without_labels_is_not_scored(config: Compose, tiny: list[str], tmp_path: Path) -> None:
    """The labels of ILSVRC-2012's test split were never released. Its predictions are saved if requested."""
    drawn = synthetic.list_synthetic(TRAIN, VAL)
    unknown = [item._replace(label=-1) for item in drawn.splits["val"]]
    source = replace(drawn, splits={**drawn.splits, "test": unknown})
    prepare(source, tmp_path / "store", StoreSettings("tiny", 72, {}), partial(synthetic.read_drawn, size=72))
    data = build.make_data(config("imagenette", *tiny, f"data.root={tmp_path / 'store'}"))
    assert data.test_split_name == "val"
    data = build.make_data(config("imagenette", *tiny, f"data.root={tmp_path / 'store'}", "test.split=test"))
    assert data.test_split_name == "test"
    cfg = config("imagenette", *tiny, f"data.root={tmp_path / 'store'}", "test.split=test")
    run(cfg, "fit", tmp_path / "run")
    assert run(cfg, "test", tmp_path / "run", last(tmp_path / "run")) is None
    assert not list((tmp_path / "run").rglob("result.json"))
    labels, best = PredictionFile(tmp_path / "run/results/test-ten/probabilities.parquet").top_classes()
    assert set(labels) == {-1}
    assert best.shape == (VAL, 5)


def test_test_of_another_store_does_not_count(cfg: DictConfig, tiny_run: Path, tmp_path: Path) -> None:
    cfg.test.views, cfg.ckpt_path = "center", str(last(tiny_run))
    assert evaluate.finished_test(cfg, tiny_run) == tiny_run / "results/val-center"
    read_image = partial(synthetic.read_drawn, size=72)
    prepare(synthetic.list_synthetic(48, VAL), tmp_path / "other", StoreSettings("tiny", 72, {}), read_image)
    cfg.data.root = str(tmp_path / "other")
    assert evaluate.finished_test(cfg, tiny_run) is None


def test_result_records_the_training_images_and_seed(cfg: DictConfig, tmp_path: Path) -> None:
    """The recorded seed is that of the training, whatever the seed of the test."""
    cfg.seed = 3
    run(cfg, "fit", tmp_path / "run")
    cfg.seed = 0
    run(cfg, "test", tmp_path / "run", last(tmp_path / "run"))
    result = load_result(tmp_path / "run")
    assert result["seed"] == 3
    assert result["trained"]["store"]["fingerprint"] == result["dataset"]["fingerprint"]
    assert result["checkpoint"]["weights"] != result["checkpoint"]["sha256"]


def test_incomplete_test_is_repeated(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its probabilities and errors were saved, but not its tables."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "write_confusions", killed)
    with pytest.raises(KeyboardInterrupt):
        run(cfg, "reproduce", tmp_path / "run")
    monkeypatch.undo()
    lost = json.loads((tmp_path / "run/result.json").read_text())["top1_error"]
    for already in (False, True):
        error = run(cfg, "reproduce", tmp_path / "run")
        assert ("already tested" in capsys.readouterr().out) == already
        for place in ("result.json", "results/val-ten/result.json"):
            assert json.loads((tmp_path / "run" / place).read_text())["top1_error"] == pytest.approx(error)
    assert lost == pytest.approx(error)
    assert (tmp_path / "run/results/val-ten/confusions.csv").is_file()
    assert not list((tmp_path / "run").rglob("*.tmp"))
