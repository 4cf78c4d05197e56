"""Two towers (§4.2) in two and four processes against the grouped network on one device."""

import json
from types import SimpleNamespace

import pytest
import torch
from processes import run_processes
from tower_processes import SWITCHES, compare_towers

from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import ConvNet
from alexnet_pl.training.strategies.tower_layers import half_convolution, keep_half
from alexnet_pl.training.strategies.towers import TowerStrategy


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("towers")
    run_processes(4, compare_towers, folder)
    return {name: part for path in sorted(folder.iterdir()) for name, part in json.loads(path.read_text()).items()}


@pytest.mark.parametrize("switch", SWITCHES)
def test_forward_gradients_and_ten_steps_match_one_device(found: dict[str, dict], switch: str) -> None:
    apart = found[switch]
    assert set(apart) == {"logits", "gradients", "weights", "velocities"}
    assert max(apart.values()) < 1e-12


def test_towers_with_data_parallelism_match_one_device(found: dict[str, dict]) -> None:
    assert found["four processes, torch.float64"]["weights"] < 1e-12
    assert found["four processes, torch.float32"]["weights"] < 1e-5


def test_communication_per_step_has_the_expected_size(found: dict[str, dict]) -> None:
    sent, halves, logits = (found["traffic"][key] for key in ("sent", "halves", "logits"))
    by_kind = {name.split(".")[1].strip("_"): count for name, count in sent.items()}
    assert by_kind == {
        "allgather_base": sum(halves.values()),
        "reduce_scatter_base": sum(halves.values()),
        "allreduce": logits["fc8"],
    }


def test_frozen_layers_stay_frozen_and_need_no_velocity() -> None:
    whole = torch.nn.Conv2d(3, 8, 3).requires_grad_(False)
    half = half_convolution(whole, 1, None)
    assert torch.equal(half.weight, whole.weight[4:])
    assert not any(part.requires_grad for part in half.parameters())
    state = {"state": {0: {}, 1: {"u": torch.ones(2)}}, "param_groups": [{"name": "a", "params": [0, 1]}]}
    cut = TowerStrategy.half_state(SimpleNamespace(axes={}, tower=0), state)  # type: ignore[arg-type]
    assert list(cut["state"]) == [1]


@pytest.mark.parametrize("net", [AlexNet(towers=1, crop=67), ConvNet()], ids=["one tower", "CIFAR-10"])
def test_networks_without_two_towers_are_refused_by_name(net: torch.nn.Module) -> None:
    with pytest.raises(UserError, match=r"trainer\.strategy=towers"):
        keep_half(net, 0, None)


def test_bottleneck_with_an_odd_number_of_units_is_refused() -> None:
    with torch.device("meta"):
        net = AlexNet(bottleneck=7)
    with pytest.raises(UserError, match=r"model\.bottleneck=7"):
        keep_half(net, 0, None)
