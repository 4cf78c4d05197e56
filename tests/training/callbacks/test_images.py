"""W&B and TensorBoard output of a run, read back from the offline files."""

import base64
import csv
import hashlib
import json
import shutil
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from running import Compose, last, run
from torch.nn import functional as F
from wandb_file import WandbRun

from alexnet_pl.config import options
from alexnet_pl.config.options import MonitorOptions
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import TestResult
from alexnet_pl.experiment import build
from alexnet_pl.json_records import parse_record
from alexnet_pl.paper import results
from alexnet_pl.training.callbacks.images import EveryNEpochs

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


Shown = tuple[DictConfig, Path, WandbRun]


def test_every_metric_is_in_the_offline_file(shown: Shown) -> None:
    _, folder, wandb = shown
    groups = [f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")]
    assert wandb.metrics == {
        *("train/loss", "train/top1_error", "train/epoch_top1_error", "train/images_per_second"),
        *("val/loss", "val/top1_error", "val/top5_error", "test/loss", "test/top1_error", "test/top5_error"),
        *(f"lr-MomentumSGD/{group}" for group in groups),
        *(f"{norm}/{layer}" for norm in ("gradient_norm", "weight_norm", "update_ratio") for layer in LAYERS),
        *("kernels", "val/predictions", "test/confusions", "test/confusions_pictures", "trainer/global_step", "epoch"),
    }
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    for name in ("train/loss", "val/top1_error", "update_ratio/conv1", "lr-MomentumSGD/fc8.bias"):
        kept = [(int(row["step"]), np.float32(row[name])) for row in rows if row[name]]
        logged = [(row["trainer/global_step"], np.float32(row[name])) for row in wandb.history if name in row]
        assert kept == logged
        assert kept


@pytest.mark.parametrize(
    ("epochs", "interval", "every", "uploads"),
    [
        (12, 1, 5, [1, 5, 10]),
        (28, 7, 5, [7, 14, 21, 28]),  # Fall 2009: 14 is the first validation since the tenth epoch, …
        (12, 2, 5, [2, 6, 10]),
        (60, 7, 20, [7, 21, 42]),  # 21 is the first since 20, 42 since 40; 60 is not validated
    ],
)
def test_images_are_logged_after_the_next_validation_when_they_are_due(
    epochs: int, interval: int, every: int, uploads: list[int]
) -> None:
    uploaded = []

    class Noted(EveryNEpochs):
        def upload(self, trainer: L.Trainer) -> None:
            uploaded.append(trainer.current_epoch + 1)

    noted = Noted(every)
    for epoch in range(interval, epochs + 1, interval):
        trainer: Any = SimpleNamespace(is_global_zero=True, current_epoch=epoch - 1, global_step=10 * epoch)
        trainer.check_val_every_n_epoch = interval
        noted.on_validation_end(trainer, trainer)
    assert uploaded == uploads


def test_kernels_are_logged_for_the_first_and_last_epoch(shown: Shown) -> None:
    _, folder, wandb = shown
    pictures = [(row["trainer/global_step"], row["kernels"]) for row in wandb.history if "kernels" in row]
    assert [step for step, _ in pictures] == [6, 18]
    (name,) = pictures[-1][1]["filenames"]
    assert wandb.media(name).read_bytes() == (folder / "kernels.png").read_bytes()


def tables(wandb: WandbRun, key: str) -> list[dict[str, Any]]:
    """Rows of the table at each log, with images as {"path": …} of existing files."""
    found = []
    for artifact in wandb.artifacts:
        files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
        if f"{key}.table.json" in files:
            table = json.loads(files[f"{key}.table.json"].read_text())
            images = [cell for row in table["data"] for cell in row if isinstance(cell, dict)]
            for image in images:
                image["path"] = files[image["path"]]
            found.append(table)
    return found


def test_prediction_table_has_fixed_images_and_the_networks_predictions(shown: Shown) -> None:
    """Against a forward pass of the last checkpoint over the whole split."""
    cfg, folder, wandb = shown
    store, module = Store(cfg.data.root), build.make_module(cfg).eval()
    module.load_state_dict(torch.load(last(folder), weights_only=True)["state_dict"])
    images, labels = store.split("val").to_device(torch.device("cpu"))
    with torch.inference_mode():
        (center,) = module.augment.views(images, "center")
        said = F.softmax(module.net(center), 1)
    first, then = tables(wandb, "val/predictions")
    assert [row[0]["sha256"] for row in first["data"]] == [row[0]["sha256"] for row in then["data"]]
    chosen = [0, 6, 13, 20, 26, 32, 39]  # of 40, evenly spread
    names = [name for _, name in store.classes]
    assert [row[1] for row in then["data"]] == [names[labels[i]] for i in chosen]
    assert [row[2] for row in then["data"]] == [names[said[i].argmax()] for i in chosen]
    assert [row[3] for row in then["data"]] == [bool(said[i].argmax() == labels[i]) for i in chosen]
    right = [float(said[i, labels[i]]) for i in chosen]
    assert [row[4] for row in then["data"]] == pytest.approx(right, rel=1e-4)
    assert all(row[5].count(" %") == 5 for row in then["data"])
    for number, row in zip(chosen, then["data"], strict=True):
        assert row[0]["path"].is_relative_to(folder), "what is to be synced lies in the run folder"
        with Image.open(row[0]["path"]) as picture:
            assert np.array_equal(np.array(picture), images[number].permute(1, 2, 0).numpy())


def test_confusions_of_the_test_are_logged(shown: Shown) -> None:
    _, folder, wandb = shown
    place = folder / "results/val-ten"
    rows = list(csv.reader((place / "confusions.csv").read_text().splitlines()))
    (listed,) = tables(wandb, "test/confusions")
    assert listed["columns"] == rows[0]
    assert [[row[0], row[2], int(row[4])] for row in listed["data"]] == [
        [row[0], row[2], int(row[4])] for row in rows[1:]
    ]
    (name,) = wandb.column("test/confusions_pictures")[-1]["filenames"]
    assert wandb.media(name).read_bytes() == (place / "confusions.png").read_bytes()


def test_config_and_provenance_match_the_run_folder(shown: Shown) -> None:
    cfg, folder, wandb = shown
    whole: Any = OmegaConf.to_container(cfg, resolve=True)
    for section in ("data", "model", "augment", "optim", "schedule", "monitor", "seed", "wandb"):
        assert wandb.config[section] == whole[section]
    fit, test = json.loads((folder / "provenance.json").read_text())["sessions"]
    assert wandb.config["provenance"] == fit
    assert test["command"] == "test"
    assert "provenance.json" in wandb.files


def test_result_in_the_summary_matches_result_json(shown: Shown) -> None:
    _, folder, wandb = shown
    (tested,) = results.collect_tests([folder])
    assert parse_record(wandb.summary["result"], TestResult) == tested.result
    assert wandb.summary["test/top1_error"] == tested.result.top1_error
    assert wandb.summary["test/top5_error"] == tested.result.top5_error


def test_requested_checkpoints_are_artifacts_byte_for_byte(shown: Shown) -> None:
    _, folder, wandb = shown
    models = {artifact.name.split("-")[0]: artifact for artifact in wandb.artifacts if artifact.type == "model"}
    assert set(models) == {"best", "last"}
    for name, artifact in models.items():
        (entry,) = artifact.manifest.contents
        file = (folder / f"checkpoints/{name}.ckpt").read_bytes()
        assert entry.digest == base64.b64encode(hashlib.md5(file).digest()).decode()
        assert json.loads(artifact.metadata)["step"] == 18


def test_fit_and_test_share_one_run(shown: Shown) -> None:
    _, folder, wandb = shown
    assert len(wandb.folders) == 2
    assert wandb.identities == {(folder / "wandb_id.txt").read_text().strip()}


def test_test_of_a_fit_without_wandb_starts_no_run(shown: Shown, tmp_path: Path) -> None:
    cfg, folder, _ = shown
    shutil.copytree(folder / "checkpoints", tmp_path / "checkpoints")
    run(cfg, "test", tmp_path, last(tmp_path))
    assert (tmp_path / "result.json").is_file()
    assert not (tmp_path / "wandb").exists()


def test_tensorboard_has_scalars_images_and_tables(config: Compose, tiny: list[str], tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    cfg = config("imagenette", *tiny, "logger=tensorboard", "trainer.max_epochs=1", "monitor.num_images=3")
    run(cfg, "fit", tmp_path)
    run(cfg, "test", tmp_path, last(tmp_path))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = events.Tags()
    assert set(found["scalars"]) >= {"train/loss", "update_ratio/fc8", "val/top5_error", "test/top1_error"}
    assert set(found["images"]) == {"kernels", "test/confusions_pictures"}
    texts = {tag.removesuffix("/text_summary"): read_text(events, tag) for tag in found["tensors"]}
    assert set(texts) == {"config", "provenance", "claim", "val/predictions", "test/confusions", "test/result"}
    assert yaml.safe_load(texts["config"])["optim"] == OmegaConf.to_container(cfg.optim, resolve=True)
    fit, _ = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert yaml.safe_load(texts["provenance"]) == {"provenance": fit}
    assert yaml.safe_load(texts["test/result"]) == json.loads((tmp_path / "results/val-ten/result.json").read_text())


def read_text(events: Any, tag: str) -> str:
    """Last text of a TensorBoard tag, as its Markdown shows it: a block of code is indented by four columns."""
    return textwrap.dedent(events.Tensors(tag)[-1].tensor_proto.string_val[0].decode())


@pytest.mark.parametrize("words", ["monitor.every_n_epochs=0", "monitor.num_images=-1", "monitor.pictures=3"])
def test_invalid_monitor_options_are_refused_by_key(config: Compose, tiny: list[str], words: str) -> None:
    key = "+" * (words.startswith("monitor.pictures")) + words
    with pytest.raises(UserError, match=rf"^{words.split('=')[0]}"):
        options.make_monitor_options(config("imagenette", *tiny, key))


def test_run_folder_without_the_monitor_section_works(config: Compose, tiny: list[str]) -> None:
    cfg = config("imagenette", *tiny)
    OmegaConf.set_struct(cfg, False)
    del cfg["monitor"]
    assert options.make_monitor_options(cfg) == MonitorOptions()
