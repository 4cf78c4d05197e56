"""`prepare` and `verify`: make a store from a copy of the images, and check a store.

Does not import Lightning, which saves seconds and memory.
"""

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.config.schema import instantiate, store_root
from alexnet_pl.console import mask_control, pluralize, print_message
from alexnet_pl.data.archives.remote import is_remote
from alexnet_pl.data.prepare.finalize import remove_leftovers
from alexnet_pl.data.prepare.options import PrepareOptions, StoreTarget
from alexnet_pl.data.prepare.pipeline import check_same_settings, check_same_store, make_store, repair_store
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.prepare.workers import configure_worker
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

SHOWN, SHOWN_KINDS = 5, 10  # non-standard images named on the console, and kinds of them; odd.json lists all
NUMBER = re.compile(r"\d[\d,]*")


def prepare(cfg: DictConfig, folder: Path) -> None:
    options = read_options(cfg)
    if (Path(options.root) / "store.json").exists():
        check_prepared(options)
    else:
        make_and_report(options)


def read_options(cfg: DictConfig) -> PrepareOptions:
    """Options of section `prepare` and of the store; without `data.name`, it has the name of its folder."""
    if is_remote(store_root(cfg)):
        raise UserError(f"data.root: {store_root(cfg)}: prepare the store in a local folder, then copy it there")
    given = {key: cfg.data[key] for key in ("root", "name", "size") if key in cfg.data}
    if "name" in given and given["name"] is None:
        given["name"] = Path(store_root(cfg)).name
    target = instantiate(StoreTarget, given, "data")
    return instantiate(PrepareOptions, cfg.prepare, "prepare", **asdict(target))


def check_prepared(options: PrepareOptions) -> None:
    """Repair an existing store, or only say that there is one. Raises UserError if these options make another store."""
    root = Path(options.root)
    store = Store(root, check=not options.repair)
    if (root / "plan.json").exists():  # left by a run that was killed just before it finished
        remove_leftovers(root)
    check_same_store(options, store)
    check_same_settings(options, store)
    if options.repair:
        repair_and_report(options, store)
    else:
        print_message(f"already prepared: {describe_store(store)}", root)


def make_and_report(options: PrepareOptions) -> None:
    root = Path(options.root)
    configure_worker()
    start = time.perf_counter()
    manifest = make_store(options)
    seconds = time.perf_counter() - start
    if manifest is None:
        part = f"part {options.part} is done; after all parts, the same command without prepare.part merges them"
        return print_message(part, root.with_name(f"{root.name}.partial"))
    report_nonstandard(manifest, root)
    return print_message(f"{describe_store(Store(root))}, {size_of(manifest)} in {format_duration(seconds)}", root)


def repair_and_report(options: PrepareOptions, store: Store) -> None:
    repaired = repair_store(options, store)
    still_corrupt = list(find_corrupt(store))
    if still_corrupt:
        raise UserError(f"{still_corrupt[0]}: cannot be repaired; prepare the store again")
    names = ", ".join(path.name for path in repaired) or "nothing"
    print_message(f"{names} repaired; complete: {describe_store(store)}", store.root)


def report_nonstandard(manifest: dict[str, Any], root: Path) -> None:
    """Print the counts of non-standard images by kind, the most frequent ones, with the first few names."""
    if not (odd := json.loads((root / "odd.json").read_text(encoding="utf-8"))):
        return
    kinds = group_by_kind(odd)
    for entries in kinds[:SHOWN_KINDS]:
        names = ", ".join(entry["name"] for entry in entries[:SHOWN])
        more = f" and {len(entries) - SHOWN:,} more" if len(entries) > SHOWN else ""
        print(mask_control(f"  {entries[0]['done']}, {entries[0]['what']}: {names}{more}"))
    if len(kinds) > SHOWN_KINDS:
        print(f"  and {pluralize(len(kinds) - SHOWN_KINDS, 'more kind')}")
    annotations = len(odd) - manifest["unreadable"] - manifest["odd"]
    print_message(
        f"{pluralize(manifest['unreadable'], 'unreadable image')} left out, "
        f"{manifest['odd']:,} of other formats converted to RGB"
        + (f", {pluralize(annotations, 'annotation')} of another size" if annotations else ""),
        root / "odd.json",
    )


def group_by_kind(odd: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """Group entries of odd.json by what was done and why, whatever the numbers in it; the largest group first."""
    kinds: dict[tuple[str, str], list[dict[str, str]]] = {}
    for entry in odd:
        kinds.setdefault((entry["done"], NUMBER.sub("0", entry["what"])), []).append(entry)
    return sorted(kinds.values(), key=len, reverse=True)


def verify(cfg: DictConfig, folder: Path) -> None:
    store = Store(store_root(cfg), check=False)
    corrupt = list(find_corrupt(store))
    if corrupt:
        more = f" and {len(corrupt) - 1} more problems, all listed above" if len(corrupt) > 1 else ""
        for line in corrupt if more else []:
            print(mask_control(line), flush=True)
        advice = "prepare … prepare.repair=true repairs files from their source; or copy the store again"
        raise UserError(f"{corrupt[0]}{more}; {advice}")
    print_message(f"complete: {describe_store(store)}", store.root)


def describe_store(store: Store) -> str:
    splits = ", ".join(f"{split.images:,} {name}" for name, split in store.manifest.splits.items())
    boxes = f" with {sum(split.boxes for split in store.manifest.splits.values()):,} boxes" if store.is_whole else ""
    return f"{splits} images of {len(store.classes)} classes{boxes}, fingerprint {store.fingerprint[:12]}"


def size_of(manifest: dict[str, Any]) -> str:
    return f"{sum(split['bytes'] for split in manifest['splits'].values()) / 1e9:,.2f} GB"


def format_duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"
