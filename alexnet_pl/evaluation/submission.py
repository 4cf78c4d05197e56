"""Submission file for the ILSVRC-2012 test server, which alone has the test labels (Table 2, last column).

A line an image, in the order of the images' numbers: five labels, best first, as the authors' txt-preds.py writes them.
A label is an ILSVRC2012_ID, from 1, which is in no order of ours: classes here are sorted by WordNet id, and the store
carries the id of each from the development kit's meta.mat.
"""

import re
from pathlib import Path

import numpy as np

from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.predictions import Reader

NUMBER = re.compile(r"ILSVRC2012_test_(\d{8})\.")


def writable(store: Store, split: str) -> bool:
    """Whether the split is one that the server takes: images ILSVRC2012_test_…, classes with the benchmark's ids."""
    return bool(store.manifest.ilsvrc_ids) and bool(NUMBER.search(store.split(split).names[0]))


def write_submission(path: Path, store: Store, probabilities: Path) -> tuple[int, int]:
    """Write the file from saved answers. Returns (lines, images that were never read, whose labels are arbitrary)."""
    ids = store.manifest.ilsvrc_ids
    assert ids, "writable() holds"
    lines: dict[int, str] = {}
    for block in Reader(probabilities).blocks(probabilities=False):
        for name, best in zip(block.images, block.best, strict=True):
            found = NUMBER.search(name)
            if found is None or len(best) != 5:
                raise UserError(f"{probabilities}: {name}: not an image of the ILSVRC-2012 test set")
            lines[int(found[1])] = labels(best, ids)
    count = max(max(lines), store.manifest.splits["test"].records)
    path.write_text("".join(f"{lines.get(number, '1 2 3 4 5')}\n" for number in range(1, count + 1)))
    return count, count - len(lines)


def labels(best: np.ndarray, ids: list[int]) -> str:
    """Class indices → the benchmark's own numbers, best first."""
    return " ".join(str(ids[index]) for index in best)
