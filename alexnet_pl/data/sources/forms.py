"""Detection of the form of a copy of ImageNet, from its files."""

import difflib
from pathlib import Path

from alexnet_pl.config.sections import SCENES
from alexnet_pl.data.archives.arrow import read_arrow_class_names
from alexnet_pl.data.archives.members import SUFFIXES
from alexnet_pl.data.archives.parquet import read_class_names
from alexnet_pl.data.sources.archived_folders import find_folder_archives, read_archived_folders
from alexnet_pl.data.sources.base import CopyOptions, DatasetListing
from alexnet_pl.data.sources.cifar10 import find_batches, find_batches_archive, read_cifar
from alexnet_pl.data.sources.class_names import add_class_names
from alexnet_pl.data.sources.huggingface import (
    find_arrow_files,
    find_packed,
    find_shards,
    find_tables,
    read_packed,
    read_shards,
)
from alexnet_pl.data.sources.ilsvrc import find_devkit, read_ilsvrc
from alexnet_pl.data.sources.ilsvrc_det import find_det, read_det
from alexnet_pl.data.sources.image_folder import has_class_folders, read_folders
from alexnet_pl.data.sources.kaggle import IMAGES as KAGGLE_IMAGES
from alexnet_pl.data.sources.kaggle import find_kaggle, read_kaggle
from alexnet_pl.data.sources.packed_rows import read_arrow_rows, read_table_rows
from alexnet_pl.data.sources.row_listing import read_files
from alexnet_pl.data.sources.split_files import find_missing_parts
from alexnet_pl.data.sources.split_lists import find_lists, read_lists
from alexnet_pl.data.sources.synset_archives import HELD_OUT, find_archives, read_synset_archives
from alexnet_pl.data.sources.tabled_images import find_table, read_tabled
from alexnet_pl.data.sources.tfrecords import find_tfrecords, read_record_rows
from alexnet_pl.data.sources.tiny_imagenet import find_tiny_imagenet, read_tiny_imagenet
from alexnet_pl.data.sources.voc import find_voc, read_voc
from alexnet_pl.errors import UserError

ARCHIVES, CIFAR10, FOLDERS, TINY = "archives of synsets", "CIFAR-10", "class folders", "tiny-ImageNet"
DETECTION, VOC, TABLED = "ILSVRC's detection images", "PASCAL VOC's layout", "validation images with Kaggle's table"
UNCLASSIFIED = (DETECTION, VOC)  # forms whose images have no class but that of their largest box
SET_OF_FORM = {CIFAR10: ("cifar10", "cifar10"), TINY: ("", "folder")}
"""Name of the published data set of a form, and the recipe that prepares it; tinyimagenet has half of the classes."""
NO_OPTIONS = CopyOptions()


def no_names(first: Path) -> list[str]:
    return []


FORMS_OF_ROWS = (
    ("Hugging Face's Parquet files", find_tables, read_table_rows, find_missing_parts, read_class_names),
    ("Hugging Face's Arrow files", find_arrow_files, read_arrow_rows, find_missing_parts, read_arrow_class_names),
    ("TFRecord files", find_tfrecords, read_record_rows, find_missing_parts, no_names),
)
"""Name of the form, and functions that find its files, read a file's rows, find missing files, and read class names."""


def read_source(source: Path, options: CopyOptions = NO_OPTIONS) -> tuple[str, DatasetListing]:
    """Detect the form of a copy and list it: (name of the form, listing).

    Raises UserError if the form is unknown, or if its files are missing or wrong.
    """
    if not source.exists():
        near = difflib.get_close_matches(str(source), [SCENES])
        advice = f"did you mean {SCENES}?" if near else "give the folder that holds the images"
        raise UserError(f"prepare.source: {source} does not exist; {advice}")
    first, second = (read_published, read_boxed) if options.classified else (read_boxed, read_published)
    form, listing = first(source, options) or second(source, options) or read_other(source, options)
    return form, add_class_names(source, listing)


def read_boxed(source: Path, options: CopyOptions) -> tuple[str, DatasetListing] | None:
    """Detect and list a copy for detection, whose images have boxes and no classes; None for any other."""
    if not source.is_dir():
        return None
    if find_det(source):
        return DETECTION, read_det(source)
    if years := find_voc(source):
        return VOC, read_voc(years, options.first_pixel, held_out_share(options))
    return None


def held_out_share(options: CopyOptions) -> float:
    return HELD_OUT if options.val_share is None else options.val_share


def read_published(source: Path, options: CopyOptions) -> tuple[str, DatasetListing] | None:
    """Detect and list a copy in its publisher's form; None for any other."""
    is_kaggle_tree = (source / KAGGLE_IMAGES).is_dir()  # some have a kit of other tasks in it
    if source.is_dir() and not is_kaggle_tree and find_devkit(source):
        return "ILSVRC with its development kit", read_ilsvrc(source)
    if kaggle := find_kaggle(source):
        return f"Kaggle's ILSVRC-2012 ({kaggle.name})", read_kaggle(kaggle)
    if batches := find_batches(source):
        return CIFAR10, read_cifar(batches)
    if tiny := find_tiny_imagenet(source):
        return TINY, read_tiny_imagenet(tiny)
    for form, find, rows, find_missing, class_names in FORMS_OF_ROWS:
        if files := find(source):
            return form, read_files(files, rows, find_missing, class_names, options)
    if packed := find_packed(source):
        return "Hugging Face's archives", read_packed(packed, options)
    return None


def read_other(source: Path, options: CopyOptions) -> tuple[str, DatasetListing]:
    """Detect and list archives and folders of any set of images."""
    check_devkit_present(source)
    share = options.val_share
    is_packed = source.is_file() or not (source / "train").is_dir()  # archives beside class folders are of other images
    if is_packed and (archive := find_batches_archive(source)):
        return CIFAR10, read_cifar(archive)
    if source.is_file() and (archives := find_folder_archives(source)):
        return "class folders in an archive", read_archived_folders(source, archives, share)
    if source.is_file() or (is_packed and find_archives(source)):
        return ARCHIVES, read_synset_archives(source, options.synsets, held_out_share(options))
    if shards := find_shards(source):
        return "WebDataset shards", read_shards(shards, options)
    if is_packed and (archives := find_folder_archives(source)):
        return "class folders in archives", read_archived_folders(source, archives, share)
    if table := find_table(source):
        return TABLED, read_tabled(table, held_out_share(options))
    if not has_class_folders(source) and (lists := find_lists(source)):
        return "images with split lists", read_lists(source, lists, options.names, share)
    return FOLDERS, read_folders(source, options.names, share)


def check_devkit_present(source: Path) -> None:
    """Raise UserError for ILSVRC archives without their devkit, and for a file that is not an archive.

    Kaggle's table labels unpacked validation images, so that their archive may lie beside it.
    """
    wanted = "ILSVRC20*train*.tar" if find_table(source) else "ILSVRC20*.tar"
    if archives := sorted(source.glob(wanted)):
        raise UserError(f"prepare.source: {explain_no_devkit(source, archives[0])}")
    if source.is_file() and not source.name.endswith(SUFFIXES):
        raise UserError(f"prepare.source: {source} is not a known archive; give the folder that holds the images")


def explain_no_devkit(source: Path, archive: Path) -> str:
    if kits := sorted(path.name for path in source.glob("*devkit*") if path.name[0] != "."):
        year = archive.name[6:10]
        return f"{archive} needs the development kit of {year}; {kits[0]} is another, without a meta.mat"
    return f"{archive} needs the development kit (ILSVRC…devkit….tar.gz) beside it"
