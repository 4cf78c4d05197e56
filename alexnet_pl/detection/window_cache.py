"""Window cache (§4.2): training windows of the box regressor with their frozen features, computed once.

A window qualifies if a box overlaps it enough (`boxes.overlap`). For each image, scale and reflection, `boxes.windows`
of them are chosen at random. Files, in the run folder of the network that computes the features:

    windows/<split>-<digest>/features.f16   (windows, width) float16: pooled layer 5 within the window
                             targets.npy    (windows, 4) float32: the box in the window's frame
                             labels.npy     (windows,) int64: class index of the box
                             about.json     identity of checkpoint, store and options

The features are frozen in training, as in the paper, so they are the same in every epoch. An interrupted computation
continues, and of several processes that need the same windows one computes them. A window takes 51 kB for the
paper's accurate network, 74 kB for the fast one, 0.4 kB for the network of the drawn scenes.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.console import print_warning, progress, shorten_path
from alexnet_pl.data.boxes.geometry import flip_boxes
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection.box_network import BoxNetwork
from alexnet_pl.detection.boxes import as_boxes, match_windows, to_window_frame
from alexnet_pl.detection.pyramid import gather_windows, rescale_boxes, resize_image, window_boxes
from alexnet_pl.detection.window_writer import FEATURES, WindowBatch, WindowWriter, remove_parts
from alexnet_pl.errors import UserError, reason
from alexnet_pl.evaluation.image_scales import pyramid_sides
from alexnet_pl.files import check_space
from alexnet_pl.json_records import JsonObject, write_json
from alexnet_pl.locks import lock_when_free
from alexnet_pl.progress import track

ABOUT = "about.json"
SAMPLE = 4096  # windows


class WindowCache:
    """Windows on disk, with memory-mapped features. Raises UserError, naming the folder, if a file is corrupt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.about: JsonObject = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.targets, self.labels = (np.load(folder / f"{name}.npy") for name in ("targets", "labels"))
            shape = len(self.targets), self.about["width"]
            if (folder / FEATURES).stat().st_size != 2 * shape[0] * shape[1]:
                raise ValueError(f"{FEATURES} does not hold {shape[0]:,} windows")
            self.features = np.memmap(folder / FEATURES, np.float16, "r", shape=shape)
        except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, MemoryError) as error:
            raise UserError(f"{folder}: corrupt ({reason(error)}); remove it, and fit again") from error

    def __len__(self) -> int:
        return len(self.targets)

    def read_rows(self, numbers: np.ndarray) -> WindowBatch:
        features = torch.from_numpy(self.features[numbers].astype(np.float32))
        return WindowBatch(features, torch.from_numpy(self.targets[numbers]), torch.from_numpy(self.labels[numbers]))

    def mean_square(self) -> float:
        """Mean square of the features over about `SAMPLE` windows."""
        sample = self.features[:: max(1, len(self) // SAMPLE)].astype(np.float32)
        return float(np.square(sample).mean())


def open_window_cache(
    folder: Path, split: WholeSplit, network: BoxNetwork, options: BoxOptions, identity: JsonObject
) -> WindowCache:
    """Open the windows of a split; compute them if missing. `identity`: identity of the network and the store."""
    settings = ("scales", "zoom", "overlap", "windows", "flip")
    options = replace(options, flip=options.flip and split.name == "train")
    about = {**identity, "split": split.name, **{name: getattr(options, name) for name in settings}}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"{split.name}-{digest}"
    if not (path / ABOUT).is_file():
        with lock_when_free(folder / f".{path.name}.lock", f"computes the windows of {split.name}"):
            write_windows(path, split, network, options, about)
    return WindowCache(path)


def write_windows(path: Path, split: WholeSplit, network: BoxNetwork, options: BoxOptions, about: JsonObject) -> None:
    """Compute the windows of a split into `path`, or continue an interrupted computation. Does nothing if another
    process has computed them in the meantime."""
    if (path / ABOUT).is_file():
        return
    boxed = np.flatnonzero(split.box_counts() > 0)
    if not len(boxed):
        raise UserError(f"data.root: no image of {split.name} has a box; prepare the store from a copy with boxes")
    partial, width = path.with_name(f"{path.name}.partial"), feature_width(network)
    with WindowWriter(partial, width) as writer, announce_interruption(writer, len(boxed), split.name):
        left = boxed[writer.images :]
        advice = "fewer boxes.windows or boxes.scales, or boxes.flip=false"
        check_space(partial, len(left) * max_bytes(width, options), "boxes.windows", advice)
        before = f", after {writer.images:,} that are saved" if writer.images else ""
        progress(f"features of the windows of {len(left):,} {split.name} images{before}, kept in {shorten_path(path)}")
        for number in track(left, f"images with windows of {split.name}", len(left)):
            writer.add_image(image_windows(split, int(number), network, options))
    finish(partial, path, *writer.windows(), {**about, "width": width})


@contextmanager
def announce_interruption(writer: WindowWriter, images: int, split: str) -> Iterator[None]:
    """Say what is saved if a signal ends the computation for `images` images."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # the command line turns signals into SystemExit
        saved = f"windows of {writer.images:,} of {images:,} {split} images are saved"
        print_warning(f"interrupted; {saved}; the same command continues")
        raise


def finish(partial: Path, path: Path, targets: np.ndarray, labels: np.ndarray, about: JsonObject) -> None:
    """Complete the files in `partial` and rename it to `path`. Raises UserError if there are no windows."""
    if not len(targets):
        raise UserError("boxes.overlap: no window overlaps a box enough; change boxes.scales or boxes.zoom")
    np.save(partial / "targets.npy", targets)
    np.save(partial / "labels.npy", labels)
    write_json(partial / ABOUT, about)
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
    remove_parts(path)


def feature_width(network: BoxNetwork) -> int:
    """Number of features of a window: inputs of the regressor's first layer."""
    return network.regressor.fc1.weight[0].numel()


def max_bytes(width: int, options: BoxOptions) -> int:
    """Bytes that the windows of an image take at most."""
    return 2 * width * options.windows * len(options.scales) * (1 + options.flip)


@torch.no_grad()
def image_windows(split: WholeSplit, number: int, network: BoxNetwork, options: BoxOptions) -> Iterator[WindowBatch]:
    """Yield the windows of an image at each scale, then those of its reflection."""
    image, boxes, labels = split.image(number), split.boxes(number), split.box_labels(number)
    known = labels >= 0
    generator = np.random.default_rng([number, len(split)])
    for flipped in (False, True) if options.flip else (False,):
        view = image.flip(2) if flipped else image
        view_boxes = as_boxes((flip_boxes(boxes, image.shape[2]) if flipped else boxes)[known].double())
        for scale in options.scales:
            batch = scale_windows(view, view_boxes, labels[known], scale, network, options, generator)
            if batch is not None:
                yield in_half_precision(batch, number)


def in_half_precision(batch: WindowBatch, number: int) -> WindowBatch:
    """The windows of image `number` with float16 features. Raises UserError if these are not finite."""
    features = batch.features.half()
    if not torch.isfinite(features).all():
        raise UserError(f"transfer.weights: features of image {number} are not finite in float16")
    return batch._replace(features=features)


def scale_windows(
    image: Tensor,
    boxes: np.ndarray,
    labels: Tensor,
    scale: int,
    network: BoxNetwork,
    options: BoxOptions,
    generator: np.random.Generator,
) -> WindowBatch | None:
    """Up to `boxes.windows` random windows at a scale that overlap a box enough; None if there are none."""
    size: tuple[int, int] = tuple(image.shape[1:])  # type: ignore[assignment]
    sides = pyramid_sides(size, network.window, scale, options.zoom)
    windows, scaled_boxes = window_boxes(network.window, sides), rescale_boxes(boxes, size, sides)
    matched = match_windows(scaled_boxes, windows, measure=options.overlap)
    numbers = np.flatnonzero(matched >= 0)
    if not len(numbers):
        return None
    numbers = np.sort(generator.permutation(numbers)[: options.windows])
    targets = to_window_frame(scaled_boxes[matched[numbers]], windows[numbers])
    pooled = network.pool(network.convolve(resize_image(image, sides).to(network.mean.device)))
    features = gather_windows(pooled, network.window, torch.from_numpy(numbers)).flatten(1)
    return WindowBatch(features, torch.from_numpy(targets), labels[matched[numbers]])
