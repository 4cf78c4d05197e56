"""Errors by class, and the pairs of classes that a tested network confuses most."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation.predictions import Reader

NUMBERS = ("images", "of_class", "first_image", "top1_error", "top5_error")  # columns
PAIRS, PICTURES = 8, 6  # of confusions.png: rows, and images in one


def write_confusions(folder: Path, store: Store, split: str) -> None:
    """per_class.csv, confusions.csv and confusions.png from the folder's probabilities.parquet."""
    labels, best = count_answers(folder / "probabilities.parquet")
    write_table(folder / "per_class.csv", errors_by_class(labels, best, store.classes))
    found = confusions(labels, best, len(store.classes))
    write_table(folder / "confusions.csv", [pair(store.classes, labels, *row) for row in found])
    (folder / "confusions.png").unlink(missing_ok=True)
    if found:
        draw_confusions(folder / "confusions.png", store, split, found[:PAIRS], labels)


def pair(classes: list[list[str]], labels: np.ndarray, true: int, taken: int, images: np.ndarray) -> dict[str, Any]:
    return {
        "class": classes[true][0],
        "name": classes[true][1],
        "taken_for": classes[taken][0],
        "taken_for_name": classes[taken][1],
        "images": len(images),
        "of_class": 100 * len(images) / int((labels == true).sum()),
        "first_image": int(images[0]),
    }


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0] if rows else [])
        writer.writerows([f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row.values()] for row in rows)


def read_table(path: Path) -> list[dict[str, str | float]]:
    """The rows of such a file, numbers as numbers; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", errors="backslashreplace") as file:
        return [
            {key: float(cell) if key in NUMBERS else cell for key, cell in row.items()} for row in csv.DictReader(file)
        ]


def draw_confusions(
    path: Path, store: Store, split: str, found: list[tuple[int, int, np.ndarray]], labels: np.ndarray
) -> None:
    """A row a pair: its name, and the first images of the one class that were taken for the other."""
    from matplotlib.figure import Figure

    names = [name.split(",")[0] for _, name in store.classes]
    figure = Figure(figsize=(1.3 * PICTURES + 2.6, 1.45 * len(found)), layout="constrained")
    cells = figure.subplots(len(found), PICTURES + 1, squeeze=False, width_ratios=[2] + [1] * PICTURES)
    for cell in cells.flat:
        cell.axis("off")
    for row, (true, taken, numbers) in zip(cells, found, strict=True):
        share = f"{len(numbers):,} of {int((labels == true).sum()):,}"
        row[0].text(0, 0.5, f"{names[true]}\ntaken for\n{names[taken]}\n{share}", va="center", fontsize=9, wrap=True)
        some = numbers[:PICTURES]
        for cell, image in zip(row[1:], store.split(split).images(some).numpy(), strict=False):
            cell.imshow(image.transpose(1, 2, 0))
    figure.savefig(path, dpi=110)


def count_answers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) and best classes (N, 5 or fewer) of a whole file: a few bytes an image."""
    blocks = list(Reader(path).blocks(probabilities=False))
    return np.concatenate([block.labels for block in blocks]), np.concatenate([block.best for block in blocks])


def errors_by_class(labels: np.ndarray, best: np.ndarray, classes: list[list[str]]) -> list[dict[str, Any]]:
    """Images and errors in percent of each class that has images, the hardest first."""
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


def confusions(labels: np.ndarray, best: np.ndarray, classes: int) -> list[tuple[int, int, np.ndarray]]:
    """(true class, class taken for it, numbers of the images), most images first, then by class."""
    wrong = np.flatnonzero(best[:, 0] != labels)
    pairs = labels[wrong].astype(np.int64) * classes + best[wrong, 0]
    order = np.argsort(pairs, kind="stable")
    kinds, starts = np.unique(pairs[order], return_index=True)
    groups = np.split(wrong[order], starts[1:])
    found = [(int(kind // classes), int(kind % classes), group) for kind, group in zip(kinds, groups, strict=False)]
    return sorted(found, key=lambda row: (-len(row[2]), row[:2]))
