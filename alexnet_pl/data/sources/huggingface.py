"""Hugging Face's forms of ImageNet: imagenet-1k's Parquet files, its older archives, the Arrow files that `datasets`
makes of them, timm's WebDataset shards.

    data/train-00000-of-00294.parquet …, validation-…, test-…      columns image: {bytes, path}, label (−1 in test)
    data/train_images_0.tar.gz … 4, val_images.tar.gz, test_images.tar.gz    n01440764_10026_n01440764.JPEG
    imagenet-1k-train-00000-of-00292.arrow …         the cache of `load_dataset`: columns as in the Parquet files
    train/data-00000-of-00300.arrow …, validation/…  a dataset written by `save_to_disk`
    imagenet1k-train-0000.tar …, imagenet1k-validation-00.tar …              key.jpg, key.cls, key.json
    train/0.tar …, val/0.tar …                                               likewise
    _info.json beside these shards                                           number of samples of each split

The class of an image is given by the wnid in its name, or by a label, which is an index into the sorted wnids. If an
image has both, they must agree.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from alexnet_pl.data.archives.tar import list_members, whole_archive
from alexnet_pl.data.sources.base import CopyOptions, DatasetListing, SkippedFiles
from alexnet_pl.data.sources.image_files import is_image
from alexnet_pl.data.sources.image_folder import has_class_folders
from alexnet_pl.data.sources.packed_rows import find_wnid, read_archive_rows, read_shard_rows
from alexnet_pl.data.sources.row_listing import list_rows, read_files
from alexnet_pl.data.sources.split_files import (
    SPLITS,
    check_complete,
    find_missing_numbers,
    find_missing_validation,
    group_by_folder,
    group_by_split,
)
from alexnet_pl.errors import UserError

SHARD = re.compile(r"(?!n\d{8}\.).*\d\.tar$")  # n01440764.tar is an archive of a synset
NUMBERED = re.compile(r"(?!n\d{8}\.).*\d{3,}\.tar$")
FIRST = 8  # images and labels that show whether an archive is a shard
LABELS = (".cls", ".json")


def find_tables(source: Path) -> dict[str, list[Path]]:
    return group_by_split(source, "*.parquet") or group_by_folder(source, "*.parquet")


def find_arrow_files(source: Path) -> dict[str, list[Path]]:
    """Without the cache-….arrow files that `Dataset.map` leaves beside them."""
    cache = {s: [p for p in paths if p.name[:6] != "cache-"] for s, paths in group_by_split(source, "*.arrow").items()}
    return {s: paths for s, paths in cache.items() if paths} or group_by_folder(source, "data-*-of-*.arrow")


def find_packed(source: Path) -> dict[str, list[Path]]:
    return group_by_split(source, "*_images*.tar.gz")


def find_shards(source: Path) -> dict[str, list[Path]]:
    classed = has_class_folders(source)  # an archive beside them may hold anything
    for groups in (group_by_split(source, "*.tar"), group_by_folder(source, "*.tar")):
        shards = {split: choose_numbered(paths) for split, paths in groups.items()}
        found = {split: paths for split, paths in shards.items() if paths}
        if any(holds_samples(paths[0], classed) for paths in found.values()):
            return found
    return {}


def choose_numbered(paths: list[Path]) -> list[Path]:
    """The archives whose names end in a digit. If some end in three or more, as most tools write them, those of other
    series are left out, such as annotations_train_v2.tar."""
    shards = [path for path in paths if SHARD.match(path.name)]
    series = {series_name(path) for path in shards if NUMBERED.match(path.name)}
    return [path for path in shards if not series or series_name(path) in series]


def series_name(path: Path) -> str:
    return path.stem.rstrip("0123456789")


def holds_samples(path: Path, classed: bool) -> bool:
    """Whether the first images of an archive have labels beside them or are in no folder, unlike class folders.

    Three digits at the end of its name are enough if the images' names hold wnids. Without them, no archive beside
    class folders (`classed`) counts.
    """
    is_numbered = NUMBERED.match(path.name) is not None
    if classed and not is_numbered:
        return False
    paths = (Path(member.path) for member in list_members(whole_archive(path)))
    first = list(islice((each for each in paths if each.suffix in LABELS or is_image(each)), FIRST))
    images = [each for each in first if is_image(each)]
    labeled = {sample_key(each) for each in first if each.suffix in LABELS}
    return any(
        sample_key(each) in labeled or len(each.parts) == 1 or (is_numbered and find_wnid(each.name)) for each in images
    )


def sample_key(path: Path) -> Path:
    """Path up to the first dot of the name, which the files of a sample share."""
    return path.with_name(path.name.partition(".")[0])


def read_packed(files: Mapping[str, list[Path]], options: CopyOptions) -> DatasetListing:
    skipped_files: SkippedFiles = {}
    rows = partial(read_archive_rows, skipped_files=skipped_files)
    listing = read_files(files, rows, find_missing_numbers, lambda first: [], options)
    return replace(listing, skipped_files=skipped_files)


def read_shards(files: Mapping[str, list[Path]], options: CopyOptions) -> DatasetListing:
    folder = next(iter(files.values()))[0].parent
    expected, listed = read_info(folder / "_info.json")
    share = None if expected.get("val") else options.val_share
    missing = find_missing_validation(files, share) + find_missing_numbers(files)
    missing += [name for name in listed if name not in missing and not (folder / name).is_file()]
    if not listed:
        absent = [split for split, count in expected.items() if count and split not in files]
        missing += [f"all files of {split}" for split in absent if split != "val"]
    missing = check_complete(folder, missing, options.allow_incomplete)
    skipped_files: SkippedFiles = {}
    listing = list_rows(folder, files, partial(read_shard_rows, skipped_files=skipped_files), [], share)
    expected = {} if listing.held_out is not None else expected
    return replace(listing, expected=expected, missing=missing, skipped_files=skipped_files)


def read_info(path: Path) -> tuple[dict[str, int], list[str]]:
    """Read (samples of each split, names of the shards) from _info.json; empty if there is no such file.

    Raises UserError if it cannot be read.
    """
    if not path.is_file():
        return {}, []
    try:
        splits = json.loads(path.read_text(encoding="utf-8")).get("splits", {})
        known = {SPLITS[name]: info for name, info in splits.items() if name in SPLITS}
        counts = {split: int(info["num_samples"]) for split, info in known.items()}
        names = [str(name) for info in known.values() for name in info.get("filenames", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"prepare.source: {path} has no sample counts of its splits ({error!r})") from error
    return counts, [name for name in names if Path(name).name == name]
