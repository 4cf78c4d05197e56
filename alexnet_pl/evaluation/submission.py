"""Submission file for the ILSVRC-2012 test server (Table 2, last column): only the server has the test labels.

One line per image, by image number: five labels, best first, as the authors' txt-preds.py writes them. A label is an
ILSVRC2012_ID, from 1. Classes here are sorted by WordNet id, so the store holds each class's id from the development
kit's meta.mat.
"""

from pathlib import Path

import numpy as np

from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.imagenet_names import number_in_test_set
from alexnet_pl.evaluation.prediction_file import PredictionFile


def is_submittable(store: Store, split: str) -> bool:
    """Whether the server accepts the split: images named ILSVRC2012_test_…, classes with ILSVRC2012_IDs."""
    return bool(store.manifest.ilsvrc_ids) and number_in_test_set(store.split(split).names_of([0])[0]) is not None


def write_submission(path: Path, store: Store, probabilities: Path) -> tuple[int, int]:
    """Write the file from saved predictions. Returns (lines, lines of images that are missing or whose scores are not
    finite, which get labels 1 to 5)."""
    ids = store.manifest.ilsvrc_ids
    assert ids, "is_submittable() holds"
    lines: dict[int, str] = {}
    for block in PredictionFile(probabilities).blocks(probabilities=False):
        for name, best in zip(block.images, block.best, strict=True):
            number = number_in_test_set(name)
            if number is None or len(best) != 5:
                raise UserError(f"{probabilities}: {name}: not an image of the ILSVRC-2012 test set")
            if best[0] >= 0:
                lines[number] = server_labels(best, ids)
    count = max(max(lines, default=0), store.manifest.splits["test"].records)
    path.write_text("".join(f"{lines.get(number, '1 2 3 4 5')}\n" for number in range(1, count + 1)), encoding="utf-8")
    return count, count - len(lines)


def server_labels(best: np.ndarray, ids: list[int]) -> str:
    """Class indices → ILSVRC2012_IDs, best first, joined by spaces."""
    return " ".join(str(ids[index]) for index in best)
