"""Image patches to which each first-layer kernel responds most strongly (§7.1)."""

from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures.examples import spread_over_classes
from alexnet_pl.figures.style import Theme, add_axes_inches, draw_for_notebook
from alexnet_pl.inference.top_patches import Patches, find_top_patches
from alexnet_pl.models.activations import layer_outputs
from alexnet_pl.models.filters import largest_filters, scale_to_unit_range
from alexnet_pl.training.classifier import Classifier


@torch.inference_mode()
def compute_responses(module: Classifier, images: Tensor) -> Tensor:
    """Responses of the first layer to the center view: (N, 3, size, size) uint8 → (N, K, side, side)."""
    (view,) = module.augment.views(images, "center")
    return layer_outputs(module.net, view, ["conv1"])["conv1"]


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
    """Draw an image (3, size, size), kernels, and below each its response map (K, side, side); gray is zero."""
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
    found = find_top_patches(run.module, read_test_images(run, images), "conv1", numbers, patches)
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
    net = run.module.net
    weight = net.conv1.weight.detach()
    return weight, largest_filters(weight, getattr(net, "towers", 1), per_tower)


def read_test_images(run: TrainedRun, count: int) -> Tensor:
    """Read `count` images, spread evenly over the classes of the tested split: (count, 3, size, size) uint8."""
    split = run.store.split(run.data.test_split_name)
    return split.images(spread_over_classes(split.labels, count))
