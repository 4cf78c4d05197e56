"""Fits of box recipes: windows that are kept, bit-identical resuming, and settings that are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from run_folders import check_fit_killed_after_saving, whole_and_cut
from running import last, run
from typed_words import type_words

from alexnet_pl.data.store.store import Store
from alexnet_pl.detection import box_run
from alexnet_pl.detection.box_network import BoxNetwork
from alexnet_pl.detection.box_run import FOLDER, RUN_VARIABLE, example_box_run
from alexnet_pl.detection.box_weights import load_box_network
from alexnet_pl.detection.boxes import match_windows, to_window_frame
from alexnet_pl.detection.pyramid import rescale_boxes, window_boxes
from alexnet_pl.detection.window_cache import WindowCache
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.image_scales import pyramid_sides


def test_windows_are_computed_once_for_all_regressors(
    localise: DictConfig, tmp_path: Path, classifier_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(classifier_run / "windows", ignore_errors=True)  # of other tests
    run(localise, "fit", tmp_path / "one")
    assert "features of the windows of 10 train images, kept in " in capsys.readouterr().err
    folders = sorted((classifier_run / "windows").glob("*"))
    made = [(folder / "about.json").stat().st_mtime_ns for folder in folders]
    localise.boxes.per_class = True
    run(localise, "fit", tmp_path / "two")
    assert [(folder / "about.json").stat().st_mtime_ns for folder in folders] == made
    assert "windows" not in capsys.readouterr().err
    assert sorted((classifier_run / "windows").glob("*")) == folders


def test_cached_windows_are_those_that_overlap_a_box(
    localise: DictConfig, tmp_path: Path, classifier_run: Path, scene_store: Store, network: BoxNetwork
) -> None:
    localise.boxes.flip, localise.boxes.windows, localise.data.batch_size = False, 999, 256
    run(localise, "fit", tmp_path / "run")
    abouts = (classifier_run / "windows").glob("train-*/about.json")
    cache = WindowCache(next(path.parent for path in abouts if json.loads(path.read_text())["windows"] == 999))
    split, targets, labels = scene_store.whole("train"), [], []
    for number in range(len(split)):
        height, width = split.sizes[number].tolist()
        for scale in (1, 4):
            sides = pyramid_sides((height, width), network.window, scale)
            boxes = rescale_boxes(split.boxes(number).double().numpy(), (height, width), sides)
            windows = window_boxes(network.window, sides)
            matched = match_windows(boxes, windows)
            targets.append(to_window_frame(boxes[matched], windows)[matched >= 0])
            labels.append(split.box_labels(number).numpy()[matched[matched >= 0]])
    np.testing.assert_allclose(cache.targets, np.concatenate(targets), atol=1e-6)
    assert cache.labels.tolist() == np.concatenate(labels).tolist()
    assert cache.about["width"] == network.regressor.fc1.in_channels * 2 * 2


def test_fit_that_ends_before_a_validation_is_saved(localise: DictConfig, tmp_path: Path) -> None:
    localise.trainer = {**localise.trainer, "max_steps": 1}
    assert run(localise, "fit", tmp_path / "run") is None
    assert torch.load(last(tmp_path / "run"), weights_only=True)["global_step"] == 1


def test_diverged_fit_ends_without_a_checkpoint(localise: DictConfig, tmp_path: Path) -> None:
    localise.optim.lr = 1e30
    with pytest.raises(UserError, match=r"the training loss is (nan|inf) by step \d+; try a smaller optim.lr"):
        run(localise, "fit", tmp_path / "run")
    assert not last(tmp_path / "run").exists()


@pytest.mark.parametrize("step", [3])
def test_interrupted_and_resumed_localiser_is_bit_identical(
    localise: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole, cut = (saved["state_dict"] for saved in whole_and_cut(localise, tmp_path, monkeypatch, step))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


@pytest.mark.parametrize("recipe", ["localise", "detect"])
def test_killed_fit_continues_to_the_bit(
    recipe: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed within the first epoch, after a step with a row of metrics.csv."""
    check_fit_killed_after_saving(request.getfixturevalue(recipe), tmp_path, monkeypatch, step=1)


