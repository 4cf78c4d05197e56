"""Detection of the form of a copy of ImageNet, from its files."""

from collections.abc import Mapping
from pathlib import Path

from alexnet_pl.data.archives.members import SUFFIXES
from alexnet_pl.data.sources.archived_folders import find_folder_archives, read_archived_folders
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.cifar10 import find_batches, find_batches_archive, read_cifar
from alexnet_pl.data.sources.class_names import add_class_names
from alexnet_pl.data.sources.huggingface import (
    find_arrow_files,
    find_packed,
    find_shards,
    find_tables,
    read_arrow_files,
    read_packed,
    read_shards,
    read_tables,
)
from alexnet_pl.data.sources.ilsvrc import find_devkit, read_ilsvrc
from alexnet_pl.data.sources.ilsvrc_det import find_det, read_det
from alexnet_pl.data.sources.image_folder import has_class_folders, read_folders
from alexnet_pl.data.sources.kaggle import IMAGES as KAGGLE_IMAGES
from alexnet_pl.data.sources.kaggle import find_kaggle, read_kaggle
from alexnet_pl.data.sources.split_lists import find_lists, read_lists
from alexnet_pl.data.sources.synset_archives import HELD_OUT, find_archives, read_synset_archives
from alexnet_pl.data.sources.tabled_images import find_table, read_tabled
from alexnet_pl.data.sources.tfrecords import find_tfrecords, read_tfrecords
from alexnet_pl.data.sources.tiny_imagenet import find_tiny_imagenet, read_tiny_imagenet
from alexnet_pl.data.sources.voc import find_voc, read_voc
from alexnet_pl.errors import UserError

ARCHIVES = "archives of synsets"
CIFAR10 = "CIFAR-10"


def read_source(
    source: Path,
    names: Mapping[str, str],
    synsets: Path | None = None,
    val_share: float | None = None,
    allow_incomplete: bool = False,
    first_pixel: int | None = None,
) -> tuple[str, DatasetListing]:
    """Detect the form of a copy and list it: (name of the form, listing).

    names: readable class names, for forms that have none.
    synsets: for archives of all of ImageNet, a file of the wnids to use.
    val_share: fraction of the images that becomes `val`, for forms without such a split.
    allow_incomplete: accept a copy with missing files.
    first_pixel: as in `read_boxed`.

    Raises UserError if the form is unknown, or if its files are missing or wrong.
    """
    if not source.exists():
        raise UserError(f"prepare.source: {source} does not exist; give the folder that holds the images")
    form, listing = detect(source, names, synsets, val_share, allow_incomplete, first_pixel)
    return form, add_class_names(source, listing)


def detect(
    source: Path,
    names: Mapping[str, str],
    synsets: Path | None,
    val_share: float | None,
    allow_incomplete: bool,
    first_pixel: int | None,
) -> tuple[str, DatasetListing]:
    share = HELD_OUT if val_share is None else val_share
    if known := read_boxed(source, share, first_pixel) or read_published(source, allow_incomplete, val_share):
        return known
    check_devkit_present(source)
    is_packed = source.is_file() or not (source / "train").is_dir()  # archives beside class folders are of other images
    if is_packed and (archive := find_batches_archive(source)):
        return CIFAR10, read_cifar(archive)
    if source.is_file() and (archives := find_folder_archives(source)):
        return "class folders in an archive", read_archived_folders(source, archives, val_share)
    if source.is_file() or (is_packed and find_archives(source)):
        return ARCHIVES, read_synset_archives(source, synsets, share)
    if shards := find_shards(source):
        return "WebDataset shards", read_shards(shards, allow_incomplete, val_share)
    if is_packed and (archives := find_folder_archives(source)):
        return "class folders in archives", read_archived_folders(source, archives, val_share)
    if not has_class_folders(source) and (lists := find_lists(source)):
        return "images with split lists", read_lists(source, lists, names, val_share)
    return "class folders", read_folders(source, names, val_share)


def read_published(source: Path, allow_incomplete: bool, val_share: float | None) -> tuple[str, DatasetListing] | None:
    """Detect and list a copy in its publisher's form; None for any other. `val_share`: of copies without validation."""
    is_kaggle_tree = (source / KAGGLE_IMAGES).is_dir()  # some have a kit of other tasks in it
    if source.is_dir() and not is_kaggle_tree and find_devkit(source):
        return "ILSVRC with its development kit", read_ilsvrc(source)
    if kaggle := find_kaggle(source):
        return f"Kaggle's ILSVRC-2012 ({kaggle.name})", read_kaggle(kaggle)
    if batches := find_batches(source):
        return CIFAR10, read_cifar(batches)
    if tiny := find_tiny_imagenet(source):
        return "tiny-ImageNet", read_tiny_imagenet(tiny)
    if tables := find_tables(source):
        return "Hugging Face's Parquet files", read_tables(tables, allow_incomplete, val_share)
    if packed := find_packed(source):
        return "Hugging Face's archives", read_packed(packed, allow_incomplete, val_share)
    if arrow := find_arrow_files(source):
        return "Hugging Face's Arrow files", read_arrow_files(arrow, allow_incomplete, val_share)
    if records := find_tfrecords(source):
        return "TFRecord files", read_tfrecords(records, allow_incomplete, val_share)
    return None


def check_devkit_present(source: Path) -> None:
    """Raise UserError for ILSVRC archives without their devkit, and for a file that is no archive."""
    if archives := sorted(source.glob("ILSVRC20*.tar")):
        raise UserError(f"prepare.source: {archives[0]} needs the development kit (ILSVRC…devkit….tar.gz) beside it")
    if source.is_file() and not source.name.endswith(SUFFIXES):
        raise UserError(f"prepare.source: {source} is not a known archive; give the folder that holds the images")


DETECTION, VOC, TABLED = "ILSVRC's detection images", "PASCAL VOC's layout", "validation images with Kaggle's table"
UNCLASSIFIED = (DETECTION, VOC)  # forms whose images have no class but that of their largest box


def read_boxed(source: Path, val_share: float, first_pixel: int | None) -> tuple[str, DatasetListing] | None:
    """Detect and list a copy whose form includes boxes: (name of the form, listing); None for any other.

    `first_pixel`: number of an image's first pixel in annotations of VOC's layout, 1 if None.
    """
    if not source.is_dir():
        return None
    if find_det(source):
        return DETECTION, read_det(source)
    if years := find_voc(source):
        return VOC, read_voc(years, first_pixel, val_share)
    if (table := find_table(source)) and find_kaggle(source) is None:
        return TABLED, read_tabled(table, val_share)
    return None
