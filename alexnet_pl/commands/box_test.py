"""`test` of box recipes (OverFeat §4.4, §5): localisation error, or average precision.

Writes `results/<split>-<task>-<options>/` in the run folder: boxes.json with the errors; the boxes of all images as
JSON, CSV and COCO JSON, in pixels of the original files; pictures of some images before and after merging. For ILSVRC's
test images, whose boxes are not public, it writes the boxes and submission.txt for the server.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from alexnet_pl.config.box_options import BoxOptions, DetectOptions, make_detect_options
from alexnet_pl.console import pluralize, print_message
from alexnet_pl.data.store.store import Store
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.detection.average_precision import DetectedBoxes
from alexnet_pl.detection.box_evaluation import (
    BoxTest,
    count_classification_images,
    evaluate_detector,
    evaluate_localiser,
    find_in_all,
    to_original_pixels,
)
from alexnet_pl.detection.box_submission import why_not_submittable, write_box_submission
from alexnet_pl.detection.box_weights import load_box_network
from alexnet_pl.detection.build import open_box_store
from alexnet_pl.detection.detection_files import write_boxes
from alexnet_pl.detection.finder import BoxFinder, PredictedBoxes
from alexnet_pl.digests import sha256
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.box_result import BoxResult, DetectionResult, LocalisationResult, read_box_result
from alexnet_pl.evaluation.dataset_info import describe_dataset
from alexnet_pl.evaluation.result import append_top5, describe_weights
from alexnet_pl.figures.boxes import save_merging, save_mistakes
from alexnet_pl.json_records import to_json, write_json
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_same_classes
from alexnet_pl.runs.metric_names import (
    FOUND_BOXES,
    LOCALISATION_ERRORS,
    MEAN_AVERAGE_PRECISION,
    MERGING,
    MISTAKES,
)
from alexnet_pl.runs.provenance import append_session, current_commit, describe_session
from alexnet_pl.runs.records import StoreIdentity
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.training.loggers import reopen_loggers
from alexnet_pl.training.media import log_boxes, log_picture

RESULT, PICTURE = "boxes.json", "merging.png"


def test(cfg: DictConfig, folder: Path) -> float | None:
    store, options = open_box_store(cfg), make_detect_options(cfg)
    network, classes, trained_with = load_box_network(cfg.ckpt_path)
    check_same_classes(classes, store.classes)
    split, train = store.whole(tested_split(cfg, store)), store.whole("train")
    store.check_shards(split.name)
    finder = BoxFinder(network, trained_with, options, choose_device(cfg))
    results = results_dir(folder, split.name, trained_with, options)
    if not split.box_counts().any() and not why_not_submittable(store, split, trained_with.task):
        return write_server_file(results, finder, store, split, trained_with.task)
    if trained_with.task == "detect":
        tested = evaluate_detector(finder, split, options, [identity for identity, _ in classes])
    else:
        tested = evaluate_localiser(finder, split, train, options)
    original = to_original_pixels(tested.detections, split)
    write_boxes(results, [(split.names[n], found) for n, found in by_number(original)], classes)
    about = {**describe_test(cfg, store, split.name, trained_with, options, finder), **tested.numbers}
    result = DetectionResult(**about) if trained_with.task == "detect" else LocalisationResult(**about)
    write_json(results / RESULT, to_json(result))
    names = [name for _, name in classes]
    pictures = draw_test(results, finder, split, tested, options.show, names)
    overlays = [(split.image(number), found) for number, found in by_number(tested.detections)[: options.show]]
    log_box_test(cfg, folder, pictures, overlays, names, result)
    append_session(folder, describe_session("test", StoreIdentity(name=store.name, fingerprint=store.fingerprint)))
    print_box_test(result, finder, results / RESULT)
    return main_number(result)


def write_server_file(results: Path, finder: BoxFinder, store: Store, split: WholeSplit, task: str) -> None:
    """Write boxes and the submission for images whose boxes only a test server of ILSVRC has."""
    detections = find_in_all(finder, split, guesses=task == "localise")
    found = dict(by_number(to_original_pixels(detections, split)))
    write_boxes(results, [(split.names[number], boxes) for number, boxes in found.items()], store.classes)
    path = results / "submission.txt"
    lines, missing = write_box_submission(path, store, split, task, found)
    gap = f", {pluralize(missing, 'image')} without a box" if missing else ""
    print_message(f"{store.name} {split.name}: no boxes known; {lines:,} lines for the test server{gap}", path)


def tested_split(cfg: DictConfig, store: Store) -> str:
    """Split to test: `test.split`, else the test split if its boxes are known, else `val`."""
    if cfg.test.split:
        return cfg.test.split
    return "test" if "test" in store.splits and store.whole("test").box_counts().any() else "val"


def finished_test(cfg: DictConfig, folder: Path) -> tuple[Path, float] | None:
    """(results folder, objective) of the test requested by `cfg` if this checkpoint was tested completely on this
    store, else None."""
    store, (_, _, trained_with) = open_box_store(cfg), load_box_network(cfg.ckpt_path)
    options, split = make_detect_options(cfg), tested_split(cfg, store)
    results = results_dir(folder, split, trained_with, options)
    last_written = results / (PICTURE if options.show else RESULT)
    if not (results / RESULT).is_file() or not last_written.is_file():
        return None
    try:
        result = read_box_result(results / RESULT)
    except UserError:  # damaged, or of another version
        return None
    tested = result.checkpoint.sha256 if result.checkpoint else "", result.dataset.fingerprint
    same = tested == (sha256(Path(cfg.ckpt_path)), store.fingerprint)
    return (results, main_number(result)) if same else None


def main_number(result: BoxResult) -> float:
    """Mean average precision of a detector, localisation error of a localiser."""
    return result.map if isinstance(result, DetectionResult) else result.loc_error


def results_dir(folder: Path, split: str, trained_with: BoxOptions, options: DetectOptions) -> Path:
    scales = options.scales or trained_with.scales
    return folder / "results" / f"{split}-{trained_with.task}-{results_name(options, scales)}"


def results_name(options: DetectOptions, scales: Sequence[int]) -> str:
    """Name of the results folder; tests with equal options have equal names."""
    own = {key: value for key, value in asdict(options).items() if key not in ("show", "scales")}
    digest = hashlib.sha256(json.dumps([own, list(scales)], sort_keys=True).encode()).hexdigest()[:6]
    return "-".join([options.positions, options.combine, "scales", *map(str, scales), digest])


def describe_test(
    cfg: DictConfig, store: Store, split: str, trained_with: BoxOptions, options: DetectOptions, finder: BoxFinder
) -> dict[str, Any]:
    """Fields of `BoxDescription` except the number of tested images."""
    path, train, tested = Path(cfg.ckpt_path), store.whole("train"), store.whole(split)
    metadata, dataset = read_checkpoint(path)["alexnet_pl"], describe_dataset(store, split)
    shared = count_classification_images(tested) if trained_with.task == "detect" and metadata["lineage"] else 0
    return {
        "task": trained_with.task,
        "dataset": replace(dataset, images=len(tested), train_images=len(train)),
        **describe_weights(path),
        "classification_val_images": shared,
        "train_images_with_boxes": int((train.box_counts() > 0).sum()),
        "model": metadata["switches"]["model"],
        "window": finder.network.window.window,
        "boxes": trained_with,
        "detect": replace(options, scales=list(finder.scales), zoom=finder.zoom),
        "commit": current_commit(),
        "windows_left_out": finder.left_out,
    }


def by_number(found: DetectedBoxes) -> list[tuple[int, PredictedBoxes]]:
    """(image number, boxes) of each image that has boxes."""
    numbers, starts = np.unique(found.images, return_index=True)  # the rows of an image lie together
    columns = (np.split(column, starts)[1:] for column in (found.labels, found.scores, found.boxes))
    return [(n, PredictedBoxes(*boxes)) for n, *boxes in zip(numbers.tolist(), *columns, strict=True)]


def draw_test(
    results: Path, finder: BoxFinder, split: WholeSplit, tested: BoxTest, count: int, names: Sequence[str]
) -> dict[str, Path]:
    """Draw boxes before and after merging for the first images with boxes, and a detector's mistakes by kind. Returns
    the picture files by the name under which each is logged."""
    numbers = np.unique(tested.truths.images)[:count].tolist()
    if not numbers:
        return {}
    pictures = {MERGING: save_merging(results / PICTURE, finder, [split.image(i) for i in numbers], names)}
    if "mistakes" in tested.numbers:
        path = results / "mistakes.png"
        pictures[MISTAKES] = save_mistakes(path, split.image, tested.detections, tested.truths, names)
    return pictures


def log_box_test(
    cfg: DictConfig,
    folder: Path,
    pictures: Mapping[str, Path],
    overlays: Sequence[tuple[Tensor, PredictedBoxes]],
    names: Sequence[str],
    result: BoxResult,
) -> None:
    """Log errors, pictures and W&B's box overlays to the loggers of the fit."""
    loggers = reopen_loggers(cfg.logger, folder, cfg.wandb.project, cfg.wandb.get("entity"), new=False)
    step = result.checkpoint.step if result.checkpoint else 0
    logged = (*LOCALISATION_ERRORS, "test/top5_error", MEAN_AVERAGE_PRECISION)
    errors = {
        name: value for name in logged if (value := getattr(result, name.removeprefix("test/"), None)) is not None
    }
    for logger in loggers:
        logger.log_metrics(errors, step)
    for key, path in pictures.items():
        log_picture(loggers, key, path, step)
    log_boxes(loggers, FOUND_BOXES, overlays, names, step)
    for logger in loggers:
        logger.finalize("success")


