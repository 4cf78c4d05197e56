"""`whole` encoding of a store: whole images with their aspect ratio, shorter side `size`, and their bounding boxes.

    train-000000.tar   JPEGs, as in the `jpeg` encoding (jpeg.py), each of its own width
    train.sizes.npy    (records, 4) int32: height and width of the original, height and width as stored
    train.boxes.npy    (boxes,) records of edges, (4,) float32: left, top, right, bottom relative to the image's width
                       and height; label, int32 class index, −1 if the store has no such class; difficult, bool
    train.box_offsets.npy  (records + 1,) int64: record i's boxes are boxes[offsets[i] : offsets[i + 1]]
    train.coverage.npy     (records,) uint8: how completely the image was annotated (`Coverage`)

Read like any other split, it gives the central squares, so code that reads a store of squares reads this one too.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.data.store.jpeg import JpegReader
from alexnet_pl.data.store.manifest import StoreManifest
from alexnet_pl.data.store.split import Split, corrupt_error, load_array
from alexnet_pl.errors import UserError

BOX = np.dtype([("edges", np.float32, (4,)), ("label", np.int32), ("difficult", np.bool_)])


class WholeSplit(Split):
    """Whole images of one split with their boxes.

    `sizes`, `original_sizes`: (N, 2) int64 height and width as stored and of the original file. `coverage`: (N,) uint8,
    how completely each image was annotated.
    """

    reader: JpegReader

    def __init__(self, root: Path, name: str, manifest: StoreManifest) -> None:
        super().__init__(root, name, manifest)
        sizes = load_array(root / f"{name}.sizes.npy")[self.slots].astype(np.int64)
        self.original_sizes, self.sizes = sizes[:, :2], sizes[:, 2:]
        self.all_boxes, self.offsets = load_boxes(root, name, manifest.splits[name].records)
        self.coverage = load_array(root / f"{name}.coverage.npy")[self.slots]
        self.crop = manifest.size

    def __reduce__(self) -> tuple[Any, ...]:
        return open_subset, (type(self), self.root, self.name, self.manifest, self.slots)

    @property
    def is_jpeg(self) -> bool:
        """False: images differ in size, so a device cannot decode them in one call."""
        return False

    def rows(self, i: int) -> slice:
        begin, end = self.offsets[self.slots[i] : self.slots[i] + 2].tolist()
        return slice(begin, end)

    def boxes(self, i: int) -> Tensor:
        """(n, 4) float32: left, top, right, bottom edges of image i's boxes in stored pixels."""
        height, width = self.sizes[i].tolist()
        scale = torch.tensor([width, height, width, height], dtype=torch.float32)
        return torch.from_numpy(self.all_boxes["edges"][self.rows(i)].copy()) * scale

    def box_labels(self, i: int) -> Tensor:
        """(n,) int64: the class index of each box of image i."""
        return torch.from_numpy(self.all_boxes["label"][self.rows(i)].astype(np.int64))

    def box_difficult(self, i: int) -> Tensor:
        """(n,) bool: whether PASCAL VOC's evaluation ignores each box of image i."""
        return torch.from_numpy(self.all_boxes["difficult"][self.rows(i)].copy())

    def box_counts(self) -> np.ndarray:
        """(N,) int64: number of boxes of each image."""
        return np.diff(self.offsets)[self.slots]

    def image(self, i: int) -> Tensor:
        """Image i as stored, (3, H, W) uint8."""
        height, width = self.sizes[i].tolist()
        pixels = self.reader.decode_whole(int(self.slots[i]), height, width)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    def classified(self) -> Self:
        """Split of the images that have a class; all images if none has, as in a test set without labels."""
        kept = self.labels >= 0
        return self if kept.all() or not kept.any() else self.subset(kept)

    def subset(self, kept: np.ndarray) -> Self:
        """Split of the images `kept`, a mask or indices."""
        found = object.__new__(type(self))  # not copy.copy, which would open the files again
        found.__dict__ = {name: value for name, value in vars(self).items() if name != "names"}
        found.slots, found.labels, found.on_device = self.slots[kept], self.labels[kept], None
        found.sizes, found.original_sizes = self.sizes[kept], self.original_sizes[kept]
        found.coverage = self.coverage[kept]
        return found

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the central squares of images `indices` to `out`, (len(indices), 3, size, size) uint8."""
        self.read_windows(indices, center_corners(self.sizes[indices], self.crop), out)

    def read_windows(self, indices: np.ndarray, corners: np.ndarray, out: np.ndarray) -> None:
        """Copy a window of each image to `out`, (n, 3, crop, crop) uint8; `corners`: (n, 2), its top and left edge."""
        self.reader.read_windows(self.slots[indices], self.sizes[indices], corners, out)

    def random_crops(self, crop: int, seed: int, epoch: int) -> "Crops":
        """A crop × crop window at a random position in each image, a function of (seed, epoch, image) alone."""
        chance = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 3]))
        free = self.sizes - crop + 1
        return Crops(self, crop, (chance.random((len(self), 2)) * free).astype(np.int64))


class Crops(Split):
    """One square window of each image of a `WholeSplit`. `corners`: (N, 2), its top and left edge in stored pixels.

    Raises UserError if an image is smaller than the window.
    """

    constant = False

    def __init__(self, whole: WholeSplit, crop: int, corners: np.ndarray) -> None:
        if len(whole) and crop > whole.sizes.min():
            raise UserError(f"augment.crop={crop}: more than the {whole.sizes.min()} pixels of the stored shorter side")
        self.whole, self.corners, self.crop = whole, corners, crop
        self.labels, self.slots, self.reader = whole.labels, whole.slots, whole.reader
        self.root, self.name = whole.root, whole.name
        self.shape, self.channels_last, self.on_device = (3, crop, crop), whole.channels_last, None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.whole, self.crop, self.corners)

    @property
    def is_jpeg(self) -> bool:
        return False

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        self.whole.read_windows(indices, self.corners[indices], out)


def open_subset(
    kind: type[WholeSplit], root: Path, name: str, manifest: StoreManifest, slots: np.ndarray
) -> WholeSplit:
    """Open a split with the images of these record numbers only, in a worker process of a DataLoader."""
    found = kind(root, name, manifest)
    return found.subset(np.searchsorted(found.slots, slots))


def center_corners(sizes: np.ndarray, crop: int) -> np.ndarray:
    """(n, 2): top and left edge of the central window, rounded as torchvision's `center_crop` does."""
    return ((sizes - crop) / 2).round().astype(np.int64)


def load_boxes(root: Path, name: str, records: int) -> tuple[np.ndarray, np.ndarray]:
    """Read (boxes, offsets) of a split. Raises UserError if they do not fit its number of records."""
    path = root / f"{name}.boxes.npy"
    boxes, offsets = load_array(path), load_array(root / f"{name}.box_offsets.npy")
    if boxes.dtype != BOX or len(offsets) != records + 1 or offsets[-1] != len(boxes):
        raise corrupt_error(path, ValueError(f"not the boxes of {records:,} images"))
    return boxes, offsets
