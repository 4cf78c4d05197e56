"""Formats of weights that `import` reads, by name."""

from collections.abc import Callable
from pathlib import Path

from alexnet_pl.errors import UserError, reason
from alexnet_pl.inference.imports.caffe import read_caffe
from alexnet_pl.inference.imports.cuda_convnet import read_cuda_convnet
from alexnet_pl.inference.imports.foreign import ForeignNetwork
from alexnet_pl.inference.imports.torchvision_weights import read_torchvision

FORMATS: dict[str, Callable[[Path], ForeignNetwork]] = {
    "cuda_convnet": read_cuda_convnet,
    "caffe": read_caffe,
    "torchvision": read_torchvision,
}
SUFFIXES = {".caffemodel": "caffe", ".pth": "torchvision", ".pt": "torchvision"}


def read_network(path: Path, kind: str) -> ForeignNetwork:
    """Read weights in the format `kind`. Raises UserError for any file that is not AlexNet's weights in it."""
    try:
        return FORMATS[kind](path)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not AlexNet in the format {kind}, or corrupt ({reason(error)})") from error


def format_of(path: Path, given: str | None) -> str:
    """Return the format `given`, or that of the file's suffix; checkpoints of cuda-convnet have none."""
    kind = given or SUFFIXES.get(path.suffix, "cuda_convnet")
    if kind not in FORMATS:
        raise UserError(f"format={kind}: one of {', '.join(FORMATS)}")
    return kind
