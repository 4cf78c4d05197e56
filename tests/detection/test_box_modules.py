"""Losses of a process whose share of a batch has no windows: zeros, and a gradient of every trainable parameter."""

import csv
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from box_runs import CPU, KEYS, fit_in_two_processes
from torch.multiprocessing import ProcessRaisedException

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_module import BoxModule
from alexnet_pl.detection.box_network import BoxNetwork, make_box_network
from alexnet_pl.detection.box_weights import open_network_checkpoint
from alexnet_pl.detection.detection_training import DetectorModule
from alexnet_pl.detection.localisation_training import RegressorModule
from alexnet_pl.detection.scene_loader import read_scene
from alexnet_pl.detection.window_writer import WindowBatch


@pytest.fixture(params=["all", "classifier"])
def detector(request: pytest.FixtureRequest, classifier_run: Path, scene_store: Store) -> DetectorModule:
    options = BoxOptions("detect", units=[16, 8], scales=[1], fine_tune=request.param)
    switches = open_network_checkpoint(str(classifier_run)).metadata["switches"]
    network = make_box_network(switches, len(scene_store.classes), options)
    return DetectorModule(network, {"boxes": asdict(options)}, scene_store.classes, {})


def check_gradients(module: BoxModule, loss: torch.Tensor) -> None:
    loss.backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("images", [0, 1])
def test_detector_without_windows(detector: DetectorModule, scene_store: Store, images: int) -> None:
    empty = read_scene(scene_store.whole("train"), 0, 1, False)._replace(
        boxes=torch.empty(0, 4), labels=torch.empty(0, dtype=torch.int64), negatives=False
    )
    losses = detector.compute_losses([empty] * images, np.random.default_rng(0))
    assert [value.item() for value in losses.values()] == [0, 0, 0]
    check_gradients(detector, losses["loss"])


def test_detector_with_background_alone(detector: DetectorModule, scene_store: Store) -> None:
    scene = read_scene(scene_store.whole("train"), 0, 1, False)
    background = scene._replace(boxes=torch.empty(0, 4), labels=torch.empty(0, dtype=torch.int64), negatives=True)
    losses = detector.compute_losses([background], np.random.default_rng(0))
    assert losses["box_loss"].item() == 0 < losses["class_loss"].item()
    check_gradients(detector, losses["loss"])


@pytest.mark.parametrize(("label", "background"), [(-1, False), (0, True)])
def test_partly_annotated_image_gives_background_if_a_box_has_a_class(
    scene_root: Path, label: int, background: bool
) -> None:
    split = Store(scene_root).whole("train")  # not that of `scene_store`, which other tests read too
    number = int(split.box_counts().argmax())
    split.coverage = np.full(len(split), Coverage.PARTIAL, np.int32)
    split.box_labels = lambda number: torch.full((len(split.boxes(number)),), label)  # type: ignore[method-assign]
    assert read_scene(split, number, 1, False).negatives == background


def test_localiser_without_windows(network: BoxNetwork, options: BoxOptions, scene_store: Store) -> None:
    module = RegressorModule(network, {"boxes": asdict(options)}, scene_store.classes, {})
    module.network.regressor.requires_grad_(True)
    width = network.regressor.fc1.in_channels * network.window.classifier**2
    nothing = WindowBatch(torch.empty(0, width), torch.empty(0, 4), torch.empty(0, dtype=torch.int64))
    loss = module.window_loss(nothing)
    assert loss.item() == 0
    check_gradients(module, loss)


@pytest.mark.slow
def test_detector_is_trained_by_two_processes(tmp_path: Path, scene_root: Path, classifier_run: Path) -> None:
    """The last of the batches of 4 from 5 validation images has no image for the second process."""
    words = [f"data.root={scene_root}", f"transfer.weights={classifier_run}", *CPU, *KEYS]
    fit_in_two_processes(tmp_path / "run", "overfeat_detect", words)
    with (tmp_path / "run/metrics.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    with pytest.raises(ProcessRaisedException, match=r"data\.batch_size=3 does not divide by 2 devices"):
        fit_in_two_processes(tmp_path / "odd", "overfeat_detect", [*words, "data.batch_size=3"])
