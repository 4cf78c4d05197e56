"""Catalog of the figures of a run folder, with captions. Each function raises UserError if its data is missing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from alexnet_pl.config.views import DenseViews, describe_views
from alexnet_pl.data.loading.whole_images import whole_images
from alexnet_pl.data.store.split import Split
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dense import confidence_maps, dense_scores
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import examples, figure2, figure3, figure4, training_curves
from alexnet_pl.figures.confidence_maps import MappedImage, draw_confidence_maps
from alexnet_pl.figures.examples import SavedPrediction
from alexnet_pl.figures.image_names import name_images
from alexnet_pl.figures.offset_pooling import draw_offset_pooling, draw_scale_table, scale_table
from alexnet_pl.figures.style import Drawing, Theme, draw_for_notebook
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.color_selectivity import color_selectivity
from alexnet_pl.models.networks import check_sliding
from alexnet_pl.models.overfeat import OverFeat
from alexnet_pl.models.sliding_window import SlidingNetwork
from alexnet_pl.models.summary import read_layers
from alexnet_pl.retrieval import gallery

SHOWN = 3  # images with their confidence maps
ERRORS = {"val/top1_error": "top-1 error", "val/top5_error": "top-5 error"}


@dataclass(frozen=True)
class FigureEntry:
    """Figure with its caption, a summary for the console, and `data` to write beside it as JSON."""

    drawing: Drawing
    caption: str
    summary: str
    data: Mapping[str, object] | None = None


def network_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    net, crop = run.module.net, run.module.augment.crop
    if not isinstance(net, AlexNet):
        raise UserError(f"model.name={run.cfg.model.name}: Figure 2 is only drawn for the AlexNet architecture")
    layers = read_layers(net, crop)
    count = sum(parameter.numel() for parameter in net.parameters())
    caption = (
        f"The network, with sizes from a forward pass on an image of {crop} × {crop} pixels; {count:,} parameters."
    )
    return FigureEntry(
        lambda theme: figure2.draw_figure2(layers, (3, crop, crop), theme), caption, f"{len(layers)} layers"
    )


def kernel_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    net = run.module.net
    weight, towers = net.conv1.weight, getattr(net, "towers", 1)
    shares = color_selectivity(weight, towers)
    count, _, height, width = weight.shape
    gpus = (f"GPU {number} {share:.2f}" for number, share in enumerate(shares["gpus"], 1))
    summary = f"color share {shares['gpus'][0]:.2f}"
    if "p" in shares:
        summary = f"color share {', '.join(gpus)} (permutation test: p = {shares['p']:.2g})"
    caption = (
        f"{count} kernels of {height} × {width} × 3 of the first layer on a common scale, zero in gray; {summary}. "
        "The color share of a kernel is 0 if it responds to brightness alone, 1 if it responds to color differences "
        "alone, and 2/3 on average for noise."
    )
    return FigureEntry(lambda theme: figure3.draw_figure3(weight, shares, theme), caption, summary, shares)


def prediction_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    """Figure 4, left, from saved predictions of this checkpoint, or by running the network."""
    reader = examples.find_saved_predictions(run)
    predictions, source, split, note = saved_predictions(run, reader) if reader else new_predictions(run)
    if not predictions:
        raise UserError("the network's scores are not finite for any of the images")
    if not photographs:
        split, note = None, "without photographs (`photographs=false`)"
    images = split.images(np.array([prediction.number for prediction in predictions])) if split else None
    right = sum(prediction.best[0] == prediction.label for prediction in predictions)
    spread = examples.describe_spread(np.array([prediction.label for prediction in predictions]), len(run.classes))
    times = "once" if right == 1 else f"{right} times"
    caption = (
        f"{len(predictions)} {source}, {spread}, with the five most probable labels; the correct label is orange, "
        f"with a check mark. It comes first {times}{note and f'; {note}'}."
    )
    summary = f"{right} of {len(predictions)} right{note and f'; {note}'}"
    return FigureEntry(lambda theme: figure4.draw_bars(predictions, images, run.classes, theme), caption, summary)


def saved_predictions(run: TrainedRun, reader: PredictionFile) -> tuple[list[SavedPrediction], str, Split | None, str]:
    """Return (predictions, their origin in words, split of the images, ""), or with None and a reason as the last two
    if the split is not available."""
    dataset, views = reader.test.dataset, reader.test.views
    predictions = examples.read_predictions(reader, examples.choose_saved(reader, examples.NUM_IMAGES))
    images = name_images(run) if dataset.name == run.cfg.data.name else dataset.name
    part = f"{reader.rows:,} of the " if reader.rows != dataset.images else ""
    source = f"of {part or 'the '}{dataset.images:,} {dataset.split} images of {images} (test, {describe_views(views)})"
    try:
        if dataset.fingerprint != run.store.fingerprint:
            raise UserError("the test was on other images than those at data.root")
        split = run.store.split(dataset.split)
        numbers = reader.image_numbers(split)
        predictions = [each._replace(number=int(numbers[each.number])) for each in predictions]
        return predictions, source, split, ""
    except UserError as error:
        return predictions, source, None, f"without photographs: {error}"


def new_predictions(run: TrainedRun) -> tuple[list[SavedPrediction], str, Split | None, str]:
    split = run.store.split(run.data.test_split_name)
    predictions = examples.predict_images(run, split, examples.spread_over_classes(split.labels, examples.NUM_IMAGES))
    images = f"{split.name} images of {name_images(run)}"
    source = f"of the {len(split):,} {images} (not tested yet; {describe_views(run.module.views)})"
    return predictions, source, split, ""


def neighbor_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    """Figure 4, right, from the features that `features` saved for this checkpoint."""
    if not isinstance(run.module.net, AlexNet):
        raise UserError(f"model.name={run.cfg.model.name}: has no fc7")
    if not photographs:
        raise UserError("it consists of photographs (`photographs=false`)")
    index = gallery.open_image_index(run.folder, "train", "last", *run.root_override)
    split = run.store.split(run.data.test_split_name)
    numbers = examples.spread_over_classes(split.labels, examples.NUM_QUERIES)
    queries = split.images(numbers)
    neighbors = index.nearest_to_images(queries, examples.NUM_NEIGHBORS).numbers
    images = index.read_images(neighbors.ravel()).unflatten(0, neighbors.shape)
    labels, neighbor_labels = split.labels[numbers], index.features.labels[neighbors]
    share = float((neighbor_labels == labels[:, None]).mean())
    spread = examples.describe_spread(labels, len(run.classes))
    caption = (
        f"{len(numbers)} of the {len(split):,} {split.name} images of {name_images(run)}, {spread}, and the "
        f"{examples.NUM_NEIGHBORS} nearest of {len(index.features):,} training images by Euclidean distance of fc7; "
        f"{100 * share:.0f} % of these have the query's class, the names of the others are in italics."
    )

    def drawing(_: Theme) -> Figure:
        return figure4.draw_neighbors(queries, images, labels, neighbor_labels, run.classes)

    return FigureEntry(drawing, caption, f"{100 * share:.0f} % of the query's class")


def training_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    curves = training_curves.read_training_curves(run)
    drops = [f"{float(curves.epochs(np.array([drop.step]))[0]):g} ({drop.label})" for drop in curves.drops]
    unit = "epochs" if len(curves.ends) > 1 else "steps"
    rates = f"learning rate dropped after {', '.join(drops)} {unit}" if drops else "constant learning rate"
    last = [f"{name} {curves.columns[key][1][-1]:.2f} %" for key, name in ERRORS.items() if key in curves.columns]
    summary = f"{rates}; last validation: {', '.join(last)}" if last else rates
    caption = (
        f"Loss and errors on images of {name_images(run)}: training images, running, with augmentation and dropout, "
        f"and validation images, center view; {summary}."
    )
    return FigureEntry(lambda theme: training_curves.draw_training_curves(curves, theme), caption, summary)


def confidence_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    """Confidence maps of a few test images, computed as in a dense test."""
    if not photographs:
        raise UserError("it consists of photographs, which are left out (`photographs=false`)")
    options = run.module.dense or DenseViews()
    check_sliding(run.module.net)
    net: SlidingNetwork = run.module.net  # type: ignore[assignment]
    split = run.store.split(run.data.test_split_name)
    numbers = examples.spread_over_classes(split.labels, SHOWN)
    images = zip(whole_images(split, numbers), split.labels[numbers].tolist(), strict=True)
    found = [map_image(run, net, image, label, options) for image, label in images]
    stride = net.window.fine_stride if options.stride == "fine" else net.window.stride
    windows = sum(one.scores[0].numel() for one in found[0].maps)
    score = "softmax output" if options.score == "softmax" else "logit"
    spread = examples.describe_spread(split.labels[numbers], len(run.classes))
    caption = (
        f"{len(found)} of the {len(split):,} {split.name} images of {name_images(run)}, {spread}, at "
        f"{len(options.scales)} scales, and the {score} of each image's prediction in every window of "
        f"{net.window.window} pixels; {windows} windows of the first image."
    )

    def drawing(theme: Theme) -> Figure:
        return draw_confidence_maps(found, options.scales, net.window, stride, theme)

    return FigureEntry(drawing, caption, f"{windows} windows an image")


@torch.inference_mode()
def map_image(run: TrainedRun, net: SlidingNetwork, image: Tensor, label: int, options: DenseViews) -> MappedImage:
    """Confidence maps of an image, (3, H, W) uint8, for the class that a dense test predicts. `label`: the correct
    class, −1 if unknown."""
    prepare = run.module.prepare_picture
    prediction = int(dense_scores(net, prepare, [image], options)[0].argmax())
    maps = confidence_maps(net, prepare, image, options)
    return MappedImage(maps, prediction, run.classes[prediction], label, run.classes[label] if label >= 0 else "")


def offsets_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    net = overfeat_network(run)
    caption = (
        "(a) The last convolution's maps along one axis; (b), (c) max-pooled from each offset Δ; (d) the classifier, "
        "as wide as the bar, slid over each pooled map; (e) all outputs interleaved. Sizes are the network's own."
    )
    return FigureEntry(lambda theme: draw_offset_pooling(net, theme), caption, f"{net.window.pool_stride} offsets")


def scale_sizes_figure(run: TrainedRun, photographs: bool) -> FigureEntry:
    net = overfeat_network(run)
    caption = (
        f"Table 5 for windows of {net.window.window} pixels, read off by running the network on images of each size."
    )
    return FigureEntry(lambda theme: draw_scale_table(net, theme), caption, f"{len(scale_table(net))} scales")


def overfeat_network(run: TrainedRun) -> OverFeat:
    net = run.module.net
    if not isinstance(net, OverFeat):
        raise UserError(f"model.name={run.cfg.model.get('name', 'alexnet')}: only drawn for OverFeat's networks")
    return net


Maker = Callable[[TrainedRun, bool], FigureEntry]
FIGURES: dict[str, tuple[str, Maker]] = {  # file name → title, function
    "figure2": ("Figure 2, the network", network_figure),
    "figure3": ("Figure 3, kernels of the first layer", kernel_figure),
    "figure4-left": ("Figure 4, left, the five most probable labels", prediction_figure),
    "figure4-right": ("Figure 4, right, the nearest training images", neighbor_figure),
    "training": ("Training", training_figure),
}
OVERFEAT_FIGURES: dict[str, tuple[str, Maker]] = {
    "kernels": ("Kernels of the first layer", kernel_figure),
    "offsets": ("OverFeat's Figure 3, pooling from every offset", offsets_figure),
    "scales": ("OverFeat's Table 5, sizes at each scale", scale_sizes_figure),
    "confidence": ("Confidence maps", confidence_figure),
    "labels": ("The five most probable labels", prediction_figure),
    "training": FIGURES["training"],
}


def figures_of(run: TrainedRun) -> dict[str, tuple[str, Maker]]:
    """Figures available for a run's network: file name → (title, function)."""
    return OVERFEAT_FIGURES if run.cfg.model.get("name") == "overfeat" else FIGURES


def draw_figure(run: TrainedRun, name: str) -> Figure:
    """Draw a figure of a run for a notebook, one of `FIGURES` or `OVERFEAT_FIGURES`.

    Raises UserError for an unknown name, or if the run lacks the data.
    """
    if name not in (known := {**FIGURES, **OVERFEAT_FIGURES}):
        raise UserError(f"{name}: no figure; one of {', '.join(known)}")
    _, make = known[name]
    return draw_for_notebook(make(run, True).drawing)
