"""Box recipes through `test` and `detect`: results, files and pictures."""

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
from box_runs import box_config, make_classifier_run, make_scenes
from omegaconf import DictConfig
from PIL import Image
from run_folders import table
from running import Compose, last, run

from alexnet_pl.commands.detect import name_pictures
from alexnet_pl.commands.reproduce import find_earlier_test
from alexnet_pl.data.store.store import Store
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection import finder
from alexnet_pl.detection.box_weights import load_box_network
from alexnet_pl.paper.box_results import collect_box_tests
from alexnet_pl.reporting.box_proxy_tables import box_proxy_tables


def result(folder: Path) -> dict[str, Any]:
    return json.loads(next(folder.glob("results/*/boxes.json")).read_text())


def test_localiser_is_trained_on_frozen_features_and_tested(
    localise: DictConfig, tmp_path: Path, classifier_run: Path, monkeypatch: pytest.MonkeyPatch
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
    localise.ckpt_path = str(last(tmp_path / "run"))
    assert find_earlier_test(localise, tmp_path / "run", "boxes") == (next(tmp_path.glob("run/results/*")), error)
    (results,) = tmp_path.glob("run/results/*/boxes.json")
    results.write_text(json.dumps({**found, "checkpoint": {**found["checkpoint"], "sha256": "0"}}))
    assert find_earlier_test(localise, tmp_path / "run", "boxes") is None, "of other weights"
    results.write_text("{")
    assert find_earlier_test(localise, tmp_path / "run", "boxes") is None, "a damaged result"
    results.write_text(json.dumps(found))
    with monkeypatch.context() as other_rank:
        other_rank.setattr("alexnet_pl.commands.reproduce.is_first_process", lambda: False)
        assert find_earlier_test(localise, tmp_path / "run", "boxes") is None, "the first process alone looks"
    results.with_name("merging.png").rename(tmp_path / "merging.png")
    assert find_earlier_test(localise, tmp_path / "run", "boxes") is None, "ended before its pictures were drawn"
    (tmp_path / "merging.png").rename(results.with_name("merging.png"))
    localise.detect.classes = 2
    assert find_earlier_test(localise, tmp_path / "run", "boxes") is None, "with other options"


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


def images_seen(run: Path) -> int:
    return json.loads((run / "fit.json").read_text())["images"]


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
    cfg = box_config(config, recipe, tmp_path / "store", make_classifier_run(tmp_path / "classifier", store))
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
