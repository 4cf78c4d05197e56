"""A checkpoint of one tensor, with the settings of a small network."""

from pathlib import Path
from typing import Any

import torch

SWITCHES: dict[str, dict[str, Any]] = {
    "model": {"num_classes": 10, "towers": 2, "without": None, "norm": True, "bottleneck": 0},
    "augment": {"size": 256, "crop": 224, "noise": 0.1, "images_per_crop": 1},
}


def save_small_checkpoint(path: Path) -> Path:
    about = {"switches": SWITCHES, "classes": [["n1", "one"]], "store": {"name": "demo"}}
    torch.save({"state_dict": {"weight": torch.arange(5000.0)}, "global_step": 7, "alexnet_pl": about}, path)
    return path
