"""Figures of boxes: before and after merging (OverFeat's Figures 6 and 7), detections, and mistakes by kind."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import patheffects, rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from alexnet_pl.detection.average_precision import DetectedBoxes, TrueBoxes
from alexnet_pl.detection.box_evaluation import collect_true_boxes, concat_detections, select_most_confident
from alexnet_pl.detection.box_run import BoxRun
from alexnet_pl.detection.finder import BoxFinder, Candidates, PredictedBoxes
from alexnet_pl.detection.outcomes import MISSED, OUTCOMES, RIGHT, classify_detections
from alexnet_pl.figures.style import LIGHT

COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff")
BEFORE, AFTER = 60, 4  # number of boxes drawn before and after merging, the most confident
EACH = 4  # images per kind of mistake


def save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.05)
    return path


def panel(axes: Any, image: Tensor, title: str = "") -> None:
    axes.imshow(image.permute(1, 2, 0).numpy())
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=8)


def add_box(axes: Any, box: np.ndarray, color: str, text: str = "", width: float = 1.8, style: str = "-") -> None:
    """Draw a box with a dark outline, visible on any image, and `text` on the box's color above its corner."""
    left, top, right, bottom = box - 0.5  # matplotlib has pixel centers at integers
    dark = [patheffects.withStroke(linewidth=width + 1.2, foreground="#000000", alpha=0.7)]
    axes.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, ec=color, lw=width, ls=style, path_effects=dark)
    )
    if text:
        inside = top < 12
        axes.text(
            left + 2 if inside else left, top + 2 if inside else top - 2, text, color=text_color(color), fontsize=6.5,
            va="top" if inside else "bottom", clip_on=True, bbox={"facecolor": color, "edgecolor": "none", "pad": 1},
        )  # fmt: skip


