"""Image patches to which each first-layer kernel responds most strongly (§7.1)."""

from functools import partial
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures.examples import spread_evenly
from alexnet_pl.figures.figure4 import add_axes_inches
from alexnet_pl.figures.style import Theme, draw_for_notebook
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.filters import largest_filters, scale_to_unit_range
from alexnet_pl.training.classifier import Classifier


@torch.inference_mode()
def compute_responses(module: Classifier, images: Tensor) -> Tensor:
    """Responses of the first layer to the centre view: (N, 3, size, size) uint8 → (N, K, side, side)."""
    (view,) = module.augment.views(images, "center")
    fill = module.net.edge_padding if isinstance(module.net, AlexNet) else 0
    return module.net.conv1(F.pad(view, (0, fill, 0, fill)))


class Patches(NamedTuple):
    """Patches with the strongest responses of each of K kernels, in `count` images, strongest first."""

    pixels: Tensor  # (K, count, 3, 11, 11) uint8
    responses: Tensor  # (K, count), before norm and ReLU
    images: Tensor  # (K, count) int64, index of the image


def top_activating_patches(module: Classifier, images: Tensor, kernels: Tensor, count: int = 8) -> Patches:
    """Find the images with the strongest responses of `kernels`, (K,); at most one patch per image."""
    maps = compute_responses(module, images)[:, kernels]
    values, positions = maps.flatten(2).max(2)  # (N, K)
    values, chosen = values.topk(min(count, len(images)), dim=0)
    locations = positions.gather(0, chosen)
    conv, width = module.net.conv1, maps.shape[3]
    down, right = (locations // width * conv.stride[0], locations % width * conv.stride[0])
    padded = pad_view(module, images)
    side = conv.kernel_size[0]
    pixels = [padded[i, :, y : y + side, x : x + side] for i, y, x in list_entries(chosen, down, right)]
    return Patches(torch.stack(pixels).unflatten(0, (len(kernels), -1)), values.T, chosen.T)


def list_entries(*tables: Tensor) -> list[tuple[int, ...]]:
    """List the matching entries of (count, K) tables, kernel by kernel."""
    return list(zip(*(table.T.flatten().tolist() for table in tables), strict=True))


def pad_view(module: Classifier, images: Tensor) -> Tensor:
    """Pad the pixels of the centre view with zeros as far as the convolution's windows reach."""
    crop, conv = module.augment.crop, module.net.conv1
    start, before = (module.augment.size - crop) // 2, int(conv.padding[0])
    view = images[:, :, start : start + crop, start : start + crop]
    after = before + conv.kernel_size[0]
    return F.pad(view, (before, after, before, after))


SIDE, GAP = 0.62, 0.06  # inches


def draw_patches(kernels: Tensor, numbers: Tensor, patches: Patches, theme: Theme) -> Figure:
    """Draw one row per kernel: its number, the kernel (all K on a common scale), its patches, strongest first."""
    shown = scale_to_unit_range(kernels)[numbers]
    rows, columns = patches.responses.shape
    pitch, left = SIDE + GAP, 0.45
    figure = Figure(figsize=(left + (columns + 1) * pitch + 0.2, rows * pitch + GAP))
    for row, number in enumerate(numbers.tolist()):
        y = (rows - 1 - row) * pitch + GAP
        axes = add_axes_inches(figure, left, y, SIDE, SIDE)
        axes.imshow(shown[row].permute(1, 2, 0).numpy(), interpolation="none")
        axes.text(-0.12, 0.5, f"{number}", transform=axes.transAxes, ha="right", va="center")
        for column in range(columns):
            axes = add_axes_inches(figure, left + 0.15 + (column + 1) * pitch, y, SIDE, SIDE)
            axes.imshow(patches.pixels[row, column].permute(1, 2, 0).numpy(), interpolation="none")
    return figure


def draw_responses(kernels: Tensor, numbers: Tensor, image: Tensor, maps: Tensor, theme: Theme) -> Figure:
    """Draw an image (3, size, size), kernels, and below each its response map (K, side, side); grey is zero."""
    figure = Figure(figsize=(1.2 * (len(numbers) + 2), 2.6), layout="constrained")
    cells = figure.add_gridspec(2, len(numbers) + 2)
    places = [cells[:, :2], *(cells[row, column] for row in (0, 1) for column in range(2, len(numbers) + 2))]
    whole, *panels = (figure.add_subplot(place) for place in places)
    whole.imshow(image.permute(1, 2, 0).numpy())
    shown, reach = scale_to_unit_range(kernels)[numbers], float(maps.abs().flatten().quantile(0.995))
    for i, number in enumerate(numbers.tolist()):
        panels[i].imshow(shown[i].permute(1, 2, 0).numpy(), interpolation="none")
        panels[i].set_title(f"{number}", fontsize=8)
        panels[i + len(numbers)].imshow(maps[i].numpy(), cmap="gray", vmin=-reach, vmax=reach)
    for axes in figure.axes:
        axes.axis("off")
    return figure


def draw_top_patches(run: TrainedRun, per_tower: int = 6, images: int = 200, patches: int = 9) -> Figure:
    """Draw the patches of test images to which each tower's largest kernels respond most, for a notebook."""
    weight, numbers = find_largest(run, per_tower)
    found = top_activating_patches(run.module, read_test_images(run, images), numbers, patches)
    return draw_for_notebook(partial(draw_patches, weight, numbers, found))


def draw_filter_responses(run: TrainedRun, per_tower: int = 3, images: int = 3) -> Figure:
    """Draw response maps of each tower's largest kernels to one test image, for a notebook."""
    weight, numbers = find_largest(run, per_tower)
    image = read_test_images(run, images)[images // 2]
    return draw_for_notebook(
        partial(draw_responses, weight, numbers, image, compute_responses(run.module, image[None])[0, numbers])
    )


def find_largest(run: TrainedRun, per_tower: int) -> tuple[Tensor, Tensor]:
    """First-layer kernels (K, 3, h, w), and the indices of the largest."""
    weight = run.module.net.conv1.weight.detach()
    return weight, largest_filters(weight, run.cfg.model.get("towers", 1), per_tower)


def read_test_images(run: TrainedRun, count: int) -> Tensor:
    """Read `count` images, evenly spaced over the tested split: (count, 3, size, size) uint8."""
    split = run.store.split(run.data.test_split_name)
    return split.images(spread_evenly(len(split), count))
