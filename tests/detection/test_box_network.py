"""Sliding windows against single crops, and the regressor against a formula."""

from typing import Any

import numpy as np
import pytest
import torch
from networks import map_side
from torch.nn import functional as F

from alexnet_pl.config.box_options import BoxOptions, DetectOptions
from alexnet_pl.detection.box_network import BoxNetwork, make_box_network
from alexnet_pl.detection.finder import BoxFinder
from alexnet_pl.detection.pyramid import gather_windows, window_boxes, window_grid
from alexnet_pl.detection.regressor import BoxRegressor, box_loss
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.image_scales import pyramid_sides
from alexnet_pl.models.alexnet import AlexNet


def test_dense_outputs_match_single_windows(network: BoxNetwork) -> None:
    """From layer 5 on, a window's own pooled maps give the same outputs as the dense pass at its position."""
    picture = 255 * torch.rand(1, 3, 137, 161)
    answers = network(picture)
    rows, columns = window_grid(network.window, (137, 161))
    assert answers.scores.shape[1:] == answers.boxes.shape[2:] == (rows, columns) == (3, 5)
    pooled = network.pool(network.convolve(picture))
    windows = gather_windows(pooled, network.window, torch.arange(rows * columns))
    assert windows.shape[2:] == (2, 2)
    logits = network.net.classify(windows).flatten(1)
    torch.testing.assert_close(F.softmax(logits, 1).T, answers.scores.flatten(1), rtol=1e-4, atol=1e-5)
    boxes = network.regressor(windows).flatten(2)[:, 0]
    torch.testing.assert_close(boxes.T, answers.boxes[0].flatten(1), rtol=1e-4, atol=1e-5)


def test_window_of_crop_size_matches_the_network(network: BoxNetwork) -> None:
    picture = 255 * torch.rand(1, 3, 113, 113)
    plain = F.softmax(network.net(picture - network.mean), 1)
    torch.testing.assert_close(network(picture).scores.flatten(), plain[0], rtol=1e-4, atol=1e-6)


def test_gathered_windows_are_slices_of_the_maps(network: BoxNetwork) -> None:
    """Pooling a window's 6 × 6 cells by 3 × 3 with stride 3 reads the same cells as dilated taps at stride 1."""
    maps = torch.rand(1, 4, 9, 11)
    pooled = network.pool(maps)
    side, numbers = map_side(network.window), torch.tensor([0, 7, 23])
    expected = [
        F.max_pool2d(maps[:, :, y : y + side, x : x + side], 3) for y, x in ((n // 6, n % 6) for n in numbers.tolist())
    ]
    torch.testing.assert_close(gather_windows(pooled, network.window, numbers), torch.cat(expected))


@pytest.mark.parametrize("crop", [99, 112])
def test_windows_of_alexnet_are_those_of_the_grid(crop: int) -> None:
    """A crop of 112 pixels has 6 × 6 maps, of which pooling 3 × 3 with stride 2 reads 5 × 5."""
    net = AlexNet(10, crop, width=0.05).eval()
    network = BoxNetwork(net, BoxRegressor(12, net.window.classifier, (8, 4)), torch.zeros(3), background=False).eval()
    sides = crop + 16, crop + 48
    with torch.no_grad():
        maps = network.convolve(255 * torch.rand(1, 3, *sides))
        answers = network(255 * torch.rand(1, 3, *sides))
    assert answers.scores.shape[1:] == answers.boxes.shape[2:] == window_grid(network.window, sides) == (2, 4)
    cells = gather_windows(network.pool(maps), network.window, torch.tensor([5]))  # second row, second column
    torch.testing.assert_close(cells, F.max_pool2d(maps[:, :, 1:6, 1:6], 3, 2))
    found = BoxFinder(network, BoxOptions("localise"), DetectOptions(scales=[4]), torch.device("cpu"))
    assert len(found.find(torch.zeros(3, 130, 150, dtype=torch.uint8)).boxes)


def test_windows_are_a_fine_stride_apart_and_cover_the_image(network: BoxNetwork) -> None:
    sides = pyramid_sides((120, 160), network.window, 4)
    windows = window_boxes(network.window, sides)
    assert len(windows) == np.prod(window_grid(network.window, sides))
    assert windows[0].tolist() == [0, 0, 113, 113]
    assert windows[1].tolist() == [12, 0, 125, 113]
    assert windows[-1, 2:].tolist() == [sides[1], sides[0]]


def test_shorter_side_has_the_height_of_table_5(network: BoxNetwork) -> None:
    paper = network.window._replace(window=221, published=221)
    assert pyramid_sides((375, 500), paper, 4) == (389, 521)
    assert pyramid_sides((500, 375), paper, 4) == (521, 389)
    assert pyramid_sides((375, 500), paper, 4, zoom=2)[0] == 773  # instead of 778, without cropping a pixel


def test_published_regressor_has_109_million_parameters() -> None:
    with torch.device("meta"):
        shared, own = BoxRegressor(1024, 5), BoxRegressor(1024, 5, classes=1000)
    assert sum(p.numel() for p in shared.parameters()) == 109_061_124
    assert sum(p.numel() for p in own.parameters()) == 113_157_024


def test_untrained_regressor_predicts_the_window() -> None:
    torch.manual_seed(0)
    regressor = BoxRegressor(8, 2, (32, 16))
    regressor.reset_parameters(mean_square=4.0)
    answers = regressor(2 * torch.randn(200, 8, 2, 2)).flatten(1)
    assert answers.mean(0).tolist() == pytest.approx([0, 0, 1, 1], abs=0.05)


def test_loss_is_the_squared_distance_of_the_true_class() -> None:
    answers = torch.rand(6, 3, 4, dtype=torch.float64)
    targets, labels = torch.rand(6, 4, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0, 2])
    expected = np.mean(
        [((answers[i, label] - targets[i]) ** 2).sum().item() for i, label in enumerate(labels.tolist())]
    )
    assert box_loss(answers, targets, labels).item() == pytest.approx(expected)
    shared = box_loss(answers[:, :1], targets, labels).item()
    assert shared == pytest.approx(((answers[:, 0] - targets) ** 2).sum(1).mean().item())


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
