"""Catalog of the figures of a run folder: what each needs and its caption. Raises UserError where data is missing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from alexnet_pl.config.test_views import DenseViews
from alexnet_pl.data.loading.whole_images import whole_images
from alexnet_pl.data.store.split import Split
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dense import confidence_maps, dense_scores
from alexnet_pl.evaluation.predictions import Reader
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import examples, figure2, figure3, figure4, training_curves
from alexnet_pl.figures.confidence_maps import MappedImage, draw_confidence_maps
from alexnet_pl.figures.examples import Answer
from alexnet_pl.figures.offset_pooling import draw_offset_pooling, draw_scale_table, scale_table
from alexnet_pl.figures.style import Drawing, Theme, show
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.filters import color_selectivity
from alexnet_pl.models.overfeat import OverFeat
from alexnet_pl.models.sliding_window import SlidingNetwork
from alexnet_pl.models.summary import read_layers
from alexnet_pl.retrieval import gallery
from alexnet_pl.training.classifier import check_sliding

SHOWN = 3  # images with their confidence maps
ERRORS = {"val/top1_error": "top-1 error", "val/top5_error": "top-5 error"}


@dataclass(frozen=True)
class Picture:
    """A drawing, the words below it and on the console; `data` is written beside it as JSON."""

    drawing: Drawing
    caption: str
    said: str
    data: dict[str, Any] | None = None


def network(run: TrainedRun, photographs: bool) -> Picture:
    net, crop = run.module.net, run.module.augment.crop
    if not isinstance(net, AlexNet):
        raise UserError(f"model.name={run.cfg.model.name}: drawn of the paper's ImageNet network only")
    layers = read_layers(net, crop)
    count = sum(parameter.numel() for parameter in net.parameters())
    caption = f"The network, sizes read off by running it on an image of {crop} × {crop} pixels; {count:,} parameters."
    return Picture(lambda theme: figure2.draw_figure2(layers, (3, crop, crop), theme), caption, f"{len(layers)} layers")


def kernels(run: TrainedRun, photographs: bool) -> Picture:
    net = run.module.net
    weight, towers = net.conv1.weight, run.cfg.model.get("towers", 1)
    shares = color_selectivity(weight, towers)
    count, _, height, width = weight.shape
    gpus = (f"GPU {number} {share:.2f}" for number, share in enumerate(shares["gpus"], 1))
    said = f"colour share {shares['gpus'][0]:.2f}"
    if towers > 1:
        said = f"colour share {', '.join(gpus)} (by chance so far apart: p = {shares['p']:.2g})"
    caption = (
        f"{count} kernels of {height} × {width} × 3 of the first layer, by one scale, zero in the middle grey; {said}. "
        "The share of what a kernel weighs that is colour, not grey: 0 sees brightness alone, 1 differences between "
        "colours alone, noise 2/3."
    )
    return Picture(lambda theme: figure3.draw_figure3(weight, shares, theme), caption, said, shares)


def bars(run: TrainedRun, photographs: bool) -> Picture:
    """Figure 4 left, from saved predictions of this checkpoint or by running the network."""
    reader = examples.tested(run)
    answers, source, split, gap = from_test(run, reader) if reader else from_network(run)
    if not photographs:
        split, gap = None, "photographs are left out (`photographs=false`)"
    images = split.images(np.array([answer.number for answer in answers])) if split else None
    right = sum(answer.best[0] == answer.label for answer in answers)
    caption = (
        f"{len(answers)} {source}, spread evenly over them, and the labels considered most probable; the correct one "
        f"in red, with a check. It comes first {right} times{gap and f'; {gap}'}."
    )
    said = f"{right} of {len(answers)} right{gap and f'; {gap}'}"
    return Picture(lambda theme: figure4.draw_bars(answers, images, run.classes, theme), caption, said)


def from_test(run: TrainedRun, reader: Reader) -> tuple[list[Answer], str, Split | None, str]:
    """Answers, whose they are, and the split of the images; or None and why, since bars need no images."""
    about, views = reader.facts["dataset"], reader.facts["views"]
    answers = examples.saved_answers(reader, examples.spread(reader.rows, examples.ASKED))
    source = f"of the {reader.rows:,} {about['split']} images (test, {views} views)"
    try:
        if about["fingerprint"] != run.store.fingerprint:
            raise UserError("the test was of other images than those of data.root")
        return answers, source, run.store.split(about["split"]), ""
    except UserError as error:
        return answers, source, None, f"without photographs: {error}"


def from_network(run: TrainedRun) -> tuple[list[Answer], str, Split | None, str]:
    split = run.store.split(run.data.test_split_name)
    answers = examples.new_answers(run, split, examples.spread(len(split), examples.ASKED))
    return answers, f"of the {len(split):,} {split.name} images (not tested yet; {run.module.views} views)", split, ""


def neighbor_figure(run: TrainedRun, photographs: bool) -> Picture:
    """Figure 4 right, from the features that `features` saved for this checkpoint."""
    if not isinstance(run.module.net, AlexNet):
        raise UserError(f"model.name={run.cfg.model.name}: has no fc7")
    if not photographs:
        raise UserError("it consists of photographs, which are left out (`photographs=false`)")
    found = gallery.open_run(run.folder, "train", "last", *run.root_override)
    split = run.store.split(run.data.test_split_name)
    numbers = examples.spread(len(split), examples.QUERIES)
    queries = split.images(numbers)
    near = found.nearest(queries, examples.NEAREST).numbers
    images = found.images_at(near.ravel()).unflatten(0, near.shape)
    labels, theirs = split.labels[numbers], found.features.labels[near]
    share = float((theirs == labels[:, None]).mean())
    caption = (
        f"{len(numbers)} of the {len(split):,} {split.name} images, spread evenly over them, and of "
        f"{len(found.features):,} training images the {examples.NEAREST} whose fc7 is nearest by Euclidean distance; "
        f"{100 * share:.0f} % of those are of the query's class, the others' names slanted."
    )

    def drawing(theme: Theme) -> Figure:
        return figure4.draw_neighbours(queries, images, labels, theirs, run.classes, theme)

    return Picture(drawing, caption, f"{100 * share:.0f} % of the query's class")


def training_course(run: TrainedRun, photographs: bool) -> Picture:
    found = training_curves.read_course(run)
    falls = [f"{float(found.epochs(np.array([drop.step]))[0]):g} ({drop.label})" for drop in found.drops]
    unit = "epochs" if len(found.ends) > 1 else "steps"
    rates = f"rates fell after {', '.join(falls)} {unit}" if falls else "rates never fell"
    last = [f"{name} {found.columns[key][1][-1]:.2f} %" for key, name in ERRORS.items() if key in found.columns]
    said = f"{rates}; last validation: {', '.join(last)}" if last else rates
    caption = (
        "Loss and errors, of training images as they came, augmented and with dropout, and of validation images, "
        f"centre view; {said}."
    )
    return Picture(lambda theme: training_curves.draw_training_curves(found, theme), caption, said)


def confidence(run: TrainedRun, photographs: bool) -> Picture:
    """Confidence maps of a few test images, as a dense test sees them."""
    if not photographs:
        raise UserError("it consists of photographs, which are left out (`photographs=false`)")
    module, options = run.module, run.module.dense or DenseViews()
    check_sliding(module.net)
    net: SlidingNetwork = module.net  # type: ignore[assignment]
    split = run.store.split(run.data.test_split_name)
    numbers = examples.spread(len(split), SHOWN)
    found = []
    with torch.inference_mode():
        for number, image in zip(numbers, whole_images(split, numbers), strict=True):
            answer = int(dense_scores(net, module.prepare_picture, [image], options)[0].argmax())
            maps = confidence_maps(net, module.prepare_picture, image, options)
            label = run.classes[int(split.labels[number])]
            found.append(MappedImage(maps, answer, run.classes[answer], label))
    stride = net.window.fine_stride if options.stride == "fine" else net.window.stride
    windows = sum(one.scores[0].numel() for one in found[0].maps)
    caption = (
        f"{len(found)} of the {len(split):,} {split.name} images, spread evenly over them, at {len(options.scales)} "
        f"scales, and the softmax output of each image's answer in every window of {net.window.window} pixels; "
        f"{windows} windows of the first image."
    )

    def drawing(theme: Theme) -> Figure:
        return draw_confidence_maps(found, options.scales, net.window, stride, theme)

    return Picture(drawing, caption, f"{windows} windows an image")


def offsets(run: TrainedRun, photographs: bool) -> Picture:
    net = overfeat_network(run)
    caption = (
        "(a) The last convolution's maps along one axis; (b), (c) max-pooled from each offset Δ; (d) the classifier, "
        "as wide as the bar, slid over each pooled map; (e) all answers interleaved. Sizes are the network's own."
    )
    return Picture(lambda theme: draw_offset_pooling(net, theme), caption, f"{net.window.pool_stride} offsets")


def scale_sizes(run: TrainedRun, photographs: bool) -> Picture:
    net = overfeat_network(run)
    caption = (
        f"Table 5 for windows of {net.window.window} pixels, read off by running the network on images of each size."
    )
    return Picture(lambda theme: draw_scale_table(net, theme), caption, f"{len(scale_table(net))} scales")


def overfeat_network(run: TrainedRun) -> OverFeat:
    net = run.module.net
    if not isinstance(net, OverFeat):
        raise UserError(f"model.name={run.cfg.model.get('name', 'alexnet')}: drawn of OverFeat's networks only")
    return net


Maker = Callable[[TrainedRun, bool], Picture]
PICTURES: dict[str, tuple[str, Maker]] = {  # file → title, and what makes it
    "figure2": ("Figure 2, the network", network),
    "figure3": ("Figure 3, kernels of the first layer", kernels),
    "figure4-left": ("Figure 4, left, the five most probable labels", bars),
    "figure4-right": ("Figure 4, right, the nearest training images", neighbor_figure),
    "training": ("Training", training_course),
}
OVERFEAT_PICTURES: dict[str, tuple[str, Maker]] = {
    "kernels": ("Kernels of the first layer", kernels),
    "offsets": ("OverFeat's Figure 3, pooling from every offset", offsets),
    "scales": ("OverFeat's Table 5, sizes at each scale", scale_sizes),
    "confidence": ("Confidence maps", confidence),
    "labels": ("The five most probable labels", bars),
    "training": PICTURES["training"],
}


def pictures_of(run: TrainedRun) -> dict[str, tuple[str, Maker]]:
    """The figures that a run's network can have."""
    return OVERFEAT_PICTURES if run.cfg.model.get("name") == "overfeat" else PICTURES


def draw_figure(run: TrainedRun, name: str) -> Figure:
    """One of `PICTURES` of a run, for a notebook. Raises UserError where it cannot be drawn yet."""
    if name not in (known := {**PICTURES, **OVERFEAT_PICTURES}):
        raise UserError(f"{name}: no figure; one of {', '.join(known)}")
    _, make = known[name]
    return show(make(run, True).drawing)
