"""Network of boxes: a trained classifier as a sliding window, with a box regressor on the same features (§4, §5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.detection.regressor import BoxRegressor
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dense import slide_classifier
from alexnet_pl.experiment.build import make_named_net
from alexnet_pl.models.sliding_window import WindowGeometry
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import LAST

BACKGROUND = "background"


class Answers(NamedTuple):
    """Of every window of a picture at the fine stride."""

    scores: Tensor  # (classes, rows, columns) softmax outputs, the background last where there is one
    boxes: Tensor  # (heads, 4, rows, columns) edges in the window's frame


class BoxNetwork(nn.Module):
    """`net`, `regressor` and the pixels' `mean`. `background`: whether the last output is that of the background."""

    mean: Tensor

    def __init__(self, net: Any, regressor: BoxRegressor, mean: Tensor, background: bool) -> None:
        super().__init__()
        self.net, self.regressor, self.background = net, regressor, background
        self.register_buffer("mean", mean.reshape(3, 1, 1))

    @property
    def window(self) -> WindowGeometry:
        return self.net.window

    @property
    def objects(self) -> int:
        """Classes without the background."""
        return self.net.num_classes - self.background

    def convolve(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W), 0 … 255 → the last convolution's maps."""
        return self.net.convolve(picture - self.mean)

    def pool(self, maps: Tensor) -> Tensor:
        """At stride 1, so that all offsets of §3.3 are there."""
        return F.max_pool2d(maps, self.window.pool, 1)

    def forward(self, picture: Tensor) -> Answers:
        """(1, 3, H, W), 0 … 255."""
        maps = self.convolve(picture)
        scores = F.softmax(slide_classifier(self.net, maps).float(), 1)
        return Answers(scores[0], self.regressor(self.pool(maps), self.window.pool_stride)[0].float())


class Trained(NamedTuple):
    """A checkpoint to begin with: of a classifier, or of a box network."""

    path: Path
    checkpoint: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        return self.checkpoint["alexnet_pl"]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Without the prefix of a training module."""
        return {name.removeprefix("network."): value for name, value in self.checkpoint["state_dict"].items()}


def open_trained(weights: str, key: str = "transfer.weights") -> Trained:
    """`weights`: a checkpoint, or a run folder with one. Raises UserError where there is none."""
    path = Path(weights)
    path = path / LAST if path.is_dir() else path
    if not path.is_file():
        raise UserError(
            f"{key}: {path} does not exist; give a checkpoint or the run folder of a trained OverFeat network"
        )
    return Trained(path, read_checkpoint(path, key=key))


def make_box_network(switches: Mapping[str, Any], classes: int, options: BoxOptions) -> BoxNetwork:
    """The network for a store of so many classes, with the architecture of a checkpoint (`switches`)."""
    outputs = classes + (options.task == "detect")
    net: Any = make_named_net({**switches["model"], "num_classes": outputs}, switches["augment"]["crop"])
    if not hasattr(net, "window"):
        raise UserError("transfer.weights: this network is no sliding window; take one of configs/overfeat_*.yaml")
    with torch.device("meta"):
        sides = [net.window.window] * 2
    maps = count_maps(net, sides[0])
    heads = classes if options.per_class else 0
    regressor = BoxRegressor(maps, net.window.classifier, (options.units[0], options.units[1]), heads)
    return BoxNetwork(net, regressor, torch.zeros(3), options.task == "detect")


@torch.no_grad()
def count_maps(net: Any, side: int) -> int:
    """Maps of the last convolution."""
    return net.convolve(torch.zeros(1, 3, side, side)).shape[1]


def begin_with(network: BoxNetwork, trained: Trained, classes: Sequence[Sequence[str]]) -> None:
    """Copy what `trained` has into the network.

    Outputs of the last layer are copied class by class, so that a classifier of 1,000 classes can begin a detector of
    200 of them; those of other classes and of the background start afresh. Of a box network, the regressor too.
    """
    own = network.state_dict()
    last = list(dict(network.net.named_parameters()))[-1].rpartition(".")[0]
    for name, tensor in trained.tensors.items():
        if name.startswith(f"net.{last}."):
            copy_outputs(own[name], tensor, list(map(str, ids(classes))), list(map(str, ids(trained.about["classes"]))))
        elif name in own and own[name].shape == tensor.shape:
            own[name].copy_(tensor)
        elif name.startswith("net."):
            raise UserError(f"transfer.weights: {name} of {trained.path} does not fit this network")
    if "augment.mean_image" in trained.tensors:
        own["mean"].copy_(trained.tensors["augment.mean_image"].mean((1, 2)).reshape(3, 1, 1))


def ids(classes: Sequence[Sequence[str]]) -> list[str]:
    return [identity for identity, _ in classes]


@torch.no_grad()
def copy_outputs(own: Tensor, there: Tensor, classes: list[str], known: list[str]) -> None:
    """Rows of the last layer by class; the background's too, where both have one."""
    if len(own) == len(classes) + 1:
        classes = [*classes, BACKGROUND]
    if len(there) == len(known) + 1:
        known = [*known, BACKGROUND]
    places = {identity: i for i, identity in enumerate(known)}
    for i, identity in enumerate(classes):
        if identity in places:
            own[i].copy_(there[places[identity]])


def load_box_network(path: str) -> tuple[BoxNetwork, list[list[str]], BoxOptions]:
    """The network of a box run's checkpoint in evaluation mode, its classes without the background, its options."""
    trained = open_trained(path, "ckpt_path")
    switches, classes = trained.about["switches"], trained.about["classes"]
    if "boxes" not in switches:
        raise UserError(f"ckpt_path: {path} is of a classifier; `fit -c configs/overfeat_localise.yaml` makes boxes")
    options = BoxOptions(**switches["boxes"])
    network = make_box_network(switches, len(classes), options)
    network.load_state_dict(trained.tensors)
    return network.eval().requires_grad_(False), classes, options