def text_color(background: str) -> str:
    """Black or white, whichever has more contrast (ratio of WCAG 2.2) with the background."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(background)]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def color_of(label: int) -> str:
    return COLORS[label % len(COLORS)]


def add_found(axes: Any, found: PredictedBoxes, names: Sequence[str], most: int = 20) -> None:
    best = list(zip(found.labels, found.scores, found.boxes, strict=True))[:most]
    for label, score, box in reversed(best):  # the most confident one on top
        add_box(axes, box, color_of(label), f"{names[label]} {score:.2f}")


def save_box_picture(path: Path, image: Tensor, found: PredictedBoxes, names: Sequence[str]) -> Path:
    """Draw an image with its boxes, their classes and confidences. Returns `path`."""
    height, width = image.shape[1:]
    with rc_context(LIGHT.settings):
        figure = Figure(figsize=(6, 6 * height / width))
        axes = figure.add_axes((0, 0, 1, 1))
        panel(axes, image)
        add_found(axes, found, names)
        return save(figure, path)


def add_candidates(axes: Any, candidates: Candidates) -> None:
    """Draw the most confident boxes of windows, with opacity equal to their score."""
    for number in np.argsort(-candidates.scores)[:BEFORE]:
        left, top, right, bottom = candidates.boxes[number] - 0.5
        color, opacity = color_of(int(candidates.labels[number])), float(np.clip(candidates.scores[number], 0.1, 1))
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=color, lw=0.9, alpha=opacity))


def merging_figure(finder: BoxFinder, images: Sequence[Tensor], names: Sequence[str]) -> Figure:
    """Draw one row per image: the boxes of its windows before and after merging, or suppression."""
    combined = "suppression" if finder.options.combine == "nms" else "merging"
    with rc_context(LIGHT.settings):
        figure = Figure(figsize=(5.6, 2.5 * len(images)), layout="constrained")
        rows = figure.subplots(len(images), 2, squeeze=False)
        for (before, after), image in zip(rows, images, strict=True):
            candidates = finder.candidates(image)
            found = finder.combine(candidates)
            best = min(BEFORE, len(candidates.labels))
            panel(before, image, f"{len(candidates.labels):,} boxes, the {best} most confident drawn")
            add_candidates(before, candidates)
            drawn = min(AFTER, len(found.labels))
            panel(after, image, f"{len(found.labels):,} after {combined}, the best {drawn} drawn")
            add_found(after, found, names, AFTER)
        return figure


def save_merging(path: Path, finder: BoxFinder, images: Sequence[Tensor], names: Sequence[str]) -> Path:
    return save(merging_figure(finder, images, names), path)


def mistakes_figure(
    image_of: Callable[[int], Tensor], found: DetectedBoxes, truths: TrueBoxes, names: Sequence[str]
) -> Figure:
    """Draw one row per kind of mistake: the most confident ones with dashed true boxes, or the largest missed boxes.

    Only the most confident detections are classified, as many as there are true boxes that are not difficult.
    """
    detections = select_most_confident(found, int((~truths.difficult).sum()))
    kinds, missed = classify_detections(detections, truths)
    with rc_context(LIGHT.settings):
        figure = Figure(figsize=(1.9 * EACH, 1.9 * (len(OUTCOMES) - 1)), layout="constrained")
        rows = figure.subplots(len(OUTCOMES) - 1, EACH, squeeze=False)
        for row, kind in zip(rows, (kind for kind in OUTCOMES if kind != RIGHT), strict=True):
            count = int(missed.sum()) if kind == MISSED else int((kinds == kind).sum())
            row[0].set_title(f"{kind} ({count:,})", fontsize=9, loc="left")
            for axes in row:
                axes.set_axis_off()
            if kind == MISSED:
                add_missed(row, image_of, truths, missed, names)
            else:
                add_mistakes(row, image_of, detections, truths, np.flatnonzero(kinds == kind), names)
        return figure


def add_mistakes(
    row: Any,
    image_of: Callable[[int], Tensor],
    detections: DetectedBoxes,
    truths: TrueBoxes,
    numbers: np.ndarray,
    names: Any,
) -> None:
    for axes, number in zip(row, numbers, strict=False):
        image, label = int(detections.images[number]), int(detections.labels[number])
        axes.imshow(image_of(image).permute(1, 2, 0).numpy())
        for truth in np.flatnonzero(truths.images == image):
            add_box(axes, truths.boxes[truth], "#ffffff", names[int(truths.labels[truth])], 1.2, "--")
        add_box(axes, detections.boxes[number], color_of(label), f"{names[label]} {detections.scores[number]:.2f}")


def add_missed(
    row: Any, image_of: Callable[[int], Tensor], truths: TrueBoxes, missed: np.ndarray, names: Sequence[str]
) -> None:
    areas = (truths.boxes[:, 2:] - truths.boxes[:, :2]).prod(1)
    largest = sorted(np.flatnonzero(missed), key=lambda number: -areas[number])
    for axes, number in zip(row, largest, strict=False):
        axes.imshow(image_of(int(truths.images[number])).permute(1, 2, 0).numpy())
        add_box(axes, truths.boxes[number], "#ffffff", names[int(truths.labels[number])], 1.2, "--")


def save_mistakes(
    path: Path, image_of: Callable[[int], Tensor], found: DetectedBoxes, truths: TrueBoxes, names: Sequence[str]
) -> Path:
    return save(mistakes_figure(image_of, found, truths, names), path)


def draw_merging(run: BoxRun, numbers: Iterable[int], split: str = "val") -> Figure:
    """Draw a run's boxes before and after merging (OverFeat's Figures 6 and 7) for images `numbers` of a split."""
    images = run.images(split)
    return merging_figure(run.finder, [images.image(int(number)) for number in numbers], run.names)


def draw_mistakes(run: BoxRun, numbers: Iterable[int], split: str = "val") -> Figure:
    """Draw a run's most confident mistakes of each kind on images `numbers` of a split."""
    images = run.images(split)
    kept = [int(number) for number in numbers]
    found = concat_detections(kept, [run.finder.find(images.image(number)) for number in kept])
    whole = collect_true_boxes(images)
    truths = TrueBoxes(*(column[np.isin(whole.images, kept)] for column in whole))
    return mistakes_figure(images.image, found, truths, run.names)
