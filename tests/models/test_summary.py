"""Network summary and Figure 2: sizes against the paper and against forward hooks."""

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from running import check_words
from torch import nn

from alexnet_pl.figures import figure2
from alexnet_pl.figures.style import DARK, LIGHT, draw_for_notebook
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.summary import measure_network, read_layers

VARIANTS: list[tuple[dict[str, Any], int]] = [
    ({"towers": 1}, 112),
    ({"without": "conv2", "norm": False}, 112),
    ({"without": "conv3"}, 83),
    ({"without": "conv5", "overlap": False}, 112),
    ({"conv6": True, "bottleneck": 256, "num_classes": 37}, 112),
    ({"dropout": 0, "relu_after_pool1": False, "num_classes": 10}, 67),
]


def draw(net: AlexNet, crop: int) -> Figure:
    return figure2.draw_figure2(read_layers(net, crop), (3, crop, crop), LIGHT)


def test_sizes_match_the_paper() -> None:
    """§4.5, in the order of the text; 227 is 224 plus the program's three rows and columns of zeros."""
    layers = read_layers(AlexNet(), 224)
    assert [layer.output_shape for layer in layers] == [
        (96, 55, 55),
        (256, 27, 27),
        (384, 13, 13),
        (384, 13, 13),
        (256, 13, 13),
        (4096,),
        (4096,),
        (1000,),
    ]
    kernels = [(layer.kernel, layer.kernel, layer.maps) for layer in layers[:5]]
    assert kernels == [(11, 11, 3), (5, 5, 48), (3, 3, 256), (3, 3, 192), (3, 3, 192)]
    assert [layer.stride for layer in layers[:5]] == [4, 1, 1, 1, 1]
    assert [layer.within_tower for layer in layers] == [False, True, False, True, True, False, False, False]
    assert [layer.towers for layer in layers] == [2] * 7 + [1]
    assert layers[1].followed_by == ("norm", "spatial norm", "max-pool 3×3\nto 13×13")


@pytest.mark.parametrize(("switches", "crop"), VARIANTS, ids=[str(switches) for switches, _ in VARIANTS])
def test_drawn_sizes_match_forward_hooks(switches: dict[str, Any], crop: int) -> None:
    net = AlexNet(crop=crop, **switches).train()
    wanted: dict[str, tuple[int, ...]] = {}
    for name, part in net.named_children():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(lambda _, __, out, name=name: wanted.update({name: tuple(out.shape[1:])}))
    layers = read_layers(net, crop)
    assert net.training
    wanted.clear()
    net(torch.zeros(2, 3, crop, crop))
    assert {layer.name: layer.output_shape for layer in layers} == wanted
    texts = [text.get_text() for text in draw(net, crop).axes[0].texts]
    towers = switches.get("towers", 2)
    for name, shape in {**wanted, "image": (3, crop, crop)}.items():
        assert name in texts
        last = name in ("fc8", "bottleneck", "image")
        for size in (shape[0] // (1 if last else towers), *shape[1:]):
            assert texts.count(str(size)) >= (1 if last else towers), name
    assert ("GPU 2" in texts) == (towers == 2)


@pytest.mark.parametrize(("switches", "crossing"), [({}, 12), ({"towers": 1}, 0), ({"conv6": True}, 20)])
def test_lines_cross_towers_at_layers_that_read_all_maps(switches: dict[str, Any], crossing: int) -> None:
    """§4.2: "the GPUs communicate only in certain layers": four lines from each tower's window to the other tower of
    conv3 and of conv6, and one to the other tower of fc6 and of fc7."""
    lines = draw(AlexNet(crop=67, num_classes=10, **switches), 67).axes[0].lines
    assert sum(same_color(line.get_color(), LIGHT.series[1]) for line in lines) == crossing


@pytest.mark.parametrize(("switches", "crop"), [({}, 224), *VARIANTS], ids=str)
def test_no_text_overlaps_or_is_cut_off(switches: dict[str, Any], crop: int) -> None:
    net = AlexNet(crop=crop, **switches)
    layers = read_layers(net, crop)
    figure = draw_for_notebook(lambda theme: figure2.draw_figure2(layers, (3, crop, crop), theme), DARK)
    check_words(figure)


@pytest.mark.parametrize("crop", [67, 112, 224])
def test_no_line_runs_through_a_text(crop: int) -> None:
    figure = draw(AlexNet(crop=crop, num_classes=10), crop)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    share = np.linspace(0, 1, 2000)[:, None]
    ends = [axes.transData.transform(line.get_xydata()) for line in axes.lines]
    points = np.concatenate([start + share * (end - start) for start, end in ends])
    for text in axes.texts:
        box = text.get_window_extent()
        assert not ((points > box.min) & (points < box.max)).all(1).any(), text.get_text()


def test_sizes_are_at_the_same_edges_of_both_towers() -> None:
    """The demo's conv2, 7 × 7, where lines cross only one of the towers' sizes at each edge."""
    texts = [text for text in draw(AlexNet(crop=67, num_classes=10), 67).axes[0].texts if text.get_text() == "7"]
    places = {(round(text.get_position()[0], 6), text.get_horizontalalignment()) for text in texts}
    assert (len(texts), len(places)) == (4, 2)


def test_two_convolutions_have_more_than_one_percent_of_the_parameters() -> None:
    """§2: "each of which contains no more than 1% of the model's parameters"; by Figure 2's kernel sizes and maps."""
    maps = {"conv1": (96, 3, 11), "conv2": (256, 48, 5), "conv3": (384, 256, 3), "conv4": (384, 192, 3)}
    counts = {name: out * read * side**2 + out for name, (out, read, side) in {**maps, "conv5": (256, 192, 3)}.items()}
    total = sum(counts.values()) + (256 * 36 + 1) * 4096 + 4097 * 4096 + 4097 * 1000
    assert measure_network("parameters") == total
    shares = {name: measure_network(f"{name}_share") for name in counts}
    assert shares == pytest.approx({name: 100 * count / total for name, count in counts.items()})
    assert [name for name, share in shares.items() if share > 1] == ["conv3", "conv4"]
