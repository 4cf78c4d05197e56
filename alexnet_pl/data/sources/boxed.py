"""Copies that are of use for their boxes: VOC's layout, ILSVRC's detection images, images with Kaggle's table."""

from pathlib import Path

from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.ilsvrc_det import find_det, read_det
from alexnet_pl.data.sources.kaggle import find_kaggle
from alexnet_pl.data.sources.tabled_images import find_table, read_tabled
from alexnet_pl.data.sources.voc import find_voc, read_voc

DETECTION, VOC, TABLED = "ILSVRC's detection images", "PASCAL VOC's layout", "validation images with Kaggle's table"
UNCLASSIFIED = (DETECTION, VOC)  # forms whose images have no class but that of their largest box


def read_boxed(source: Path, val_share: float, first_pixel: int | None) -> tuple[str, DatasetListing] | None:
    """(what it is, its classes and images), None for any other copy. `first_pixel`: number of an image's first pixel in
    annotations of VOC's layout, 1 if None."""
    if not source.is_dir():
        return None
    if find_det(source):
        return DETECTION, read_det(source)
    if years := find_voc(source):
        return VOC, read_voc(years, first_pixel, val_share)
    if (table := find_table(source)) and find_kaggle(source) is None:
        return TABLED, read_tabled(table, val_share)
    return None
