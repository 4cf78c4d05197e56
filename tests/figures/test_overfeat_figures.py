"""OverFeat's Figure 3 and Table 5 against the printed sizes, and confidence maps against their windows."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from alexnet_pl.config.views import DenseViews
from alexnet_pl.evaluation.dense import ScaleMap, dense_scores
from alexnet_pl.figures.catalog import map_image
from alexnet_pl.figures.confidence_maps import MappedImage, draw_confidence_maps
from alexnet_pl.figures.offset_pooling import draw_offset_pooling, draw_scale_table, scale_table
from alexnet_pl.figures.style import DARK, LIGHT
from alexnet_pl.models.overfeat import OverFeat, window_geometry

PRINTED = {
    "2": ["281 × 317", "20 × 23", "6 × 7", "2 × 3", "6 × 9"],
    "6": ["461 × 569", "35 × 44", "11 × 14", "7 × 10", "21 × 30"],
}


@pytest.fixture(scope="module")
def accurate() -> OverFeat:
    return OverFeat(2, width=0.01)


def test_table_matches_table_5(accurate: OverFeat) -> None:
    rows = {row[0]: row[1:] for row in scale_table(accurate)}
    assert list(rows) == ["1", "2", "3", "4", "5", "6"]
    assert {scale: rows[scale] for scale in PRINTED} == PRINTED
    (table,) = draw_scale_table(accurate, DARK).axes[0].tables
    assert table[6, 5].get_text().get_text() == "21 × 30"


def test_cells_match_figure_3(accurate: OverFeat) -> None:
    """As printed: 20 cells, pooled to 6 from each of three offsets, 2 outputs each, 6 in total."""
    found = [one for one in draw_offset_pooling(accurate, LIGHT).axes[0].patches if isinstance(one, Rectangle)]
    assert sum(one.get_width() == 3 for one in found) == 3 * 6
    assert sum(one.get_width() == 1 for one in found) == 20 + 3 * 6 + 3 * 2 + 6
    assert {one.get_x() for one in found if one.get_width() == 3} == set(range(18))


def test_cell_is_centered_on_its_window_and_the_box_is_the_best_window() -> None:
    scores = torch.zeros(2, 3, 5)
    scores[1, 2, 4] = 0.75  # the last window: 12 · (2, 4) pixels from the upper left corner
    picture = ScaleMap(torch.zeros(3, 113 + 24, 113 + 48), scores)
    window = window_geometry("accurate", 113)
    figure = draw_confidence_maps([MappedImage([picture], 1, "tench", 0, "church")], [4], window, 12, LIGHT)
    axes = figure.axes[0]
    _, shown = axes.images
    np.testing.assert_array_equal(shown.get_array(), scores[1].numpy())
    left, right, bottom, top = shown.get_extent()
    assert (left + right) / 2 == (113 + 48) / 2  # five windows centered on the image
    assert (top + bottom) / 2 == (113 + 24) / 2
    assert right - left == 5 * 12
    assert right - 6 == 48 + 113 / 2  # center of the last cell and of its window
    (box,) = axes.patches
    assert (box.get_x(), box.get_y(), box.get_width()) == (47.5, 23.5, 113)
    assert axes.get_title(loc="left") == "tench (is church)\nscale 4, up to 0.75"
    assert shown.get_clim() == (0, 1)


def test_logits_set_the_colors_and_names_may_repeat() -> None:
    """ILSVRC-2012 has two classes named crane."""
    scores = torch.zeros(2, 1, 2)
    scores[1] = torch.tensor([[-3.0, 22.0]])
    window = window_geometry("accurate", 113)
    shown = MappedImage([ScaleMap(torch.zeros(3, 113, 125), scores)], 1, "crane", 0, "crane")
    axes = draw_confidence_maps([shown], [4], window, 12, LIGHT).axes[0]
    assert axes.images[1].get_clim() == (-3, 22)
    assert axes.get_title(loc="left").startswith("crane (is crane)")


def test_maps_are_of_the_class_that_a_dense_test_predicts() -> None:
    net, options = OverFeat(2, width=0.01).eval(), DenseViews(scales=(1, 2), stride="coarse")
    module = SimpleNamespace(prepare_picture=lambda pictures: pictures - 118.0)
    run: Any = SimpleNamespace(module=module, classes=["tench", "church"])
    image = torch.randint(0, 256, (3, 256, 300), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = map_image(run, net, image, 1, options)
    with torch.inference_mode():
        predicted = int(dense_scores(net, module.prepare_picture, [image], options)[0].argmax())
    assert (found.answer, found.name, found.label, found.label_name) == (predicted, run.classes[predicted], 1, "church")
    assert len(found.maps) == 2
    unlabeled = map_image(run, net, image, -1, options)
    assert (unlabeled.label, unlabeled.label_name) == (-1, "")
    axes = draw_confidence_maps([unlabeled], options.scales, net.window, net.window.stride, LIGHT).axes[0]
    assert axes.get_title(loc="left").startswith(f"{found.name} (label not known)")
