"""Hooks on forward passes: what they see, what they replace, and that none stays."""

from threading import Thread

import pytest
import torch
from torch import nn

from alexnet_pl.models.hooks import forward_hooks
from alexnet_pl.models.overfeat import PLANS, OverFeat
from alexnet_pl.models.summary import count_connections


def test_hook_sees_the_output_of_its_layer_and_replaces_it_within_the_block_only() -> None:
    first, second = nn.Identity(), nn.Identity()
    seen: list[float] = []

    def double(_layer: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        return 2 * output

    def note(_layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        seen.append(output.item())

    net = nn.Sequential(first, second)
    with forward_hooks([(first, double), (second, note)]):
        assert net(torch.tensor(1.5)) == 3
    assert net(torch.tensor(1.5)) == 1.5
    assert seen == [3]


def test_hooks_are_removed_after_an_error() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(RuntimeError), forward_hooks([(layer, lambda *_: None)]):
        layer(torch.zeros(1, 3))
    assert not layer._forward_hooks


def test_hook_does_not_see_passes_of_other_threads() -> None:
    layer, seen = nn.Identity(), []
    with forward_hooks([(layer, lambda _layer, _inputs, output: seen.append(output.item()))]):
        other = Thread(target=layer, args=(torch.tensor(2.0),))
        other.start()
        other.join()
        layer(torch.tensor(1.0))
    assert seen == [1]


def test_counting_connections_leaves_no_hooks() -> None:
    with torch.device("meta"):
        net = OverFeat(net="fast", crop=PLANS["fast"].crop)
        counted = count_connections(net)
        assert counted == count_connections(net)
    assert not any(layer._forward_hooks for layer in net.modules())
