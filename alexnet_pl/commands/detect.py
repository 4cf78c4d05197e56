"""`detect`: boxes, classes and confidences in the user's own images (OverFeat §4, §5)."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl import runtime
from alexnet_pl.config.box_options import make_detect_options
from alexnet_pl.console import pluralize, print_message
from alexnet_pl.data.images import check_aspect_ratio, decode
from alexnet_pl.detection.box_network import load_box_network
from alexnet_pl.detection.finder import BoxFinder, PredictedBoxes
from alexnet_pl.detection.records import write_boxes
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.predict import find_images
from alexnet_pl.figures.boxes import save_box_picture
from alexnet_pl.reporting.tables import Table, print_tables

SHOWN = 20  # rows of the table on the console; the files hold all boxes


def detect(cfg: DictConfig, folder: Path) -> None:
    """Write detections/ to the run folder: detections.json, .csv, .coco.json, and each image with its boxes drawn."""
    paths, options = find_images(cfg.predict.images), make_detect_options(cfg)
    network, classes, trained_with = load_box_network(cfg.ckpt_path)
    finder = BoxFinder(network, trained_with, options, runtime.device(cfg))
    out_dir, results, not_read = folder / "detections", [], {}
    for picture, path in name_pictures(paths).items():
        try:
            image = decode(path.read_bytes())[0]
            check_aspect_ratio(image)
        except (OSError, ValueError) as error:
            not_read[path] = error
            continue
        boxes = finder.select_confident(finder.find(image))
        results.append((str(path), boxes))
        save_box_picture(out_dir / picture, image, boxes, [name for _, name in classes])
    for path, reason in not_read.items():
        print(f"not read: {path} ({reason})")
    if not results:
        raise UserError(f"predict.images: none of {len(not_read)} could be read")
    table = write_boxes(out_dir, results, classes)
    print_tables([boxes_table(results, classes)])
    num_boxes = sum(len(boxes.labels) for _, boxes in results)
    print_message(f"{pluralize(len(results), 'image')}, {num_boxes:,} boxes, drawn beside the table", table)


def name_pictures(paths: Sequence[Path]) -> dict[str, Path]:
    """File name of a picture → its image: the image's name as PNG, with a number if an earlier image has that name."""
    images: dict[str, Path] = {}
    for path in paths:
        names = (f"{path.stem}.png" if number == 1 else f"{path.stem}-{number}.png" for number in count(1))
        images[next(name for name in names if name not in images)] = path
    return images


def boxes_table(results: Sequence[tuple[str, PredictedBoxes]], classes: Sequence[Sequence[str]]) -> Table:
    rows = [
        [Path(name).name, classes[label][1], f"{score:.2f}", " ".join(f"{edge:.0f}" for edge in box)]
        for name, boxes in results
        for label, score, box in zip(boxes.labels, boxes.scores, boxes.boxes, strict=True)
    ]
    more = (f"… and {len(rows) - SHOWN:,} more",) if len(rows) > SHOWN else ()
    return Table("Boxes: left, top, right, bottom", ["image", "class", "confidence", "box"], rows[:SHOWN], more)
