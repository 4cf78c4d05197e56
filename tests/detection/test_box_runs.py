"""Box recipes through their commands: fit, test, detect; bit-identical resuming; files and figures."""

import json
import re
import shutil
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from box_runs import CPU, KEYS, make_classifier_run, make_scenes
from omegaconf import DictConfig
from PIL import Image
from run_folders import check_fit_killed_after_saving, table, whole_and_cut
from running import Compose, last, run
from typed_words import type_words

from alexnet_pl.commands.detect import name_pictures
from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.data.store.store import Store
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection import box_run, finder
from alexnet_pl.detection.box_network import BoxNetwork, make_box_network
from alexnet_pl.detection.box_run import FOLDER, RUN_VARIABLE, example_box_run
from alexnet_pl.detection.box_weights import load_box_network
from alexnet_pl.detection.boxes import match_windows, to_window_frame
from alexnet_pl.detection.pyramid import rescale_boxes, window_boxes
from alexnet_pl.detection.window_cache import WindowCache
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.image_scales import pyramid_sides
from alexnet_pl.paper.box_results import collect_box_tests
from alexnet_pl.reporting.box_proxy_tables import box_proxy_tables


@pytest.fixture
def localise(config: Compose, scene_root: Path, classifier_run: Path) -> DictConfig:
    return composed(config, "overfeat_localise", scene_root, classifier_run)


@pytest.fixture
def detect(config: Compose, scene_root: Path, classifier_run: Path) -> DictConfig:
    return composed(config, "overfeat_detect", scene_root, classifier_run)


def composed(config: Compose, recipe: str, root: Path, weights: Path) -> DictConfig:
    return config(recipe, f"data.root={root}", f"transfer.weights={weights}", *CPU, *KEYS)


def result(folder: Path) -> dict[str, Any]:
    return json.loads(next(folder.glob("results/*/boxes.json")).read_text())


def test_localiser_is_trained_on_frozen_features_and_tested(
    localise: DictConfig, tmp_path: Path, classifier_run: Path
) -> None:
    run(localise, "fit", tmp_path / "run")
    saved = torch.load(last(tmp_path / "run"), weights_only=True)
    before = torch.load(classifier_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["state_dict"]["network.net.conv6.weight"], before["net.conv6.weight"])
    assert saved["alexnet_pl"]["lineage"][0]["step"] == 7
    error = run(localise, "test", tmp_path / "run", last(tmp_path / "run"))
    found = result(tmp_path / "run")
    assert found["loc_error"] == error
    assert found["loc_error"] >= max(found["top5_error"], 0)
    assert {"given_class_error", "constant_box_error", "constant_box_loc_error"} <= found.keys()
    assert found["finished"] is True
    assert found["dataset"]["images"] == 5
    assert list(tmp_path.glob("run/results/*/merging.png"))


def test_result_tells_how_the_regressor_and_its_features_were_trained(
    localise: DictConfig, tmp_path: Path, scene_store: Store
) -> None:
    """What decides whether a test is one of the paper's."""
    run(localise, "fit", tmp_path / "run", **{"optim.lr": 0.002})
    run(localise, "test", tmp_path / "run", last(tmp_path / "run"))
    found = result(tmp_path / "run")
    assert found["training"]["optim"] == {"lr": 0.002, "weight_decay": 0.0}
    assert found["training"]["trainer"]["max_epochs"] == 2
    assert found["training"]["boxes"] == found["boxes"]
    assert (found["trained"]["ended_by"], found["trained"]["epochs"]) == ("max_epochs", 2)
    assert found["trained"]["store"]["fingerprint"] == scene_store.fingerprint == found["dataset"]["fingerprint"]
    assert [(stage["step"], stage["training"]) for stage in found["lineage"]] == [(7, None)]
    assert found["train_images_with_boxes"] == 10
    earlier = shutil.copy(last(tmp_path / "run"), tmp_path / "earlier.ckpt")
    run(localise, "test", tmp_path / "run", Path(earlier), **{"detect.combine": "nms"})
    (other,) = (json.loads(path.read_text()) for path in tmp_path.glob("run/results/*-nms-*/boxes.json"))
    assert not other["finished"]
    assert other["training"] is None