def print_box_test(result: BoxResult, finder: BoxFinder, path: Path) -> None:
    """Print the caveats of a result, then its numbers. `path`: file of the result."""
    if shared := result.classification_val_images:
        print(
            f"{shared:,} of the {result.dataset.images:,} images are also ILSVRC-2012's validation images for "
            "classification: mAP is too high if the network that the detector starts from was chosen or trained on them"
        )
    if finder.left_out:
        print(finder.describe_left_out())
    print_message(summarize_box_test(result), path)


def summarize_box_test(result: BoxResult) -> str:
    images = f"{result.dataset.name}, {result.images:,} {result.dataset.split} images"
    if isinstance(result, DetectionResult):
        others = append_without_blacklist(result.map_without_blacklist)
        return f"{images}, {result.objects:,} objects: mAP {result.map:.2f} % (rule {result.detect.rule}){others}"
    low, high = result.loc_error_interval
    return (
        f"{images}: localisation error {result.loc_error:.2f} % (95 %: {low:.2f} to {high:.2f})"
        f"{append_without_blacklist(result.loc_error_without_blacklist)}"
        f"{append_top5(result.dataset.classes, result.top5_error)}; boxes given the class "
        f"{result.given_class_error:.2f} % wrong, a constant box {result.constant_box_error:.2f} %"
    )


def append_without_blacklist(value: float | None) -> str:
    return "" if value is None else f", {value:.2f} % without the blacklist"
