"""`fit` end to end, on a store of 96 drawn images: its files, and settings that it refuses."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from run_folders import load, table
from running import last, run

from alexnet_pl.commands.fit import announce_compilation
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.models.layers import LocalResponseNorm
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.training.performance import Performance


def test_errors_in_metrics_csv_are_numbers_of_images(cfg: DictConfig, tmp_path: Path) -> None:
    """Not their rounding in float32, such as 92.5000011920929 for 37 of 40 images."""
    run(cfg, "fit", tmp_path / "run")
    exact = [100 * wrong / count for count in range(1, 129) for wrong in range(count + 1)]
    printed = {str(number) for error in exact for number in (error, float(str(np.float32(error))))}
    rows = table(tmp_path / "run/metrics.csv")
    for name in ("train/top1_error", "train/epoch_top1_error", "val/top1_error", "val/top5_error"):
        cells = {row[name] for row in rows if row[name]}
        assert cells, name
        assert cells <= printed, name


def test_optimized_and_eager_training_agree(cfg: DictConfig, tmp_path: Path) -> None:
    """Memory layout and fused update change only the order of sums."""
    cfg.trainer.precision, cfg.trainer.max_epochs = "32-true", 1
    run(cfg, "fit", tmp_path / "fast")
    cfg.performance.optimized = cfg.performance.retain_memory = False
    run(cfg, "fit", tmp_path / "plain")
    fast, plain = (load(last(tmp_path / name))["state_dict"] for name in ("fast", "plain"))
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-3, atol=1e-4)


def test_compilation_says_how_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module: Any = SimpleNamespace(net=LocalResponseNorm(), performance=Performance(compile=True))
    announce_compilation(module, torch.device("cpu"))
    assert re.search(r"^compiling response normalization, .*performance.compile=false …$", capsys.readouterr().err)
    module.performance = Performance(compile=False)
    announce_compilation(module, torch.device("cpu"))
    assert not capsys.readouterr().err


def test_fit_writes_every_file_of_the_run_folder(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(cfg, "fit", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "checkpoints",
        "metrics.csv",
        "kernels.png",
        "provenance.json",
    }
    with Image.open(tmp_path / "kernels.png") as picture:
        assert picture.size == (16 * 48 + 4, 2 * 48 + 4)  # 24 kernels, since the width is a quarter
    kernels = load(last(tmp_path))["state_dict"]["net.conv1.weight"].double()
    colors = json.loads((tmp_path / "kernels.json").read_text())
    assert colors["towers"] == 2
    assert colors["total"] == pytest.approx(kernels.square().sum((1, 2, 3)).tolist())
    assert colors["color"] == pytest.approx((3 * kernels.var(1, correction=0)).sum((1, 2)).tolist())
    (session,) = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert session["store"]["fingerprint"] == Store(Path(cfg.data.root)).fingerprint
    assert session["packages"]["torch"] == version("torch")
    rows = table(tmp_path / "metrics.csv")
    assert [float(row["val/top1_error"]) for row in rows if row["val/top1_error"]][-1] <= 100
    assert {float(row["lr-MomentumSGD/conv1.bias"]) for row in rows if row["lr-MomentumSGD/conv1.bias"]} == {0.02}
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("→ ")


def test_logged_schedule_ends_after_its_last_epoch_not_at_a_validation_within_it(
    cfg: DictConfig, tmp_path: Path
) -> None:
    cfg.schedule.name = "logged"
    cfg.schedule.logged = dict.fromkeys(("drop1", "drop2", "cool", "freeze", "drop3", "stop"), 1)
    OmegaConf.update(cfg, "trainer", {"val_check_interval": 3}, force_add=True)
    run(cfg, "fit", tmp_path)
    status = read_fit_status(tmp_path)
    assert status
    assert (status.steps, status.epochs, status.ended_by) == (6, 1, "schedule")


def test_interval_longer_than_an_epoch_is_refused_or_counted_over_epochs(cfg: DictConfig, tmp_path: Path) -> None:
    """Lightning's own check was a traceback, after fit.json of a finished run said that it was not."""
    OmegaConf.update(cfg, "trainer", {"val_check_interval": 7}, force_add=True)
    says = r"^trainer.val_check_interval=7: an epoch has fewer batches \(6\); .*check_val_every_n_epoch=null$"
    with pytest.raises(UserError, match=says):
        run(cfg, "fit", tmp_path / "refused")
    assert not (tmp_path / "refused/fit.json").exists()
    OmegaConf.update(cfg, "trainer", {"check_val_every_n_epoch": None}, force_add=True)
    run(cfg, "fit", tmp_path / "run")
    rows = table(tmp_path / "run/metrics.csv")
    assert [row["step"] for row in rows if row["val/top1_error"]] == ["7"]


def test_diverging_fit_stops_with_a_message(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.optim.lr = 1e4
    for every in (1, 6):
        OmegaConf.update(cfg, "trainer", {"log_every_n_steps": every, "val_check_interval": 3}, force_add=True)
        with pytest.raises(UserError, match=r"the training loss is .* try a smaller optim.lr"):
            run(cfg, "fit", tmp_path / str(every))
        assert not last(tmp_path / str(every)).exists(), "checked before saving, not only when logged"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model.towers", 1, "model.towers=2, this recipe model.towers=1"),
        ("model.overlap", False, "model.overlap=True, this recipe model.overlap=False"),
        ("augment.crop", 71, "augment.crop=67, this recipe augment.crop=71"),
    ],
)
def test_checkpoint_of_another_network_is_refused_naming_the_setting(
    cfg: DictConfig, tmp_path: Path, key: str, value: object, says: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cfg.trainer.max_epochs = 1
    run(cfg, "fit", tmp_path)
    section, name = key.split(".")
    cfg[section][name] = value
    with pytest.raises(UserError, match=says):
        run(cfg, "test", tmp_path, last(tmp_path))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("data.root", "nowhere", "data.root: nowhere does not exist; make one"),
        ("data.name", "imagenette", "data.name: the store at .* has tiny, the recipe imagenette"),
        (
            "data.size",
            80,
            "data.size: the store at .* has 72, the recipe 80; set data.size=72 with an augment.crop of at most 72,",
        ),
        ("model.num_classes", 7, "model.num_classes=7: the store at .* has 10 classes"),
    ],
)
def test_store_that_does_not_fit_the_recipe_is_refused(
    cfg: DictConfig, tmp_path: Path, key: str, value: object, says: str
) -> None:
    section, name = key.split(".")
    cfg[section][name] = value
    with pytest.raises(UserError, match=says):
        run(cfg, "fit", tmp_path)
    assert not list(tmp_path.iterdir())
