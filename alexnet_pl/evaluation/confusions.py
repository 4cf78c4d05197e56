"""Confusions: errors per class, and the pairs of classes that a tested network confuses most often."""

import csv
import textwrap
from pathlib import Path

import numpy as np

from alexnet_pl.csv_file import write_csv
from alexnet_pl.data.store.store import Store, short_name
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.json_records import JsonObject
from alexnet_pl.runs.layout import PROBABILITIES

NUMERIC_COLUMNS = ("images", "of_class", "first_image", "top1_error", "top5_error")
# most rows of confusions.csv: ILSVRC-2012 has 16,000 pairs; 20,000 classes have a million, most of one image
LISTED = 100_000
PAIRS, IMAGES_PER_PAIR = 8, 6  # rows of confusions.png, and images in each
IMAGE, FONT, LINE = 1.3, 9, 26  # inches of an image; points, and most characters of a line, of the text beside it


def write_confusions(folder: Path, store: Store, split: str) -> None:
    """Write per_class.csv, confusions.csv and confusions.png beside the folder's probabilities.parquet."""
    reader = PredictionFile(folder / PROBABILITIES)
    labels, best = reader.top_classes()
    write_table(folder / "per_class.csv", errors_by_class(labels, best, store.classes))
    numbers, counts = reader.image_numbers(store.split(split)), np.bincount(labels)
    found = find_confusions(labels, best, len(store.classes))
    pairs = [(true, predicted, numbers[rows]) for true, predicted, rows in found]
    write_table(folder / "confusions.csv", [describe_pair(store.classes, counts, *row) for row in pairs])
    (folder / "confusions.png").unlink(missing_ok=True)
    if pairs:
        draw_confusions(folder / "confusions.png", store, split, pairs[:PAIRS], counts)


def describe_pair(
    classes: list[list[str]], counts: np.ndarray, true: int, predicted: int, images: np.ndarray
) -> JsonObject:
    """Row of confusions.csv; `of_class` is the share of the true class's images, in percent."""
    return {
        "class": classes[true][0],
        "name": classes[true][1],
        "taken_for": classes[predicted][0],
        "taken_for_name": classes[predicted][1],
        "images": len(images),
        "of_class": 100 * len(images) / int(counts[true]),
        "first_image": int(images[0]),
    }


def write_table(path: Path, rows: list[JsonObject]) -> None:
    """Write rows as CSV, fractions with two decimals."""
    lines = ([f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row.values()] for row in rows)
    write_csv(path, rows[0] if rows else [], lines)


def read_table(path: Path) -> list[dict[str, str | float]]:
    """Read a CSV that `write_table` wrote, numbers as float; an empty list if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="backslashreplace") as file:
        return [
            {key: float(cell) if key in NUMERIC_COLUMNS else cell for key, cell in row.items()}
            for row in csv.DictReader(file)
        ]


def draw_confusions(
    path: Path, store: Store, split: str, pairs: list[tuple[int, int, np.ndarray]], counts: np.ndarray
) -> None:
    """Draw one row per pair: the names, and the first images of the true class that were taken for the other."""
    from matplotlib.figure import Figure

    texts = [describe_row(store.classes, counts, *pair) for pair in pairs]
    column = measure_width(texts) + 0.15
    ratios = [column / IMAGE, *[1] * IMAGES_PER_PAIR]
    figure = Figure(figsize=(sum(ratios) * IMAGE, 1.1 * IMAGE * len(pairs)), layout="constrained")
    cells = figure.subplots(len(pairs), len(ratios), squeeze=False, width_ratios=ratios)
    for cell in cells.flat:
        cell.axis("off")
    for row, text, (_, _, numbers) in zip(cells, texts, pairs, strict=True):
        row[0].text(0, 0.5, text, va="center", fontsize=FONT)
        shown = numbers[:IMAGES_PER_PAIR]
        for cell, image in zip(row[1:], store.split(split).images(shown).numpy(), strict=False):
            cell.imshow(image.transpose(1, 2, 0))
    figure.savefig(path, dpi=110)


def describe_row(classes: list[list[str]], counts: np.ndarray, true: int, predicted: int, images: np.ndarray) -> str:
    """Text beside a pair's images: both names, and how many of the true class's images were taken for the other."""
    names = [short_name(classes[number][1]).replace("$", r"\$") for number in (true, predicted)]  # $: a formula
    names = [textwrap.fill(name, LINE) for name in names]
    return f"{names[0]}\ntaken for\n{names[1]}\n{len(images):,} of {counts[true]:,}"


def measure_width(texts: list[str]) -> float:
    """Width of the longest line in inches."""
    from matplotlib.textpath import TextPath

    lines = {line for text in texts for line in text.splitlines() if line}
    return max(TextPath((0, 0), line, size=FONT).get_extents().width for line in lines) / 72


def errors_by_class(labels: np.ndarray, best: np.ndarray, classes: list[list[str]]) -> list[JsonObject]:
    """Rows of per_class.csv: images and errors in percent of each class with images, highest top-1 error first."""
    count = np.bincount(labels, minlength=len(classes))
    wrong1 = np.bincount(labels[best[:, 0] != labels], minlength=len(classes))
    wrong5 = np.bincount(labels[(best != labels[:, None]).all(1)], minlength=len(classes))
    rows = [
        {
            "class": classes[i][0],
            "name": classes[i][1],
            "images": int(count[i]),
            "top1_error": 100 * wrong1[i] / count[i],
            "top5_error": 100 * wrong5[i] / count[i],
        }
        for i in np.flatnonzero(count)
    ]
    return sorted(rows, key=lambda row: (-row["top1_error"], row["class"]))


def find_confusions(
    labels: np.ndarray, best: np.ndarray, classes: int, most: int = LISTED
) -> list[tuple[int, int, np.ndarray]]:
    """(true class, predicted class, rows of the images) of the `most` most confused pairs, most images first."""
    wrong = np.flatnonzero((best[:, 0] != labels) & (best[:, 0] >= 0))  # −1: scores that are not finite
    pairs = labels[wrong].astype(np.int64) * classes + best[wrong, 0]
    order = np.argsort(pairs, kind="stable")
    kinds, starts, counts = np.unique(pairs[order], return_index=True, return_counts=True)
    images = wrong[order]
    return [
        (int(kinds[i] // classes), int(kinds[i] % classes), images[starts[i] : starts[i] + counts[i]])
        for i in np.argsort(-counts, kind="stable")[:most]
    ]
