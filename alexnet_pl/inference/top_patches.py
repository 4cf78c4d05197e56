"""Patches of images to which the units of a layer respond most strongly (§7.1; Zeiler & Fergus 2014, Figure 2)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.models.activations import layer_outputs
from alexnet_pl.models.receptive_field import ReceptiveField, receptive_fields
from alexnet_pl.training.classifier import Classifier

BATCH = 64  # images in a forward pass


class Patches(NamedTuple):
    """Patches with the strongest responses of K units, `count` patches per unit, strongest first."""

    pixels: Tensor  # (K, count, 3, side, side) uint8
    responses: Tensor  # (K, count), before norm and ReLU
    images: Tensor  # (K, count) int64, index of the image


@torch.inference_mode()
def find_top_patches(module: Classifier, images: Tensor, layer: str, units: Tensor, count: int = 8) -> Patches:
    """Find the images, (N, 3, size, size) uint8, with the strongest responses of `units`, (K,), of a convolution, and
    crop the receptive field of each response from the center view; at most one patch per image and unit."""
    values, positions = strongest_positions(module, images, layer, units)
    values, chosen = values.topk(min(count, len(images)), dim=0)
    positions = positions.gather(0, chosen[..., None].expand(-1, -1, 2))
    field = receptive_fields(module.net, module.augment.crop)[layer]
    pixels = [
        [cut_field(module, images[image], field, position) for image, position in zip(column, spots, strict=True)]
        for column, spots in zip(chosen.T.tolist(), positions.transpose(0, 1).tolist(), strict=True)
    ]
    return Patches(torch.stack([torch.stack(row) for row in pixels]), values.T, chosen.T)


def strongest_positions(module: Classifier, images: Tensor, layer: str, units: Tensor) -> tuple[Tensor, Tensor]:
    """Find the strongest response in each image, (N, K), and its row and column in the map, (N, K, 2)."""
    found = []
    for batch in images.split(BATCH):
        (view,) = module.augment.views(batch, "center")
        maps = layer_outputs(module.net, view, [layer])[layer][:, units]
        values, flat = maps.flatten(2).max(2)
        found.append((values, torch.stack([flat // maps.shape[3], flat % maps.shape[3]], 2)))
    values, positions = zip(*found, strict=True)
    return torch.cat(values), torch.cat(positions)


def cut_field(module: Classifier, image: Tensor, field: ReceptiveField, position: list[int]) -> Tensor:
    """Crop a unit's receptive field from the center view: (3, side, side), black beyond the view; the whole view if the
    field is larger."""
    view = module.augment.center(image)
    if field.size >= module.augment.crop:
        return view
    padded = F.pad(view, [field.size] * 4)
    top, left = (field.first_pixel(unit) + field.size for unit in position)
    return padded[:, top : top + field.size, left : left + field.size]
