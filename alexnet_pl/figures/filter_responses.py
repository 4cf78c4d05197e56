"""Image patches to which each first-layer kernel responds most strongly (§7.1)."""

from functools import partial
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures.examples import spread
from alexnet_pl.figures.figure4 import panel
from alexnet_pl.figures.style import Theme, show
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.filters import largest_filters, scale_to_unit_range
from alexnet_pl.training.classifier import Classifier


@torch.inference_mode()
def responses(module: Classifier, images: Tensor) -> Tensor:
    """(N, 3, size, size) uint8 → (N, K, side, side), of the centre view."""
    (view,) = module.augment.views(images, "center")
    fill = module.net.edge_padding if isinstance(module.net, AlexNet) else 0
    return module.net.conv1(F.pad(view, (0, fill, 0, fill)))


class Patches(NamedTuple):
    """For each of K kernels, the locations of the strongest responses in `count` images, strongest first."""

    pixels: Tensor  # (K, count, 3, 11, 11) uint8
    responses: Tensor  # (K, count), of the convolution alone: before norm and ReLU
    images: Tensor  # (K, count) int64, whose they are


def top_activating_patches(module: Classifier, images: Tensor, kernels: Tensor, count: int = 8) -> Patches:
    """Strongest response of each image to `kernels`, (K,), so that no image fills a row."""
    answers = responses(module, images)[:, kernels]
    values, where = answers.flatten(2).max(2)  # (N, K)
    values, chosen = values.topk(min(count, len(images)), dim=0)
    places = where.gather(0, chosen)
    conv, width = module.net.conv1, answers.shape[3]
    down, right = (places // width * conv.stride[0], places % width * conv.stride[0])
    seen = framed(module, images)
    side = conv.kernel_size[0]
    pixels = [seen[i, :, y : y + side, x : x + side] for i, y, x in triples(chosen, down, right)]
    return Patches(torch.stack(pixels).unflatten(0, (len(kernels), -1)), values.T, chosen.T)


def triples(*tables: Tensor) -> list[tuple[int, ...]]:
    """Matching entries of (count, K) tables, kernel by kernel."""
    return list(zip(*(table.T.flatten().tolist() for table in tables), strict=True))


def framed(module: Classifier, images: Tensor) -> Tensor:
    """The centre view's own pixels with what the convolution's windows may reach beyond them, black."""
    crop, conv = module.augment.crop, module.net.conv1
    start, before = (module.augment.size - crop) // 2, int(conv.padding[0])
    seen = images[:, :, start : start + crop, start : start + crop]
    after = before + conv.kernel_size[0]
    return F.pad(seen, (before, after, before, after))


SIDE, GAP = 0.62, 0.06  # inches


def draw_patches(kernels: Tensor, numbers: Tensor, found: Patches, theme: Theme) -> Figure:
    """A row a kernel: its number, itself (all K of them by one scale), its patches, the strongest first."""
    shown = scale_to_unit_range(kernels)[numbers]
    rows, columns = found.responses.shape
    pitch, left = SIDE + GAP, 0.45
    figure = Figure(figsize=(left + (columns + 1) * pitch + 0.2, rows * pitch + GAP))
    for row, number in enumerate(numbers.tolist()):
        y = (rows - 1 - row) * pitch + GAP
        axes = panel(figure, left, y, SIDE, SIDE)
        axes.imshow(shown[row].permute(1, 2, 0).numpy(), interpolation="none")
        axes.text(-0.12, 0.5, f"{number}", transform=axes.transAxes, ha="right", va="center")
        for column in range(columns):
            axes = panel(figure, left + 0.15 + (column + 1) * pitch, y, SIDE, SIDE)
            axes.imshow(found.pixels[row, column].permute(1, 2, 0).numpy(), interpolation="none")
    return figure


def draw_responses(kernels: Tensor, numbers: Tensor, image: Tensor, maps: Tensor, theme: Theme) -> Figure:
    """The image (3, size, size), kernels, and below each its responses (K, side, side): grey is none, by one scale."""
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
    """The patches of some test images to which each tower's largest kernels respond most, for a notebook."""
    weight, numbers = largest(run, per_tower)
    found = top_activating_patches(run.module, tested_images(run, images), numbers, patches)
    return show(partial(draw_patches, weight, numbers, found))


def draw_filter_responses(run: TrainedRun, per_tower: int = 3, images: int = 3) -> Figure:
    """The response maps of each tower's largest kernels to the middle one of some test images, for a notebook."""
    weight, numbers = largest(run, per_tower)
    image = tested_images(run, images)[images // 2]
    return show(partial(draw_responses, weight, numbers, image, responses(run.module, image[None])[0, numbers]))


def largest(run: TrainedRun, per_tower: int) -> tuple[Tensor, Tensor]:
    """(K, 3, h, w) kernels of the first layer, and the numbers of the largest."""
    weight = run.module.net.conv1.weight.detach()
    return weight, largest_filters(weight, run.cfg.model.get("towers", 1), per_tower)


def tested_images(run: TrainedRun, count: int) -> Tensor:
    """(count, 3, size, size) uint8, spread evenly over the tested split."""
    split = run.store.split(run.data.test_split_name)
    return split.images(spread(len(split), count))
