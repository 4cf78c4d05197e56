"""Figures of what a network has learned, which take longer than the others: `figures RUN inside=true`."""

from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.errors import UserError
from alexnet_pl.experiment.predict import find_images, make_square, read_batches
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import attribution, units
from alexnet_pl.figures.attribution import ExplainedImage
from alexnet_pl.figures.catalog import FigureEntry, Maker
from alexnet_pl.figures.examples import spread_evenly
from alexnet_pl.figures.filter_responses import read_test_images
from alexnet_pl.figures.image_names import name_images
from alexnet_pl.figures.style import draw_for_notebook
from alexnet_pl.figures.units import ClassImages, LayerUnits
from alexnet_pl.inference.attribution import grad_cam, last_convolution, occlusion_map
from alexnet_pl.inference.feature_visualization import maximize_units
from alexnet_pl.inference.top_patches import find_top_patches, strongest_positions
from alexnet_pl.models.activations import learned_layers
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.receptive_field import receptive_fields
from alexnet_pl.runs.checkpoint_metadata import resizing_filter

MARKS = ", ✓ if it is the correct class, else ✗ and the correct class"
PICTURES, SHOWN_PICTURES = 5, 8  # number of test images by default, and maximum number of the user's images
SEARCHED = 400  # test images searched for the strongest patches
UNITS, PATCHES, CLASSES = 4, 6, 8  # units per layer, patches per unit, classes of the last layer


def inside_figures(pictures: str | None = None) -> dict[str, tuple[str, Maker]]:
    """Figures by file name: (title, function). `pictures`: image or folder to explain instead of test images."""
    return {
        "attribution": ("Attribution: occlusion maps and Grad-CAM", partial(attribution_figure, pictures=pictures)),
        "units": ("What units respond to", unit_figure),
    }


def attribution_figure(run: TrainedRun, photographs: bool, pictures: str | None = None) -> FigureEntry:
    if not photographs:
        raise UserError("it consists of photographs (`photographs=false`)")
    images, labels = (read_pictures(run, pictures), None) if pictures else one_image_a_class(run, PICTURES)
    layer = last_convolution(run.module.net)
    explained = [
        explain(run, image, layer, label) for image, label in zip(images, labels or repeat(None), strict=False)
    ]
    source = pictures or f"{len(images)} {run.data.test_split_name} images of {name_images(run)}, of different classes"
    caption = (
        f"{source}, center view, with the most probable class and its softmax output{'' if pictures else MARKS}. "
        "Occlusion: how far that output falls where a square is covered with the mean color (orange) or rises (blue), "
        "on a scale of each map's own, with its largest value below it. "
        f"Grad-CAM of {layer}, on a scale of each map's own."
    )
    falls = max(float(one.occlusion.max()) for one in explained)
    return FigureEntry(
        partial(attribution.draw_attribution, explained, layer), caption, f"largest fall of an output {falls:.2g}"
    )


def one_image_a_class(run: TrainedRun, count: int) -> tuple[Tensor, list[int]]:
    """The middle test image of each of `count` evenly spaced classes, (count, 3, size, size) uint8, and its label."""
    split = run.store.split(run.data.test_split_name)
    known = np.unique(split.labels)
    rows = [np.flatnonzero(split.labels == known[number]) for number in spread_evenly(len(known), count)]
    numbers = np.array([row[len(row) // 2] for row in rows])
    return split.images(numbers), split.labels[numbers].tolist()


def read_pictures(run: TrainedRun, pictures: str) -> Tensor:
    """Read the user's images: (N, 3, size, size) uint8. Raises UserError if none can be read."""
    paths = find_images(pictures, "pictures")[:SHOWN_PICTURES]
    shape = make_square(run.module.augment.size, resizing_filter(run.module.filter, run.cfg))
    return torch.stack([image for _, images in read_batches(paths, shape, key="pictures") for image in images])


def explain(run: TrainedRun, image: Tensor, layer: str, correct: int | None) -> ExplainedImage:
    """Classify the center view of an image, (3, size, size) uint8, and compute the maps of the most probable class.
    `correct`: the correct class, if it is known."""
    net, augment = run.module.net, run.module.augment
    (view,) = augment.views(image[None], "center")
    with torch.inference_mode():
        probabilities = F.softmax(net(view).float(), 1)[0]
    label = int(probabilities.argmax())
    return ExplainedImage(
        augment.center(image),
        run.classes[label],
        float(probabilities[label]),
        occlusion_map(net, view, label),
        grad_cam(net, view, label, layer),
        None if correct is None else run.classes[correct],
        correct == label,
    )


def unit_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    if not isinstance(run.module.net, AlexNet):
        raise UserError(f"model.name={run.cfg.model.name}: units are drawn for the AlexNet architecture")
    if not photographs:
        raise UserError("it consists of photographs (`photographs=false`)")
    images = read_test_images(run, SEARCHED)
    fields = receptive_fields(run.module.net, run.module.augment.crop)
    layers = [layer_units(run, name, images) for name in fields]
    chosen = spread_evenly(len(run.classes), CLASSES).tolist()
    last = learned_layers(run.module.net)[-1]
    classes = ClassImages(
        [run.classes[number] for number in chosen], maximize_units(run.module.net, run.module.augment, last, chosen)
    )
    sizes = ", ".join(f"{name} {field.size}" for name, field in fields.items())
    caption = (
        f"Units of each layer, evenly spaced among those that respond to any of {len(images):,} "
        f"{run.data.test_split_name} images of {name_images(run)}. Framed: an image that maximizes the unit's output, "
        f"found by gradient ascent from noise. Beside it, the patches with its {PATCHES} strongest responses, at most "
        f"one an image. Both are cut to the unit's receptive field ({sizes} pixels), black beyond the image, or show "
        "the whole view where that is smaller. Last row: images that maximize the outputs of "
        f"{len(chosen)} of the {len(run.classes):,} classes."
    )
    shown = sum(len(layer.numbers) for layer in layers)
    return FigureEntry(partial(units.draw_units, layers, classes), caption, f"{shown} units")


def layer_units(run: TrainedRun, name: str, images: Tensor) -> LayerUnits:
    module = run.module
    every = torch.arange(module.net.get_submodule(name).weight.shape[0])  # type: ignore[arg-type, union-attr]
    with torch.inference_mode():
        strongest = strongest_positions(module, images, name, every)[0].amax(0)
    responding = torch.nonzero(strongest > 0)[:, 0]
    pool = responding if len(responding) else every
    numbers = pool[torch.from_numpy(spread_evenly(len(pool), UNITS))]
    found = find_top_patches(module, images, name, numbers, PATCHES)
    maximal = maximize_units(module.net, module.augment, name, numbers.tolist())
    return LayerUnits(name, numbers.tolist(), maximal, found.pixels)


def draw_attribution(run: TrainedRun, pictures: str | Path | None = None) -> Figure:
    """Draw occlusion maps and Grad-CAM for a notebook, of test images or of `pictures`, an image or a folder."""
    return draw_for_notebook(attribution_figure(run, True, str(pictures) if pictures else None).drawing)


def draw_units(run: TrainedRun) -> Figure:
    """Draw images that maximize units of each layer, and the units' strongest patches, for a notebook."""
    return draw_for_notebook(unit_figure(run, True).drawing)
