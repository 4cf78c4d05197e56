"""Reader of state dicts of torchvision's `alexnet`, downloaded or saved by its reference training script."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.errors import UserError, reason
from alexnet_pl.inference.imports.foreign import NAMES, ForeignNetwork, check_shapes, undo_inverted_dropout
from alexnet_pl.models.other_alexnets import TorchvisionAlexNet

LAYERS = dict(
    zip(
        NAMES,
        [
            *("features.0", "features.3", "features.6", "features.8", "features.10"),
            *("classifier.1", "classifier.4", "classifier.6"),
        ],
        strict=True,
    )
)
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of pixels from 0 to 1, RGB


def read_torchvision(path: Path) -> ForeignNetwork:
    """Read a state dict. Raises UserError, naming the difference, for anything but torchvision's `alexnet`, and
    ValueError for numbers of kernels that no AlexNet has.

    torchvision feeds pixels from 0 to 1, minus a mean and divided by a standard deviation per channel; this package
    feeds pixels from 0 to 255 minus a mean. The kernels of conv1 are therefore divided by 255 × standard deviation.
    """
    tensors = read_state_dict(path)
    deviation = torch.from_numpy(255 * DEVIATION)[:, None, None]
    tensors["conv1.weight"] = (tensors["conv1.weight"].double() / deviation).float()
    width = len(tensors["conv1.bias"]) / 64
    model = {"name": "torchvision", "num_classes": len(tensors["fc8.bias"]), "dropout": 0.5, "width": width}
    with torch.device("meta"):
        net = TorchvisionAlexNet(model["num_classes"], width=width)
    check_shapes(path, tensors, net)
    augment = {"crop": 224, "mean": "center", "noise": 0.0}
    mean = 255 * MEAN[:, None, None]
    return ForeignNetwork(model, augment, undo_inverted_dropout(tensors), mean=mean)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Load the state dict, under the names of this package's layers."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load may raise any exception for a foreign file
        raise UserError(f"{path}: torch cannot read it as weights ({reason(error)})") from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]  # saved by torchvision's training script
    wanted = {f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in LAYERS.items() for part in ("weight", "bias")}
    state = content if isinstance(content, dict) else {}
    for theirs in wanted.values():
        if not isinstance(state.get(theirs), Tensor):
            raise UserError(f"{path}: has no {theirs}; not the state dict of torchvision's alexnet")
    if more := sorted(set(map(str, state)) - set(wanted.values())):
        raise UserError(f"{path}: has an extra {more[0]}; not the state dict of torchvision's alexnet")
    found = {ours: state[theirs].float() for ours, theirs in wanted.items()}
    if found["conv1.weight"].shape[1:] != (3, 11, 11):
        raise UserError(f"{path}: features.0.weight is {tuple(found['conv1.weight'].shape)}, not (64, 3, 11, 11)")
    return found
