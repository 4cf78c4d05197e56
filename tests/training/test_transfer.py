"""Transfer of layers: copied layers are bit-identical, others new; mismatches are named."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from alexnet_pl.config.options import TransferOptions
from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.records import DatasetInfo
from alexnet_pl.training.transfer import EarlierNetwork, copy_layers, describe_differences, read_earlier_network

BELOW = ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "fc6", "fc7"]


def save(path: Path, net: nn.Module, **about: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    store = {"name": "before", "classes": 21, "images": 64}
    notes = {"switches": {}, "classes": [], "store": store, "lineage": [], **about}
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "alexnet_pl": notes, "global_step": 7}, path)
    return path


Before = tuple[EarlierNetwork, AlexNet]


@pytest.fixture
def before(tmp_path: Path) -> Before:
    torch.manual_seed(1)
    net = AlexNet(num_classes=21, crop=67, conv6=True, bottleneck=16)
    return read_earlier_network(save(tmp_path / "run/checkpoints/last.ckpt", net)), net


def test_copied_layers_are_bit_identical_and_others_new(
    before: Before,
) -> None:
    source, earlier = before
    torch.manual_seed(2)
    net = AlexNet(num_classes=10, crop=67, conv6=True)
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    copy_layers(net, source, BELOW)
    there = earlier.state_dict()
    for name, value in net.state_dict().items():
        layer = name.split(".")[0]
        assert torch.equal(value, there[name] if layer in BELOW else fresh[name]), name
    assert not torch.equal(fresh["conv1.weight"], there["conv1.weight"])


def test_each_layers_origin_is_printed(before: Before, capsys: pytest.CaptureFixture[str]) -> None:
    copy_layers(AlexNet(num_classes=10, crop=67, conv6=True), before[0], BELOW)
    rows = [line for line in capsys.readouterr().out.splitlines() if "×" in line]
    said = {row.split("│")[1].strip(): row.split("│")[3].strip() for row in rows}
    assert said == {**dict.fromkeys(BELOW, "before, step 7"), "fc8": "initialization", "bottleneck": "not used"} | {
        "fc8": "initialization"
    }


def test_layer_of_another_shape_is_named_with_both_shapes(before: Before) -> None:
    with pytest.raises(
        UserError, match=r"conv2.weight is 256 × 48 × 5 × 5 in .* and 128 × 48 × 5 × 5 here; leave conv2"
    ):
        copy_layers(AlexNet(num_classes=10, crop=67, conv6=True, towers=1), before[0], ["conv2"])
    with pytest.raises(UserError, match=r"fc8.weight is 21 × 16 in .* and 10 × 4096 here; leave fc8 out"):
        copy_layers(AlexNet(num_classes=10, crop=67, conv6=True), before[0], ["fc8"])


def test_missing_layers_are_named(before: Before, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"transfer.layers: this network has no conv7, only conv1"):
        copy_layers(AlexNet(num_classes=10, crop=67), before[0], ["conv7"])
    path = save(tmp_path / "plain.ckpt", AlexNet(num_classes=10, crop=67))
    with pytest.raises(UserError, match=r"plain.ckpt has no conv6; leave conv6 out"):
        copy_layers(AlexNet(num_classes=10, crop=67, conv6=True), read_earlier_network(path), ["conv6"])


def test_settings_by_which_equal_weights_compute_something_else_are_named() -> None:
    printed = {"relu_after_pool1": False, "norm": True, "wide_init": False, "dropout": 0.5}
    run = {**printed, "relu_after_pool1": True, "wide_init": True, "dropout": 0.0}
    assert describe_differences(printed, run) == "model.relu_after_pool1=true, here false"
    assert describe_differences(printed, {"name": "caffe"}) == "model.name=caffe, here alexnet"
    overfeat = {"name": "overfeat", "sigma": 61.896913}
    assert describe_differences({**overfeat, "sigma": 1.0}, overfeat) == "model.sigma=61.896913, here 1.0"
    assert not describe_differences(printed, {}), "of a checkpoint that does not say"
    assert not describe_differences(printed, {"dropout": 0.0, "conv6": True, "name": "alexnet"})


def test_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    for name in ("text.ckpt", "other.ckpt", "away.ckpt"):
        with pytest.raises(UserError, match=rf"transfer.weights: .*{name} is not a checkpoint of alexnet_pl"):
            read_earlier_network(tmp_path / name)


def test_lineage_is_recorded_with_whether_each_fit_finished(before: Before) -> None:
    (stage,) = before[0].lineage
    assert stage.store == DatasetInfo(name="before", classes=21, images=64)
    assert (stage.step, stage.finished, stage.training) == (7, False, None)
    assert read_checkpoint(before[0].source)["global_step"] == 7


def test_null_stands_for_layers_of_either_source() -> None:
    assert TransferOptions(layers=None, pretrain_recipe="fall2011").layers is None
    assert TransferOptions(layers=None, weights="a.ckpt").layers is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": ["conv1"]}, "^weights or pretrain_recipe is required with transfer.layers: "),
        ({"pretrain_recipe": "fall2011"}, "^layers is empty, "),
        ({"weights": "a.ckpt"}, "^layers is empty, "),
    ],
    ids=["layers", "pretrain_recipe", "weights"],
)
def test_layers_and_source_must_be_given_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransferOptions(**given)
