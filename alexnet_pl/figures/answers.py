"""What first-layer kernels answer to, beside them (§7.1): patches of images, and maps of responses."""

from functools import partial

from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.examples import spread
from alexnet_pl.figures.figure4 import panel
from alexnet_pl.figures.theme import Theme, show
from alexnet_pl.kernels import heaviest, scaled
from alexnet_pl.patches import Patches, responses, strongest
from alexnet_pl.trained import Trained

SIDE, GAP = 0.62, 0.06  # inches


def draw_patches(kernels: Tensor, numbers: Tensor, found: Patches, theme: Theme) -> Figure:
    """A row a kernel: its number, itself (all K of them by one scale), its patches, the strongest first."""
    shown = scaled(kernels)[numbers]
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
    shown, reach = scaled(kernels)[numbers], float(maps.abs().flatten().quantile(0.995))
    for i, number in enumerate(numbers.tolist()):
        panels[i].imshow(shown[i].permute(1, 2, 0).numpy(), interpolation="none")
        panels[i].set_title(f"{number}", fontsize=8)
        panels[i + len(numbers)].imshow(maps[i].numpy(), cmap="gray", vmin=-reach, vmax=reach)
    for axes in figure.axes:
        axes.axis("off")
    return figure


def draw_top_patches(run: Trained, per_tower: int = 6, images: int = 200, patches: int = 9) -> Figure:
    """The patches of some test images to which each tower's largest kernels respond most, for a notebook."""
    weight, numbers = largest(run, per_tower)
    return show(
        partial(draw_patches, weight, numbers, strongest(run.module, tested_images(run, images), numbers, patches))
    )


def draw_filter_responses(run: Trained, per_tower: int = 3, images: int = 3) -> Figure:
    """The response maps of each tower's largest kernels to the middle one of some test images, for a notebook."""
    weight, numbers = largest(run, per_tower)
    image = tested_images(run, images)[images // 2]
    return show(partial(draw_responses, weight, numbers, image, responses(run.module, image[None])[0, numbers]))


def largest(run: Trained, per_tower: int) -> tuple[Tensor, Tensor]:
    """(K, 3, h, w) kernels of the first layer, and the numbers of the largest."""
    weight = run.module.net.conv1.weight.detach()
    return weight, heaviest(weight, run.cfg.model.get("towers", 1), per_tower)


def tested_images(run: Trained, count: int) -> Tensor:
    """(count, 3, size, size) uint8, spread evenly over the tested split."""
    split = run.store.split(run.data.tested)
    return split.pictures(spread(len(split), count))
