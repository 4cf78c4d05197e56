"""Repair of a store from the copy it was made from: corrupt shards, names, labels, index, statistics, odd.json.

A file is replaced only if the new one has the checksum that store.json gives.
"""

import shutil
import tempfile
from itertools import zip_longest
from pathlib import Path

from alexnet_pl.data.prepare.finalize import write_metadata
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.partial_folder import build_plan
from alexnet_pl.data.prepare.plan import Plan, read_records
from alexnet_pl.data.prepare.run import os_error_message
from alexnet_pl.data.prepare.shard import ImageReader, metadata_path, write_shard, write_shard_metadata
from alexnet_pl.data.prepare.verify import find_corrupt_shards, shard_path
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.name_split import OLDER_SPLIT
from alexnet_pl.data.store.encoding import shard_name
from alexnet_pl.data.store.integrity import DESCRIPTION, checksum, corrupt_files
from alexnet_pl.data.store.store import Store, corruption_error
from alexnet_pl.errors import UserError
from alexnet_pl.temporary_files import replacing


def repair(store: Store, source: DatasetListing, settings: StoreSettings, read: ImageReader) -> list[Path]:
    """Rebuild corrupt files; return their paths. Labels, index and statistics take as long as `prepare`.

    Raises UserError if the source gives other images than before, or if store.json was changed.
    """
    corrupt = corrupt_files(store.description, store.root)
    if DESCRIPTION in corrupt or any(name not in store.manifest.files for name in corrupt):
        raise corruption_error(store.root, [DESCRIPTION])
    try:
        with build_plan(source, store.root, settings) as plan:
            repaired = [repair_names(store, plan, name) for name in corrupt if name.endswith(".names.jsonl")]
            check_source_images(plan, store)
            repaired += [
                repair_shard(store, plan, split, n, settings, read)
                for split in store.splits
                for n in find_corrupt_shards(store, split)
            ]
            rest = [name for name in corrupt if not name.endswith(".names.jsonl")]
            return repaired + (repair_metadata(store, plan, rest, settings, read) if rest else [])
    except OSError as error:
        raise UserError(f"data.root: {store.root}: {os_error_message(error)}") from error


def check_source_images(plan: Plan, store: Store) -> None:
    for split, info in store.manifest.splits.items():
        with (store.root / f"{split}.names.jsonl").open(encoding="utf-8") as file:
            same = plan.counts.get(split) == info.records and all(
                line == written for line, written in zip_longest(file, plan.name_lines(split))
            )
        if not same:
            raise other_images_error(store, split)


def repair_names(store: Store, plan: Plan, name: str) -> Path:
    split = name.partition(".")[0]
    made = plan.folder / name
    with made.open("w", encoding="utf-8") as file:
        file.writelines(plan.name_lines(split) if split in plan.counts else [])
    if checksum(made) != store.manifest.files[name]:
        raise other_images_error(store, split)
    return replace_file(made, store.root / name)


def repair_shard(store: Store, plan: Plan, split: str, number: int, settings: StoreSettings, read: ImageReader) -> Path:
    shard = next(each for each in plan.shards if (each.split, each.number) == (split, number))
    path = shard_path(store, split, number)
    with replacing(path) as own:
        made = write_shard(
            own, read_records(plan.folder, shard), shard.start, store.size, settings.encoding, read, False
        )
        if made.blake3 != store.manifest.splits[split].blake3[number]:
            raise changed_error(path, settings)
        remove_folder(path)
    return path


def repair_metadata(
    store: Store, plan: Plan, names: list[str], settings: StoreSettings, read: ImageReader
) -> list[Path]:
    """Rebuild the files `names`, which takes all images: write one shard at a time, and delete it."""
    with tempfile.TemporaryDirectory(dir=plan.folder) as folder:
        for shard in plan.shards:
            own = Path(folder) / shard_name(shard.split, shard.number, settings.encoding)
            training = shard.split == "train"
            records = read_records(plan.folder, shard)
            made = write_shard(own, records, shard.start, store.size, settings.encoding, read, training)
            own.unlink()
            own.symlink_to(store.root.resolve() / own.name)
            write_shard_metadata(metadata_path(own), made)
        write_metadata(plan, Path(folder), settings)
        for name in names:
            if checksum(Path(folder) / name) != store.manifest.files[name]:
                raise changed_error(store.root / name, settings)
        return [replace_file(Path(folder) / name, store.root / name) for name in names]


def replace_file(made: Path, path: Path) -> Path:
    """Move `made` to `path`; replaces a file or a folder there."""
    remove_folder(path)
    made.replace(path)
    return path


def remove_folder(path: Path) -> None:
    """Remove the folder at `path` if there is one, which no file could replace."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


def other_images_error(store: Store, split: str) -> UserError:
    held_out = "held_out" in (store.manifest.settings or {})
    rule = f"; {OLDER_SPLIT}, and such a store must be prepared again" if held_out else ""
    return UserError(f"prepare.source: these are not the images of {split} that {store.root} was made from{rule}")


def changed_error(path: Path, settings: StoreSettings) -> UserError:
    kept = "; earlier versions kept boxes of annotations with a wrong size" if settings.encoding.is_whole else ""
    return UserError(f"{path}: the source gives other images than before, or a decoder has another version{kept}")
