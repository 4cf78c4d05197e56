"""`detect`: boxes, classes and confidences in the user's own images (OverFeat §4, §5)."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from alexnet_pl.config.box_options import make_detect_options
from alexnet_pl.console import pluralize, print_message
from alexnet_pl.data.images import check_aspect_ratio
from alexnet_pl.detection.box_weights import load_box_network
from alexnet_pl.detection.detection_files import write_boxes
from alexnet_pl.detection.finder import BoxFinder, PredictedBoxes
from alexnet_pl.experiment.predict import find_images, read_batches
from alexnet_pl.figures.boxes import save_box_picture
from alexnet_pl.runs.checkpoint_metadata import resizing_filter
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.table import Table, note_rest, print_tables

SHOWN = 20  # rows of the table on the console; the files hold all boxes


def detect(cfg: DictConfig, folder: Path) -> None:
    """Write detections/ to the run folder: detections.json, .csv, .coco.json, and each image with its boxes drawn."""
    paths, options = find_images(cfg.predict.images), make_detect_options(cfg)
    network, classes, trained_with = load_box_network(cfg.ckpt_path)
    finder = BoxFinder(network, trained_with, options, choose_device(cfg))
    filter_name = resizing_filter("", cfg)
    out_dir, results, pictures = folder / "detections", [], name_pictures(paths)
    for (path,), (image,) in read_batches(paths, whole_image, 1):
        boxes = finder.select_confident(finder.find_in_photograph(image, filter_name))
        results.append((str(path), boxes))
        save_box_picture(out_dir / pictures[path], image, boxes, [name for _, name in classes])
    table = write_boxes(out_dir, results, classes)
    print_tables([boxes_table(results, classes)])
    if finder.left_out:
        print(finder.describe_left_out())
    num_boxes = sum(len(boxes.labels) for _, boxes in results)
    print_message(f"{pluralize(len(results), 'image')}, {num_boxes:,} boxes, drawn beside the table", table)


def name_pictures(paths: Sequence[Path]) -> dict[Path, str]:
    """Image → file name of its picture: the image's name as PNG, with a number if an earlier image has that name in
    upper or lower case, which some file systems do not distinguish."""
    pictures: dict[Path, str] = {}
    taken: set[str] = set()
    for path in dict.fromkeys(paths):
        names = (f"{path.stem}.png" if number == 1 else f"{path.stem}-{number}.png" for number in count(1))
        pictures[path] = next(name for name in names if name.lower() not in taken)
        taken.add(pictures[path].lower())
    return pictures


def whole_image(image: Tensor) -> Tensor:
    check_aspect_ratio(image)
    return image


def boxes_table(results: Sequence[tuple[str, PredictedBoxes]], classes: Sequence[Sequence[str]]) -> Table:
    rows = [
        [Path(name).name, classes[label][1], f"{score:.2f}", " ".join(f"{edge:.0f}" for edge in box)]
        for name, boxes in results
        for label, score, box in zip(boxes.labels, boxes.scores, boxes.boxes, strict=True)
    ]
    header, notes = ["image", "class", "confidence", "box"], note_rest(len(rows), SHOWN)
    return Table("Boxes: left, top, right, bottom", header, rows[:SHOWN], notes)
