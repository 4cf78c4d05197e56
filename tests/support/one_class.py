"""Merging of the boxes of one class."""

import numpy as np

from alexnet_pl.detection.boxes import as_boxes
from alexnet_pl.detection.merging import Merged, MergeOptions, merge_classes

DEFAULT = MergeOptions()


def merge_boxes(boxes: object, scores: object, options: MergeOptions = DEFAULT) -> Merged:
    """Merge boxes (N, 4) with scores (N,)."""
    return merge_classes(as_boxes(boxes), np.asarray(scores, np.float64).reshape(1, -1), options)[0]
