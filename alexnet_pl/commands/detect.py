"""`detect`: boxes, classes and confidences in the user's own pictures (OverFeat §4, §5)."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl import runtime
from alexnet_pl.config.box_options import make_detect_options
from alexnet_pl.console import pluralize, print_message
from alexnet_pl.data.images import decode
from alexnet_pl.detection.box_network import load_box_network
from alexnet_pl.detection.finder import BoxFinder, PredictedBoxes
from alexnet_pl.detection.records import write_boxes
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.predict import find_images
from alexnet_pl.figures.boxes import save_boxes
from alexnet_pl.reporting.tables import Table, print_tables

SHOWN = 20  # lines of the table on the console; the files hold all boxes


def detect(cfg: DictConfig, folder: Path) -> None:
    """Leave detections/ in the run folder: detections.json, .csv, .coco.json, and each picture with its boxes."""
    paths, options = find_images(cfg.predict.images), make_detect_options(cfg)
    network, classes, trained_with = load_box_network(cfg.ckpt_path)
    finder = BoxFinder(network, trained_with, options, runtime.device(cfg))
    where, found, unread = folder / "detections", [], {}
    for path in paths:
        try:
            image = decode(path.read_bytes())[0]
        except (OSError, ValueError) as error:
            unread[path] = error
            continue
        some = finder.select_confident(finder.find(image))
        found.append((str(path), some))
        save_boxes(where / f"{path.stem}.png", image, some, [name for _, name in classes])
    for path, reason in unread.items():
        print(f"not read: {path} ({reason})")
    if not found:
        raise UserError(f"predict.images: none of {len(unread)} could be read")
    table = write_boxes(where, found, classes)
    print_tables([boxes_table(found, classes)])
    boxes = sum(len(some.labels) for _, some in found)
    print_message(f"{pluralize(len(found), 'image')}, {boxes:,} boxes, drawn beside the table", table)


def boxes_table(found: Sequence[tuple[str, PredictedBoxes]], classes: Sequence[Sequence[str]]) -> Table:
    rows = [
        [Path(name).name, classes[label][1], f"{score:.2f}", " ".join(f"{edge:.0f}" for edge in box)]
        for name, some in found
        for label, score, box in zip(some.labels, some.scores, some.boxes, strict=True)
    ]
    more = (f"… and {len(rows) - SHOWN:,} more",) if len(rows) > SHOWN else ()
    return Table("Boxes: left, top, right, bottom", ["image", "class", "confidence", "box"], rows[:SHOWN], more)
