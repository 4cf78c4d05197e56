"""Layers copied from a classifier or another box network."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from box_runs import CROP, MODEL, SIZE

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_network import make_box_network
from alexnet_pl.detection.box_weights import NetworkCheckpoint, copy_outputs, copy_weights, open_network_checkpoint
from alexnet_pl.errors import UserError


def test_detector_copies_the_outputs_of_shared_classes(
    classifier_run: Path, scene_store: Store, options: BoxOptions
) -> None:
    trained = open_network_checkpoint(str(classifier_run))
    classes = [["new", "new"], *scene_store.classes[:3]]
    made = make_box_network(trained.metadata["switches"], 4, replace(options, task="detect"))
    fresh = made.net.fc9.weight[0].clone()
    copy_weights(made, trained, classes)
    assert made.background
    assert made.num_objects == 4
    torch.testing.assert_close(made.net.fc9.weight[1:4], trained.tensors["net.fc9.weight"][:3])
    assert torch.equal(made.net.fc9.weight[0], fresh)
    torch.testing.assert_close(made.net.conv1.weight, trained.tensors["net.conv1.weight"])
    assert made.mean.flatten().tolist() == [118, 118, 118]


@pytest.mark.parametrize("per_class", [False, True])
def test_outputs_per_class_are_copied_for_the_same_classes_only(
    scene_store: Store, options: BoxOptions, tmp_path: Path, per_class: bool
) -> None:
    switches = {"model": MODEL | {"num_classes": 10}, "augment": {"size": SIZE, "crop": CROP}}
    options = replace(options, per_class=per_class)
    torch.manual_seed(1)
    trained = make_box_network(switches, 10, options)
    metadata = {"switches": switches, "classes": scene_store.classes}
    source = NetworkCheckpoint(tmp_path, {"state_dict": trained.state_dict(), "alexnet_pl": metadata})
    for classes, copied in ((scene_store.classes, True), (scene_store.classes[::-1], not per_class)):
        made = make_box_network(switches, 10, options)
        copy_weights(made, source, classes)
        assert torch.equal(made.regressor.fc1.weight, trained.regressor.fc1.weight) == copied


def test_background_output_is_copied_if_both_have_one() -> None:
    own, there = torch.zeros(3, 2), torch.arange(6.0).view(3, 2)
    copy_outputs(own, there, ["b", "c"], ["a", "b"])
    assert own.tolist() == [[2, 3], [0, 0], [4, 5]]


def test_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"transfer\.weights"):
        open_network_checkpoint(str(tmp_path / "none"))
