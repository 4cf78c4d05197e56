"""BoxNetwork: a trained classifier applied as a sliding window, with a box regressor on the same features (§4, §5)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.detection.pyramid import map_sides
from alexnet_pl.detection.regressor import BoxRegressor
from alexnet_pl.evaluation.dense import slide_classifier
from alexnet_pl.models.networks import check_sliding, make_named_net
from alexnet_pl.models.sliding_window import WindowGeometry


class WindowOutputs(NamedTuple):
    """Outputs of every window of an image at the fine stride."""

    scores: Tensor  # (classes, rows, columns) softmax outputs; background last, if the network has that class
    boxes: Tensor  # (heads, 4, rows, columns) edges in the window's frame


class BoxNetwork(nn.Module):
    """Classifier `net` with a box regressor. `mean`: mean RGB pixel; `background`: whether that is the last class;
    `size`: shorter side in pixels of the images of its training store, set by `load_box_network`."""

    mean: Tensor
    size: int

    def __init__(self, net: Any, regressor: BoxRegressor, mean: Tensor, background: bool) -> None:
        super().__init__()
        self.net, self.regressor, self.background = net, regressor, background
        self.register_buffer("mean", mean.reshape(3, 1, 1))

    @property
    def window(self) -> WindowGeometry:
        return self.net.window

    @property
    def num_objects(self) -> int:
        """Number of classes without the background."""
        return self.net.num_classes - self.background

    def convolve(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) pixels, 0 … 255 → maps of the last convolution, as far as windows of `window_grid` read them.

        The last pooling of some crops drops a row and a column of the maps (AlexNet's of 112 pixels, not of 224).
        """
        rows, columns = map_sides(self.window, tuple(picture.shape[2:]))  # type: ignore[arg-type]
        return self.net.convolve(picture - self.mean)[:, :, :rows, :columns]

    def pool(self, maps: Tensor) -> Tensor:
        """Max pooling at stride 1, which contains all offsets of §3.3."""
        return F.max_pool2d(maps, self.window.pool, 1)

    def forward(self, picture: Tensor) -> WindowOutputs:
        """(1, 3, H, W) pixels, 0 … 255 → outputs of all windows."""
        maps = self.convolve(picture)
        scores = F.softmax(slide_classifier(self.net, maps).float(), 1)
        return WindowOutputs(scores[0], self.regressor(self.pool(maps), self.window.pool_stride)[0].float())


def make_box_network(switches: Mapping[str, Any], classes: int, options: BoxOptions) -> BoxNetwork:
    """Build a network for `classes` classes with the architecture of a checkpoint (`switches`), but not its weights.

    Raises UserError if that architecture cannot be applied as a sliding window.
    """
    outputs = classes + (options.task == "detect")
    net: Any = make_named_net({**switches["model"], "num_classes": outputs}, switches["augment"]["crop"])
    check_sliding(net, "transfer.weights")
    maps = count_maps(net, net.window.window)
    heads = classes if options.per_class else 0
    regressor = BoxRegressor(maps, net.window.classifier, (options.units[0], options.units[1]), heads)
    return BoxNetwork(net, regressor, torch.zeros(3), options.task == "detect")


@torch.no_grad()
def count_maps(net: Any, side: int) -> int:
    """Number of maps of the last convolution."""
    return net.convolve(torch.zeros(1, 3, side, side)).shape[1]