@pytest.mark.parametrize("recipe", ["localise", "detect"])
def test_fit_resumes_on_its_own_store_alone(recipe: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cfg = request.getfixturevalue(recipe)
    run(cfg, "fit", tmp_path / "run", **{"trainer.max_epochs": 1})
    saved = torch.load(last(tmp_path / "run"), weights_only=True)
    about = saved["alexnet_pl"]
    about["classes"] = about["classes"][::-1]
    torch.save(saved, tmp_path / "classes.ckpt")
    about["classes"], about["store"]["fingerprint"] = about["classes"][::-1], "0" * 64
    torch.save(saved, tmp_path / "images.ckpt")
    with pytest.raises(UserError, match="was trained on other classes"):
        run(cfg, "fit", tmp_path / "run", tmp_path / "classes.ckpt")
    with pytest.raises(UserError, match=r"holds other images \(\w{12}\) than the checkpoint was trained on \(0{12}\)"):
        run(cfg, "fit", tmp_path / "run", tmp_path / "images.ckpt")


def test_training_the_classifier_only_leaves_the_convolutions(
    detect: DictConfig, tmp_path: Path, classifier_run: Path
) -> None:
    detect.boxes.fine_tune, detect.trainer.max_epochs = "classifier", 1
    run(detect, "fit", tmp_path / "run")
    network = load_box_network(str(last(tmp_path / "run")))[0]
    before = torch.load(classifier_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(network.net.conv6.weight, before["net.conv6.weight"])
    assert not torch.equal(network.net.fc8.weight, before["net.fc8.weight"])


def test_notebook_continues_an_interrupted_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of a killed fit is no finished detector."""
    commands: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    monkeypatch.setattr(box_run, "run_command", lambda words: commands.append(words[0]))
    detector = FOLDER / "detector"
    (detector / "checkpoints").mkdir(parents=True)
    (detector / "checkpoints/last.ckpt").touch()
    for finished, expected in ((False, ["prepare", "fit", "prepare", "fit"]), (True, [])):
        commands.clear()
        (detector / "fit.json").write_text(json.dumps({"finished": finished, "training": {}, "store": {}}))
        assert example_box_run() == detector
        assert commands == expected


def test_localiser_starts_from_the_regressor_of_another(
    localise: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys: dict[str, Any] = {"trainer.max_epochs": 1, "optim.lr": 0.0}
    run(localise, "fit", tmp_path / "one", **keys)
    run(localise, "fit", tmp_path / "two", **keys, seed=5, **{"transfer.weights": str(tmp_path / "one")})
    one, two = (torch.load(last(tmp_path / name), weights_only=True)["state_dict"] for name in ("one", "two"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert "is not copied" not in capsys.readouterr().out
    keys |= {"transfer.weights": str(tmp_path / "one"), "boxes.per_class": True}
    run(localise, "fit", tmp_path / "three", **keys, seed=5)
    three = torch.load(last(tmp_path / "three"), weights_only=True)["state_dict"]
    assert not torch.equal(one["network.regressor.fc1.weight"], three["network.regressor.fc1.weight"])
    assert "because boxes.units, per_class or the classes differ" in capsys.readouterr().out


def test_features_of_another_network_are_not_kept_beside_this_one(
    localise: DictConfig, classifier_run: Path, tmp_path: Path
) -> None:
    """Windows are kept in the folder of the classifier; it may have been trained on after the box fit started."""
    run(localise, "fit", tmp_path / "run", **{"trainer.max_epochs": 1})
    shutil.copytree(classifier_run, tmp_path / "other", ignore=shutil.ignore_patterns("windows"))
    path = last(tmp_path / "other")
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["net.conv2.weight"] += 1
    torch.save(checkpoint, path)
    again = {"trainer.max_epochs": 2, "transfer.weights": str(tmp_path / "other")}
    with pytest.raises(UserError, match=r"^transfer.weights: the resumed run started from other weights"):
        run(localise, "fit", tmp_path / "run", last(tmp_path / "run"), **again)
    started = torch.load(last(tmp_path / "run"), weights_only=True)
    started["alexnet_pl"]["lineage"][-1]["weights"] = ""  # as earlier versions
    torch.save(started, last(tmp_path / "run"))
    with pytest.raises(
        UserError, match=r"^transfer.weights: .*last.ckpt has another conv2.weight than the resumed run"
    ):
        run(localise, "fit", tmp_path / "run", last(tmp_path / "run"), **again)
    assert not (tmp_path / "other/windows").exists()


def test_wrong_stores_and_runs_are_named(
    localise: DictConfig, tmp_path: Path, tiny_store: Path, classifier_run: Path
) -> None:
    with pytest.raises(UserError, match=r"prepare\.encoding=whole"):
        run(localise, "fit", tmp_path / "one", **{"data.root": str(tiny_store)})
    for key, other in (("name", "voc2007"), ("size", 256)):
        with pytest.raises(
            UserError, match=rf"data\.{key}: the store at .* has {localise.data[key]}, the recipe {other}"
        ):
            run(localise, "fit", tmp_path / "one", **{f"data.{key}": other})
    localise.transfer.weights = None
    with pytest.raises(UserError, match=r"transfer\.weights is required"):
        run(localise, "fit", tmp_path / "two")
    with pytest.raises(UserError, match="is a classifier"):
        run(localise, "test", tmp_path / "three", classifier_run / "checkpoints/last.ckpt")


@pytest.mark.parametrize(
    ("key", "value"),
    [("freeze", ["conv1"]), ("rates", {"all": 0.1}), ("network", "weights")],
)
def test_settings_that_box_fits_do_not_read_are_refused(
    localise: DictConfig, tmp_path: Path, key: str, value: object
) -> None:
    localise.transfer = {**localise.transfer, key: value}
    with pytest.raises(UserError, match=f"^transfer.{key}: not for boxes"):
        run(localise, "fit", tmp_path / "run")


@pytest.mark.parametrize(
    "key", ["schedule.name", "model.width", "augment.noise", "data.shuffle", "test.views", "boxes.hard_negatives"]
)
def test_typed_settings_of_classifiers_are_refused(
    localise: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    type_words(monkeypatch, "seed=1", f"{key}=1")
    with pytest.raises(UserError, match=f"^{key}: not for boxes"):
        run(localise, "fit", tmp_path / "run")


@pytest.mark.parametrize("epochs", [-1, None])
def test_number_of_epochs_is_required(localise: DictConfig, tmp_path: Path, epochs: int | None) -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_epochs=(-1|null): at least 1"):
        run(localise, "fit", tmp_path / "run", **{"trainer.max_epochs": epochs})
