"""Extractor of features (§7.1): activations of a layer, or pixels, for the center view of images.

The network is in evaluation mode.
"""

import math
from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.errors import UserError
from alexnet_pl.models.activations import layer_activations, learned_layers
from alexnet_pl.training.classifier import Classifier

PIXELS_SIDE = 32  # as in Krizhevsky & Hinton (2011)
MOST_NUMBERS = 9216  # maximum features of an image, the number of inputs of fc6

LayerReader = Callable[[Classifier, Tensor], Tensor]
"""(N, 3, crop, crop) view → (N, width)."""


def read_fc7(module: Classifier, view: Tensor) -> Tensor:
    return module.net.features(module.in_memory_format(view))  # type: ignore[operator]


def read_pixels(module: Classifier, view: Tensor) -> Tensor:
    """Center view at 32 × 32 pixels minus the mean, for auto-encoders on raw pixels (§7.1's comparison)."""
    return F.interpolate(view, size=(PIXELS_SIDE, PIXELS_SIDE), mode="bilinear", antialias=True).flatten(1)


def read_layer(module: Classifier, view: Tensor, layer: str) -> Tensor:
    """Activations of any layer; those of a convolution are average-pooled to at most `MOST_NUMBERS` numbers."""
    (found,) = layer_activations(module.net, module.in_memory_format(view), [layer]).values()
    if found.dim() == 2:
        return found
    side = min(found.shape[-1], math.isqrt(MOST_NUMBERS // found.shape[1]))
    return F.adaptive_avg_pool2d(found, side).flatten(1)


def find_reader(module: Classifier, layer: str, key: str) -> LayerReader:
    """Raises UserError if the network has no such layer. `key`: config key of `layer`."""
    if layer == "fc7" and hasattr(module.net, "features"):  # AlexNet's, also where fc7 has no module of that name
        return read_fc7
    if layer == "pixels":
        return read_pixels
    if layer not in (known := learned_layers(module.net)):
        raise UserError(f"{key}={layer}: one of {', '.join(known)}, pixels")
    return partial(read_layer, layer=layer)


class Extractor:
    """Function from uint8 images (N, 3, size, size) to features (N, width) float32 of their center view.

    Raises UserError for an unknown layer. `key`: config key that `layer` is from.
    """

    def __init__(
        self,
        module: Classifier,
        layer: str,
        device: torch.device,
        precision: str = "32-true",
        key: str = "features.layer",
    ) -> None:
        self.read = find_reader(module, layer, key)
        self.module, self.layer, self.device = module.to(device).eval(), layer, device
        self.precision = precision

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        (view,) = self.module.augment.views(images.to(self.device), "center")
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
            return self.read(self.module, view).float()

    @cached_property
    def width(self) -> int:
        size = self.module.augment.size
        return self(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape[1]
