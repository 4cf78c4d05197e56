"""Image sizes of dense evaluation against OverFeat's Table 5, and images resized to them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from alexnet_pl.evaluation.dense import dense_logits
from alexnet_pl.evaluation.image_scales import resize_to_sides, scale_sides, target_sides
from alexnet_pl.models.overfeat import OverFeat, window_geometry

ACCURATE, FAST, SMALL = window_geometry("accurate", 221), window_geometry("fast", 231), window_geometry("accurate", 113)
# scale: input, layer 5 before pooling, after it for each offset, classifier for each offset, output map. Row 5 is
# printed as 32 × 35, 10 × 11 and 6 × 7 beside a map of 18 × 24, which only 32 × 38 gives.
TABLE5 = {
    1: ((245, 245), (17, 17), (5, 5), (1, 1), (3, 3)),
    2: ((281, 317), (20, 23), (6, 7), (2, 3), (6, 9)),
    3: ((317, 389), (23, 29), (7, 9), (3, 5), (9, 15)),
    4: ((389, 461), (29, 35), (9, 11), (5, 7), (15, 21)),
    5: ((425, 497), (32, 38), (10, 12), (6, 8), (18, 24)),
    6: ((461, 569), (35, 44), (11, 14), (7, 10), (21, 30)),
}


@pytest.mark.parametrize("scale", TABLE5)
@torch.no_grad()
def test_maps_of_every_scale_match_table_5(scale: int) -> None:
    sides, before, pooled, coarse, fine = TABLE5[scale]
    assert scale_sides(ACCURATE, scale) == sides
    with torch.device("meta"):
        net = OverFeat()
        picture = torch.empty(1, 3, *sides)
    maps = net.convolve(picture)
    assert maps.shape[2:] == before
    assert {F.max_pool2d(maps[..., down:, right:], 3).shape[2:] for down in range(3) for right in range(3)} == {pooled}
    assert dense_logits(net, picture, "coarse").shape[2:] == coarse
    assert dense_logits(net, picture).shape[1:] == (1000, *fine)


def test_six_scales_have_1575_windows_and_the_four_of_table_2_have_1008() -> None:
    windows = {scale: np.prod([(side - 221) // 12 + 1 for side in scale_sides(ACCURATE, scale)]) for scale in TABLE5}
    assert sum(windows.values()) == 1575
    assert sum(windows[scale] for scale in (1, 2, 4, 6)) == 1008


def test_fast_network_uses_the_nearest_lossless_sides() -> None:
    """231 + 16 · j, near the sizes of Table 5: scaled by 231 / 221, they could be equally near to two such sizes."""
    for scale, (sides, *_) in TABLE5.items():
        for found, wanted in zip(scale_sides(FAST, scale), sides, strict=True):
            assert (found - 231) % 16 == 0
            assert abs(found - max(wanted, 231)) <= 8


def test_sides_of_a_smaller_network_shrink_with_its_window() -> None:
    """113 of 221 pixels; 113 + 12 · j."""
    for scale, (sides, *_) in TABLE5.items():
        for found, wanted in zip(scale_sides(SMALL, scale), sides, strict=True):
            assert (found - 113) % 12 == 0
            assert abs(found - wanted * 113 / 221) <= 6


@pytest.mark.parametrize(
    ("shape", "aspect", "sides"),
    [
        ((375, 500), "crop", (389, 461)),
        ((500, 375), "crop", (461, 389)),  # a portrait
        ((375, 500), "squash", (389, 461)),
        ((375, 500), "keep", (389, 521)),  # 389 · 4/3 = 518.7; 221 + 12 · 25
        ((500, 375), "keep", (521, 389)),
        ((256, 256), "keep", (389, 389)),
    ],
)
def test_sides_of_a_picture_follow_its_orientation(shape: tuple, aspect: str, sides: tuple) -> None:
    assert target_sides(torch.empty(3, *shape), ACCURATE, 4, aspect) == sides


def ramp(rows: int, columns: int) -> torch.Tensor:
    """Red increases downwards, green to the right: a pixel's color shows where it was."""
    red, green = torch.linspace(0, 255, rows)[:, None], torch.linspace(0, 255, columns)[None]
    return torch.stack([red.expand(rows, columns), green.expand(rows, columns), torch.zeros(rows, columns)]).byte()


def test_crop_takes_the_center_of_the_covering_image() -> None:
    """100 × 200 to 150 × 150: twice as wide as high, so a quarter of the width is cropped on each side."""
    found = resize_to_sides(ramp(100, 200), (150, 150), "crop")
    assert found.shape == (3, 150, 150)
    assert found[0, [0, -1], 75].tolist() == pytest.approx([0, 255], abs=4)
    assert found[1, 75, [0, -1]].tolist() == pytest.approx([255 / 4, 255 * 3 / 4], abs=4)


def test_squash_and_keep_use_the_whole_image() -> None:
    for aspect in ("squash", "keep"):
        found = resize_to_sides(ramp(100, 200), (150, 150), aspect)
        assert found[0, [0, -1], 75].tolist() == pytest.approx([0, 255], abs=4)
        assert found[1, 75, [0, -1]].tolist() == pytest.approx([0, 255], abs=4)


def test_image_of_the_right_size_is_unchanged() -> None:
    image = ramp(245, 245)
    assert torch.equal(resize_to_sides(image, (245, 245), "crop"), image.float())
