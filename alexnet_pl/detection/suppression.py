"""Non-maximum suppression: what OverFeat's merging is proposed instead of (§4.3), beside it for comparison."""

import numpy as np
import torch
from torchvision.ops import nms

from alexnet_pl.detection.boxes import Boxes, as_boxes

IOU = 0.5


def suppress(boxes: object, scores: object, iou: float = IOU) -> tuple[Boxes, np.ndarray]:
    """Boxes (N, 4) and scores (N,) of one class, best first, without those that a better one overlaps above `iou`."""
    given, values = as_boxes(boxes), np.asarray(scores, np.float64).reshape(-1)
    kept = nms(torch.from_numpy(given), torch.from_numpy(values), iou).numpy()
    return given[kept], values[kept]
