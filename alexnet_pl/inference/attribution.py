"""Occlusion maps (Zeiler & Fergus 2014, §4.2) and Grad-CAM (Selvaraju et al. 2017), computed with captum."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.errors import UserError, not_installed
from alexnet_pl.models.activations import check_layer, learned_layers
from alexnet_pl.models.hooks import forward_hooks

WINDOW, STEPS = 5, 4  # the occluding square is a fifth of the image, and moves by a quarter of its side
BATCH = 32  # occluded images in a forward pass


def import_captum() -> Any:
    """Import captum.attr. Raises UserError, naming the extra, if captum is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")  # tqdm's progress bar in notebooks, not used here
            from captum import attr
    except ModuleNotFoundError as error:
        raise not_installed(error.name, "inside") from error
    return attr


def occlusion_map(
    net: nn.Module, view: Tensor, label: int, window: int | None = None, stride: int | None = None
) -> Tensor:
    """Drop in the probability of `label` when a square of the image is replaced by the mean image: (H, W).

    view: (1, 3, H, W), minus the mean image. Each pixel has the mean drop over the squares that covered it.
    window: side of the square in pixels; stride: pixels from one square to the next.
    """
    size = view.shape[-1]
    window = window or max(1, round(size / WINDOW))
    stride = stride or max(1, window // STEPS)
    method = import_captum().Occlusion(lambda image: F.softmax(net(image).float(), 1))
    found = method.attribute(
        view,
        target=label,
        sliding_window_shapes=(view.shape[1], window, window),
        strides=(view.shape[1], stride, stride),
        baselines=0,
        perturbations_per_eval=BATCH,
    )
    return found[0, 0].detach()


def grad_cam(net: nn.Module, view: Tensor, label: int, layer: str | None = None) -> Tensor:
    """Grad-CAM of a convolution, by default the last: (h, w), ReLU(Σ α[k] · A[k]) of its rectified maps A; α[k] is the
    mean gradient of the logit of `label` with respect to A[k].

    view: (1, 3, H, W), minus the mean image.
    """
    model = RectifiedMaps(net, layer or last_convolution(net))
    with torch.enable_grad():
        found = import_captum().LayerGradCam(model, model.maps).attribute(view, target=label, relu_attributions=True)
    return found[0, 0].detach()


def last_convolution(net: nn.Module) -> str:
    """Name of the last convolution below the classifier, whose layers are convolutions too in OverFeat."""
    names = [name for name in learned_layers(net) if name.startswith("conv")]
    if not names:
        raise UserError("this network has no convolution")
    return names[-1]


class RectifiedMaps(nn.Module):
    """A network with a module, `maps`, that the activations of a convolution pass through.

    The network's own ReLU rectifies them again, which changes nothing. If the network has another activation function,
    `maps` gets their values before it.
    """

    def __init__(self, net: nn.Module, layer: str) -> None:
        super().__init__()
        check_layer(net, layer)
        self.net, self.layer, self.maps = net, layer, nn.Identity()
        activation: Callable[[Tensor], Tensor] = getattr(net, "activation", F.relu)
        self.rectify: Callable[[Tensor], Tensor] = F.relu if activation is F.relu else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        def rectify(_layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            return self.maps(self.rectify(output))

        with forward_hooks([(self.net.get_submodule(self.layer), rectify)]):
            return self.net(image)
