"""Non-maximum suppression, the alternative to OverFeat's merging of boxes (§4.3), for comparison."""

import numpy as np
import torch
from torchvision.ops import nms

from alexnet_pl.detection.boxes import Boxes, as_boxes

IOU = 0.5


def suppress_overlapping(boxes: object, scores: object, iou: float = IOU) -> tuple[Boxes, np.ndarray]:
    """Remove boxes (N, 4) of a class whose IoU with a box of higher score is above `iou`.

    Returns the remaining boxes and scores, highest score first.
    """
    box_array, values = as_boxes(boxes), np.asarray(scores, np.float64).reshape(-1)
    kept = nms(torch.from_numpy(box_array), torch.from_numpy(values), iou).numpy()
    return box_array[kept], values[kept]
