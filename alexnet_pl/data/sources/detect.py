"""Detect which form of ImageNet a folder holds, from its files."""

from collections.abc import Mapping
from pathlib import Path

from alexnet_pl.data.archives.tar import GZIPPED
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.boxed import read_boxed
from alexnet_pl.data.sources.cifar10 import find_batches, read_cifar
from alexnet_pl.data.sources.huggingface import (
    find_packed,
    find_shards,
    find_tables,
    read_packed,
    read_shards,
    read_tables,
)
from alexnet_pl.data.sources.ilsvrc import find_devkit, read_ilsvrc
from alexnet_pl.data.sources.image_folder import has_class_folders, read_folders
from alexnet_pl.data.sources.kaggle import find_kaggle, read_kaggle
from alexnet_pl.data.sources.split_lists import find_lists, read_lists
from alexnet_pl.data.sources.synset_archives import HELD_OUT, find_archives, read_fall
from alexnet_pl.data.sources.tiny_imagenet import find_tiny_imagenet, read_tiny_imagenet
from alexnet_pl.errors import UserError

ARCHIVES = "archives of synsets"


def read_source(
    source: Path,
    names: Mapping[str, str],
    synsets: Path | None = None,
    val_share: float | None = None,
    allow_incomplete: bool = False,
    first_pixel: int | None = None,
) -> tuple[str, DatasetListing]:
    """(what it is, its classes and images). `names`: readable class names for forms that bring none; of the archives of
    all of ImageNet, `synsets` lists those to take; `val_share` is the share of each class that becomes `val` in a copy
    without such a split. `allow_incomplete`: take a copy of which files are missing; `first_pixel`: see `read_boxed`.

    Raises UserError where nothing is recognised, or where something of what was recognised is missing or wrong.
    """
    if not source.exists():
        raise UserError(f"prepare.source: {source} is not there; give the folder that holds the images")
    share = HELD_OUT if val_share is None else val_share
    if known := read_boxed(source, share, first_pixel) or read_published(source, allow_incomplete):
        return known
    check_archives(source)
    if source.is_file() or (not (source / "train").is_dir() and find_archives(source)):
        return ARCHIVES, read_fall(source, synsets, share)
    if shards := find_shards(source):
        return "WebDataset shards", read_shards(shards, allow_incomplete)
    if not has_class_folders(source) and (lists := find_lists(source)):
        return "images with split lists", read_lists(source, lists, names, val_share)
    return "class folders", read_folders(source, names, val_share)


def read_published(source: Path, allow_incomplete: bool) -> tuple[str, DatasetListing] | None:
    """A copy in a form that its publisher gave it, with splits of its own; None for any other."""
    if source.is_dir() and find_devkit(source):
        return "ILSVRC with its development kit", read_ilsvrc(source)
    if kaggle := find_kaggle(source):
        return f"Kaggle's ILSVRC-2012 ({kaggle.name})", read_kaggle(kaggle)
    if batches := find_batches(source):
        return "CIFAR-10", read_cifar(batches)
    if tiny := find_tiny_imagenet(source):
        return "tiny-ImageNet", read_tiny_imagenet(tiny)
    if tables := find_tables(source):
        return "Hugging Face's Parquet files", read_tables(tables, allow_incomplete)
    if packed := find_packed(source):
        return "Hugging Face's archives", read_packed(packed, allow_incomplete)
    return None


def check_archives(source: Path) -> None:
    """Images of the benchmark are not to be taken for synsets of all of ImageNet."""
    if unkitted := sorted(source.glob("ILSVRC20*.tar")):
        raise UserError(f"prepare.source: {unkitted[0]} needs the development kit (ILSVRC…devkit….tar.gz) beside it")
    if source.is_file() and not source.name.endswith((".tar", *GZIPPED)):
        raise UserError(f"prepare.source: {source} is no archive that is known; give the folder that holds the images")