def test_boxes_are_written_in_pixels_of_the_original_files(
    localise: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    localise.trainer.max_epochs = 1
    run(localise, "fit", tmp_path / "run")
    run(localise, "test", tmp_path / "run", last(tmp_path / "run"))
    monkeypatch.setattr(WholeSplit, "__init__", partialmethod(open_shrunk, WholeSplit.__init__))
    run(localise, "test", tmp_path / "shrunk", last(tmp_path / "run"))
    stored, original = (next(tmp_path.glob(f"{name}/results/*/detections.csv")) for name in ("run", "shrunk"))
    for row, other in zip(table(stored), table(original), strict=True):
        assert float(other["left"]) == pytest.approx(2 * float(row["left"]), abs=0.02)
        assert float(other["bottom"]) == pytest.approx(3 * float(row["bottom"]), abs=0.02)


def open_shrunk(split: WholeSplit, original: Callable[..., None], *args: Any) -> None:
    """Open a split as if its files had three times the height and twice the width of the stored images."""
    original(split, *args)
    split.original_sizes = split.sizes * np.array([3, 2])


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


def images_seen(run: Path) -> int:
    return json.loads((run / "fit.json").read_text())["images"]


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


def test_detector_learns_background_and_is_tested(
    detect: DictConfig, tmp_path: Path, classifier_run: Path, scene_store: Store
) -> None:
    run(detect, "fit", tmp_path / "run")
    network, classes, options = load_box_network(str(last(tmp_path / "run")))
    assert network.background
    assert network.size == scene_store.size
    assert (network.net.num_classes, len(classes)) == (11, 10)
    assert options.task == "detect"
    before = torch.load(classifier_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert not torch.equal(network.net.conv1.weight, before["net.conv1.weight"])
    detect.detect.least_score, detect.detect.show = 0.0, 2
    score = run(detect, "test", tmp_path / "run", last(tmp_path / "run"))
    found = result(tmp_path / "run")
    assert found["map"] == score
    assert set(found["mistakes"]) == {"right", "double", "badly placed", "wrong class", "background", "missed"}
    assert found["objects"] == scene_store.whole("val").box_counts().sum()
    (table,) = box_proxy_tables(collect_box_tests([tmp_path]))  # as `report` prints it
    ((_, *_, learned_from, seeds),) = table.rows
    assert (learned_from, seeds) == (f"{images_seen(tmp_path / 'run')} images", "1")
    assert list(tmp_path.glob("run/results/*/mistakes.png"))


def test_images_of_the_classification_task_are_named(
    detect: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ILSVRC's detection task shares validation images with the task that the network was trained for."""
    detect.trainer.max_epochs = 1
    run(detect, "fit", tmp_path / "run")
    names = [f"val/ILSVRC2013_DET_val/ILSVRC201{2 + (n > 2)}_val_{n:08d}.JPEG" for n in range(5)]
    monkeypatch.setattr(WholeSplit, "names", property(lambda split: names if split.name == "val" else None))
    run(detect, "test", tmp_path / "run", last(tmp_path / "run"))
    assert "3 of the 5 images are also ILSVRC-2012's validation images for classification" in capsys.readouterr().out
    assert result(tmp_path / "run")["classification_val_images"] == 3
    (table,) = box_proxy_tables(collect_box_tests([tmp_path]))
    assert any(note.startswith("3 of the images are also ILSVRC-2012's validation images") for note in table.notes)


@pytest.mark.parametrize("recipe", ["overfeat_localise", "overfeat_detect"])
def test_boxes_of_test_images_without_annotations_are_written_for_the_server(
    recipe: str, config: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_scenes(tmp_path / "store", unlabelled=3)
    cfg = composed(config, recipe, tmp_path / "store", make_classifier_run(tmp_path / "classifier", store))
    cfg.trainer.max_epochs, cfg.test.split, cfg.detect.least_score = 1, "test", 0.0
    run(cfg, "fit", tmp_path / "run")
    assert run(cfg, "test", tmp_path / "run", last(tmp_path / "run")) is None
    (folder,) = tmp_path.glob("run/results/test-*")
    assert not (folder / "boxes.json").exists()
    lines = [line.split() for line in (folder / "submission.txt").read_text().splitlines()]
    found = table(folder / "detections.csv")
    ids = {wnid: 10 - label for label, (wnid, _) in enumerate(store.classes)}
    if recipe == "overfeat_detect":
        assert [int(line[1]) for line in lines] == [ids[row["class"]] for row in found]
        assert [f"ILSVRC2012_test_{int(line[0]):08d}.JPEG" for line in lines] == [row["file"][5:] for row in found]
    else:
        assert [int(word) for line in lines for word in line[::5]] == [ids[row["class"]] for row in found]
        assert [len(line) for line in lines] == [25, 25, 25]
    assert "no boxes known" in capsys.readouterr().out


def test_blacklisted_classes_do_not_count_in_a_second_map(
    detect: DictConfig, tmp_path: Path, scene_store: Store
) -> None:
    """With all images of a class on the list, the mean is over the other classes."""
    run(detect, "fit", tmp_path / "run")
    (wnid, _), split = scene_store.classes[0], scene_store.whole("val")
    shown = [number for number in range(len(split)) if 0 in split.box_labels(number)]
    assert shown, "the store's validation images show class 0"
    (tmp_path / "list.txt").write_text("".join(f"{number + 1} {wnid}\n" for number in range(len(split))))
    detect.detect.blacklist, detect.detect.least_score = str(tmp_path / "list.txt"), 0.0
    run(detect, "test", tmp_path / "run", last(tmp_path / "run"))
    found = result(tmp_path / "run")
    others = [value for value in found["average_precisions"][1:] if value is not None]
    assert found["map_without_blacklist"] == pytest.approx(np.mean(others), abs=0.01)


def test_training_the_classifier_only_leaves_the_convolutions(
    detect: DictConfig, tmp_path: Path, classifier_run: Path
) -> None:
    detect.boxes.fine_tune, detect.trainer.max_epochs = "classifier", 1
    run(detect, "fit", tmp_path / "run")
    network = load_box_network(str(last(tmp_path / "run")))[0]
    before = torch.load(classifier_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(network.net.conv6.weight, before["net.conv6.weight"])
    assert not torch.equal(network.net.fc8.weight, before["net.fc8.weight"])


def test_detect_writes_boxes_in_three_formats(
    detect: DictConfig,
    tmp_path: Path,
    scene_store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finder, "MAX_CANDIDATES", 3)
    detect.trainer.max_epochs, detect.detect.least_score, detect.detect.confidence = 1, 0.0, 0.0
    run(detect, "fit", tmp_path / "run")
    image = scene_store.whole("val").image(0).permute(1, 2, 0).numpy()
    Image.fromarray(image).save(tmp_path / "holiday.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    Image.new("RGB", (1000, 2)).save(tmp_path / "banner.png")
    pictures = [str(tmp_path / name) for name in ("holiday.png", "broken.jpg", "banner.png")]
    run(detect, "detect", tmp_path / "run", last(tmp_path / "run"), **{"predict.images": pictures})
    folder = tmp_path / "run/detections"
    rows = table(folder / "detections.csv")
    coco = json.loads((folder / "detections.coco.json").read_text())
    whole = json.loads((folder / "detections.json").read_text())
    assert len(rows) == len(coco) == len(whole) > 0
    height, width = image.shape[:2]
    for row, other in zip(rows, coco, strict=True):
        left, top, right, bottom = (float(row[edge]) for edge in ("left", "top", "right", "bottom"))
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height
        assert other["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.02)
        assert scene_store.classes[other["category_id"] - 1][1] == row["name"]
    assert (folder / "holiday.png").is_file()
    said = capsys.readouterr().out
    assert "broken.jpg (not an image)" in said
    assert re.search(r"^[1-9]\d* windows not merged: more than 3 of a class in an image$", said, re.MULTILINE)
    assert "banner.png (1,000 × 2 pixels, one side more than 16 times the other)" in said


def test_images_of_one_name_have_pictures_of_their_own() -> None:
    paths = [Path(name) for name in ("a/1.jpg", "b/1.jpg", "a/1.png", "a/1-2.jpg", "a/2.jpg", "A.jpg", "a.jpg")]
    pictures = name_pictures(paths)
    assert list(pictures.values()) == ["1.png", "1-2.png", "1-3.png", "1-2-2.png", "2.png", "A.png", "a-2.png"]
    assert list(pictures) == paths


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


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"name": "torchvision", "width": 0.05}, "name=torchvision"),
        ({"name": "alexnet", "width": 0.05, "overlap": False}, "overlap=false"),
    ],
)
def test_network_that_cannot_slide_is_refused(model: dict[str, Any], says: str) -> None:
    switches = {"model": model, "augment": {"crop": 99}}
    with pytest.raises(UserError, match=f"^transfer.weights: model.{says}: "):
        make_box_network(switches, 10, BoxOptions("localise"))


def test_options_out_of_range_are_named() -> None:
    for wrong in ({"task": "guess"}, {"scales": [7]}, {"zoom": 0.0}, {"units": [1]}, {"hard_negatives": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BoxOptions(**{"task": "detect", **wrong})
    for wrong in ({"score": "nms"}, {"weight": "mean"}, {"scales": [1, 1]}, {"rule": "coco"}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}="):
            DetectOptions(**wrong)
