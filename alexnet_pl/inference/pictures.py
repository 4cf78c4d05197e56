"""Images of the user, in any of the forms that `predict` takes, as pixels and as the input of a network."""

from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from alexnet_pl.data.images import decode, resize_center_crop, to_rgb
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.errors import UserError


@runtime_checkable
class BinaryFile(Protocol):
    """A file that is open for reading bytes, such as io.BytesIO."""

    def read(self) -> bytes: ...


Picture = Image.Image | Tensor | np.ndarray | str | PathLike[str] | bytes | BinaryFile


def list_pictures(images: Picture | bytearray | memoryview | Sequence[Picture]) -> list[Picture]:
    """The images one by one; tensors and arrays of four dimensions are batches."""
    if isinstance(images, bytearray | memoryview):
        return [bytes(images)]
    if isinstance(images, Tensor | np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    return [images] if isinstance(images, Image.Image | str | PathLike | bytes | BinaryFile) else list(images)


def read_pixels(image: Picture) -> Tensor:
    """Read pixels: (3, H, W) uint8 RGB on the CPU.

    Raises UserError for a file that is not an image, and ValueError for a tensor or an array of another shape or type.
    """
    if isinstance(image, Image.Image):
        return torch.from_numpy(np.array(to_rgb(image))).permute(2, 0, 1)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"{image.shape} {image.dtype}: expected an image (H, W, 3) uint8")
        return torch.from_numpy(image.copy()).permute(2, 0, 1)
    if isinstance(image, Tensor):
        if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3 or not image.numel():
            raise ValueError(f"{tuple(image.shape)} {image.dtype}: expected an image (3, H, W) uint8")
        return image.cpu()
    name, content = read_file(image)
    try:
        return decode(content)[0]
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error


def read_file(image: str | PathLike[str] | bytes | BinaryFile) -> tuple[str, bytes]:
    """(name for messages, content). An open file is read from its start, as Pillow does."""
    if isinstance(image, bytes):
        return f"image of {len(image):,} bytes", image
    if isinstance(image, BinaryFile):
        with suppress(AttributeError, OSError):  # a stream without positions
            image.seek(0)  # type: ignore[attr-defined]
        name, content = str(getattr(image, "name", type(image).__name__)), image.read()
        if not isinstance(content, bytes):
            raise ValueError(f"{name}: open as text; open it with mode rb")
        return name, content
    try:
        return str(image), Path(image).read_bytes()
    except OSError as error:
        raise UserError(f"{image}: {error.strerror or error}") from error


class CenterView:
    """Function from an image to an input of a network, (3, crop, crop) float32 on the CPU: the center view minus the
    mean image. It can be pickled for the workers of a DataLoader, and does not hold the network."""

    def __init__(self, augment: Augment, filter_name: str) -> None:
        self.size, self.crop, self.filter = augment.size, augment.crop, filter_name
        self.mean = augment.center_mean.detach().cpu().clone()

    def __call__(self, image: Picture) -> Tensor:
        square = resize_center_crop(read_pixels(image), self.size, self.filter)
        edge = (self.size - self.crop) // 2
        return square[:, edge : edge + self.crop, edge : edge + self.crop] - self.mean
