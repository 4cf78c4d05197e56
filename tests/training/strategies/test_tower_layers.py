"""The two towers of §4.2 in two and four processes compute what the grouped network does on one device."""

import json

import pytest
import torch
from processes import run_processes
from tower_processes import SWITCHES, compare_towers

from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import ConvNet
from alexnet_pl.training.strategies.tower_layers import keep_half


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("towers")
    run_processes(4, compare_towers, folder)
    return {name: part for path in sorted(folder.iterdir()) for name, part in json.loads(path.read_text()).items()}


@pytest.mark.parametrize("switch", SWITCHES)
def test_forward_gradients_and_ten_steps_are_those_of_one_device(found: dict[str, dict], switch: str) -> None:
    apart = found[switch]
    assert set(apart) == {"logits", "gradients", "weights", "velocities"}
    assert max(apart.values()) < 1e-12


def test_two_towers_on_two_shares_of_the_batch_are_one_device(found: dict[str, dict]) -> None:
    assert found["four processes, torch.float64"]["weights"] < 1e-12
    assert found["four processes, torch.float32"]["weights"] < 1e-5


def test_a_step_sends_half_of_what_conv3_fc6_and_fc7_read_twice_and_the_logits(found: dict[str, dict]) -> None:
    sent, halves, logits = (found["traffic"][key] for key in ("sent", "halves", "logits"))
    by_kind = {name.split(".")[1].strip("_"): count for name, count in sent.items()}
    assert by_kind == {
        "allgather_base": sum(halves.values()),
        "reduce_scatter_base": sum(halves.values()),
        "allreduce": logits["fc8"],
    }


@pytest.mark.parametrize("net", [AlexNet(towers=1, crop=67), ConvNet()], ids=["one tower", "CIFAR-10"])
def test_what_has_no_two_towers_is_refused_by_name(net: torch.nn.Module) -> None:
    with pytest.raises(UserError, match=r"trainer\.strategy=towers"):
        keep_half(net, 0, None)


def test_a_bottleneck_of_an_odd_number_of_units_is_refused() -> None:
    with torch.device("meta"):
        net = AlexNet(bottleneck=7)
    with pytest.raises(UserError, match=r"model\.bottleneck=7"):
        keep_half(net, 0, None)
