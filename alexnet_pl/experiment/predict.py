"""Predict the most probable classes of the user's own images, with the views of §5.1."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict

import torch

from alexnet_pl.console import mask_control
from alexnet_pl.csv_file import write_csv
from alexnet_pl.data.images import decode, resize_center_crop, resize_shorter_side
from alexnet_pl.data.sources.image_files import SUFFIXES
from alexnet_pl.errors import UserError
from alexnet_pl.files import list_paths
from alexnet_pl.json_records import write_json
from alexnet_pl.progress import track
from alexnet_pl.table import Table, note_rest, print_tables
from alexnet_pl.training.classifier import Classifier

BATCH = 32  # number of images decoded and classified at a time
SHOWN = 50  # rows of the table on the console; the files hold all images


def check_images(given: str | Iterable[str] | None, key: str = "predict.images") -> list[Path]:
    """The given files and folders. Raises UserError if one does not exist; folders are not searched yet."""
    if not given:
        raise UserError(f"{key} is required: pass {key}=FILE, a folder, or a list [FILE,FILE]")
    paths = list_paths(given)
    if missing := next((path for path in paths if not path.exists()), None):
        raise UserError(f"{key}: {missing} does not exist")
    return paths


def find_images(given: str | Iterable[str] | None, key: str = "predict.images") -> list[Path]:
    """Image files: files as given, and all images in folders and their subfolders. `key`: option for errors."""
    found: list[Path] = []
    for path in check_images(given, key):
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        found += inside if path.is_dir() else [path]
    if not found:
        raise UserError(f"{key}: {given} holds no images ({', '.join(sorted(SUFFIXES))})")
    return found


def read_batches(
    paths: Sequence[Path],
    shape: Callable[[torch.Tensor], torch.Tensor],
    size: int | None = None,
    key: str = "predict.images",
) -> Iterator[tuple[list[Path], list[torch.Tensor]]]:
    """Read `size` files at a time, by default `BATCH`: yield (files, (3, H, W) uint8 images from `shape`). At the end,
    print which files could not be read, and why. Raises UserError if it is all of them. `key`: option for errors."""
    size = size or BATCH
    not_read: dict[Path, str] = {}
    num_read = 0
    starts = range(0, len(paths), size)
    for start in track(starts, "batches of images", len(starts)) if len(paths) > BATCH else starts:
        read, images = [], []
        for path in paths[start : start + size]:
            try:
                images.append(shape(decode(path.read_bytes())[0]))
                read.append(path)
            except (OSError, ValueError) as error:
                not_read[path] = str(error)
        num_read += len(read)
        if read:
            yield read, images
    if not num_read:
        path, reason = next(iter(not_read.items()))
        raise UserError(f"{key}: none of {len(not_read)} could be read; {path}: {reason}")
    for path, reason in not_read.items():
        print(mask_control(f"not read: {path} ({reason})"))


def make_square(size: int, filter_name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Function that resizes and crops an image as `prepare` does: (3, size, size) uint8."""
    return partial(resize_center_crop, size=size, filter_name=filter_name)


PredictedLabel = TypedDict("PredictedLabel", {"class": str, "name": str, "probability": float})


class ImagePrediction(TypedDict):
    """Image file with its most probable labels, best first."""

    file: str
    labels: list[PredictedLabel]


@torch.inference_mode()
def predict(module: Classifier, paths: list[Path], filter_name: str, device: torch.device) -> list[ImagePrediction]:
    """Classify images: the five most probable classes of each."""
    module.to(device)
    rows: list[ImagePrediction] = []
    resize = resize_shorter_side if module.dense else resize_center_crop
    for read, images in read_batches(paths, partial(resize, size=module.augment.size, filter_name=filter_name)):
        shown = [image.to(device) for image in images]
        scores = module.test_scores(shown if module.dense else torch.stack(shown)).exp()
        best = scores.topk(min(5, len(module.classes)))
        rows += [row(module, *found) for found in zip(read, best.values.tolist(), best.indices.tolist(), strict=True)]
    return rows


def row(module: Classifier, path: Path, probabilities: list[float], indices: list[int]) -> ImagePrediction:
    labels: list[PredictedLabel] = [
        {"class": module.classes[i][0], "name": module.classes[i][1], "probability": p}
        for i, p in zip(indices, probabilities, strict=True)
    ]
    return {"file": str(path), "labels": labels}


def write_predictions(rows: list[ImagePrediction], folder: Path) -> Path:
    """Write predictions.json, and predictions.csv with one line per image and label. Returns the path of the latter."""
    write_json(folder / "predictions.json", rows)
    path = folder / "predictions.csv"
    lines = (
        [found["file"], rank, label["class"], label["name"], f"{label['probability']:.6f}"]
        for found in rows
        for rank, label in enumerate(found["labels"], 1)
    )
    write_csv(path, ["file", "rank", "class", "name", "probability"], lines)
    return path


def print_predictions(rows: list[ImagePrediction]) -> None:
    shown = []
    for found in rows[:SHOWN]:
        labels = [f"{label['name']} {100 * label['probability']:.1f} %" for label in found["labels"]]
        shown.append([Path(found["file"]).name, labels[0], ", ".join(labels[1:])])
    print_tables([Table("", ["image", "most probable", "then"], shown, note_rest(len(rows), SHOWN))])
