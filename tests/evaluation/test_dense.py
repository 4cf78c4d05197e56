"""Dense evaluation (OverFeat §3.3, Figure 3) against the nine offsets one by one and against single crops."""

import pytest
import torch
from networks import map_side
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.config.views import DenseViews
from alexnet_pl.evaluation import dense
from alexnet_pl.evaluation.dense import dense_logits, dense_scores, slide_classifier
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.overfeat import OverFeat

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def network(net: str = "accurate", crop: int = 113, **options) -> OverFeat:
    """Narrow network in float64 with different outputs per class."""
    torch.manual_seed(0)
    return OverFeat(4, crop, net, **{"width": 0.05, "init": "he"} | options).double().eval()


def alexnet(**options) -> AlexNet:
    torch.manual_seed(0)
    return AlexNet(**{"num_classes": 4, "crop": 67} | options).double().eval()


def pictures(*sides: int, count: int = 2) -> Tensor:
    return 60 * torch.randn(count, 3, *sides, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def uint8_images(*shapes: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    small = [torch.randint(256, (1, 3, 9, 9), generator=generator).float() for _ in shapes]
    return [
        F.interpolate(one, shape, mode="bilinear")[0].round().byte() for one, shape in zip(small, shapes, strict=True)
    ]


def by_offsets(net: OverFeat, maps: Tensor) -> Tensor:
    """Steps (b) to (e): pool from each offset, classify each pooled map, interleave the outputs."""
    pool, reach = net.window.pool, net.window.pool * (net.window.classifier - 1) + net.window.pool - 1
    out = torch.full((len(maps), 4, maps.shape[2] - reach, maps.shape[3] - reach), torch.nan, dtype=maps.dtype)
    for down in range(pool):
        for right in range(pool):
            found = net.classify(F.max_pool2d(maps[..., down:, right:], pool))
            out[..., down::pool, right::pool] = found
    assert not out.isnan().any()
    return out


@pytest.mark.parametrize("sides", [(17, 17), (17, 20), (18, 23), (19, 21)])
@pytest.mark.parametrize(("net", "crop"), [("accurate", 221), ("fast", 231)])  # pools 3 and 2, classifiers 5 and 6
@torch.no_grad()
def test_dilated_pass_matches_all_offsets_interleaved(net: str, crop: int, sides: tuple) -> None:
    model = network(net, crop, width=0.02)
    maps = torch.randn(2, model.get_submodule(model.head[0]).in_channels, *sides, dtype=torch.float64)
    torch.testing.assert_close(slide_classifier(model, maps), by_offsets(model, maps), **CLOSE)


@torch.no_grad()
def test_image_of_one_window_matches_the_network() -> None:
    net = network()
    for stride in ("fine", "coarse"):
        (picture,) = pictures(113, 113).split(2)
        torch.testing.assert_close(dense_logits(net, picture, stride)[:, :, 0, 0], net(picture), **CLOSE)


@torch.no_grad()
def test_coarse_map_is_every_third_cell_of_the_fine_map() -> None:
    net, picture = network(), pictures(149, 185)
    fine, coarse = (dense_logits(net, picture, stride) for stride in ("fine", "coarse"))
    assert fine.shape[2:] == (4, 7)
    assert coarse.shape[2:] == (2, 3)
    torch.testing.assert_close(coarse, fine[..., ::3, ::3], **CLOSE)


@torch.no_grad()
def test_each_cell_matches_the_classifier_on_its_maps() -> None:
    net = network()
    maps = net.convolve(pictures(149, 161))
    found, side = slide_classifier(net, maps), map_side(net.window)
    for i in range(found.shape[2]):
        for j in range(found.shape[3]):
            window = F.max_pool2d(maps[..., i : i + side, j : j + side], 3)
            torch.testing.assert_close(found[:, :, i, j], net.classify(window)[:, :, 0, 0], **CLOSE)


def without_padding(net: OverFeat) -> OverFeat:
    for layer in net.children():
        if isinstance(layer, nn.Conv2d):
            layer.padding = (0, 0)
    return net


@torch.no_grad()
def test_without_padding_each_cell_matches_the_network_on_its_crop() -> None:
    """Four unpadded 3 × 3 layers lose a cell per side each: the same window needs 96 pixels more."""
    net = without_padding(network())
    window, picture = 113 + 2 * 4 * 12, pictures(233, 245, count=1)
    found = dense_logits(net, picture)
    assert found.shape[2:] == (3, 4)
    for i in range(3):
        for j in range(4):
            crop = picture[..., 12 * i : 12 * i + window, 12 * j : 12 * j + window]
            (own,) = net.classify(F.max_pool2d(net.convolve(crop), 3)).flatten(1)
            torch.testing.assert_close(found[0, :, i, j], own, **CLOSE)


@torch.no_grad()
def test_with_padding_a_cell_differs_from_its_zero_padded_crop() -> None:
    """So it is in the paper: training sees zeros outside a crop, dense evaluation sees the image there."""
    net, picture = network(width=0.1), pictures(185, 185, count=8)
    crop = picture[..., 36:149, 36:149]
    apart = (dense_logits(net, picture)[:, :, 3, 3] - net(crop)).norm() / net(crop).norm()
    assert 0.02 < apart < 1


@torch.no_grad()
def test_alexnets_fully_connected_layers_match_convolutions() -> None:
    """3 × 3 pooling with stride 2: a window every 16 pixels. Tests one window, and the maps of each of several."""
    for options in ({}, {"bottleneck": 8}, {"conv6": True}):
        net, picture = alexnet(**options), pictures(67, 67)
        assert (net.window.stride, net.window.fine_stride) == (32, 16)
        torch.testing.assert_close(dense_logits(net, picture)[:, :, 0, 0], net(picture), **CLOSE)
    net = alexnet(crop=99)
    maps = net.convolve(pictures(131, 115))
    found, side = slide_classifier(net, maps), map_side(net.window)
    assert found.shape[2:] == (3, 2)
    for i, j in ((0, 0), (1, 1), (2, 0)):
        window = F.max_pool2d(maps[..., i : i + side, j : j + side], 3, 2)
        torch.testing.assert_close(found[:, :, i, j], net.drop(net.fc7(net.fc6(window.flatten(1)).relu() / 2).relu()) @
                                   net.fc8.weight.T + net.fc8.bias, **CLOSE)  # fmt: skip


@pytest.mark.parametrize("stride", ["fine", "coarse"])
@torch.no_grad()
def test_strips_of_a_network_with_a_sixth_convolution_match_the_whole_map(
    stride: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, shown = alexnet(conv6=True, crop=99), pictures(163, 147)
    nn.init.normal_(net.conv6.weight, std=0.1)  # type: ignore[union-attr]
    whole = dense_logits(net, shown, stride)
    assert whole.shape[2] >= 3
    monkeypatch.setitem(dense.CELLS_PER_STRIP, "cpu", 1)
    torch.testing.assert_close(dense_logits(net, shown, stride), whole, **CLOSE)


def test_alexnet_without_overlapping_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap=false"):
        _ = alexnet(overlap=False).window


def expected_scores(net: OverFeat, shown: list[Tensor], stride: str = "fine") -> Tensor:
    """Maximum over positions, then mean over scales and reflections; `shown`: the image at each scale."""
    vectors = []
    for picture in shown:
        for seen in (picture, torch.flip(picture, [-1])):
            windows = dense_logits(net, seen, stride).flatten(2)[0]
            vectors.append(torch.stack([torch.softmax(windows[:, k], 0) for k in range(windows.shape[1])]).max(0)[0])
    return torch.stack(vectors).mean(0)


@pytest.mark.parametrize("stride", ["fine", "coarse"])
@torch.no_grad()
def test_scores_are_window_maxima_averaged_over_scales_and_reflections(stride: str) -> None:
    """A square image at 125 and 137 pixels: scale 1 and, made square, scale 2 of the smaller network."""
    net, (image,) = network(), uint8_images((160, 160))
    sizes = ((125, 125), (149, 149))
    shown = [F.interpolate(image[None].float(), size, mode="bilinear", antialias=True).double() - 118 for size in sizes]
    options = DenseViews((1, 2), stride, "keep")
    found = dense_scores(net, lambda pictures: pictures.double() - 118, [image], options).exp()[0]
    wanted = expected_scores(net, shown, stride)
    torch.testing.assert_close(found.double(), wanted / wanted.sum(), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_maximum_before_the_softmax_is_optional() -> None:
    net, (image,) = network(), uint8_images((125, 125))
    picture = image[None].double() - 118
    wanted = torch.stack([dense_logits(net, one).amax((2, 3))[0] for one in (picture, picture.flip(3))]).mean(0)
    found = dense_scores(net, lambda pictures: pictures.double() - 118, [image], DenseViews((1,), score="logit"))
    torch.testing.assert_close(found[0].double(), wanted.log_softmax(0), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_image_and_its_reflection_get_the_same_scores() -> None:
    net, images = network(), uint8_images((150, 200), (220, 150))
    options = DenseViews((1, 3), aspect="keep")
    one, other = (
        dense_scores(net, lambda pictures: pictures.double() - 118, some, options)
        for some in (images, [image.flip(2) for image in images])
    )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_batched_images_and_strips_match_single_images(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    images = uint8_images((150, 200), (200, 150), (150, 200), (170, 170), (150, 210))
    options = DenseViews((1, 3), aspect="crop")

    def prepare(pictures: Tensor) -> Tensor:
        return pictures.double() - 118

    alone = torch.cat([dense_scores(net, prepare, [image], options) for image in images])
    torch.testing.assert_close(dense_scores(net, prepare, images, options), alone, rtol=1e-5, atol=1e-6)
    monkeypatch.setitem(dense.CELLS_PER_STRIP, "cpu", 1)
    monkeypatch.setitem(dense.PIXELS_PER_BATCH, "cpu", 1)
    seen = []
    net.get_submodule(net.head[2]).register_forward_hook(lambda _, __, out: seen.append(out.shape[2]))
    torch.testing.assert_close(dense_scores(net, prepare, images, options), alone, rtol=1e-5, atol=1e-6)
    assert set(seen) == {1}  # one row of cells at a time
