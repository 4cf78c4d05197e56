"""`prepare` and `verify`: make a store from a copy of the images, and check one.

Nothing of Lightning is imported, which saves seconds and memory."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.config.schema import instantiate, store_root
from alexnet_pl.console import print_message
from alexnet_pl.data.prepare.finalize import remove_leftovers
from alexnet_pl.data.prepare.options import PrepareOptions, StoreTarget
from alexnet_pl.data.prepare.pipeline import check_same_store, make_store, repair_store
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.prepare.workers import configure_worker
from alexnet_pl.data.store.remote import is_remote
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

SHOWN = 5  # odd images named on the console; all are in odd.json


def prepare(cfg: DictConfig, folder: Path) -> None:
    if is_remote(store_root(cfg)):
        raise UserError(f"data.root: {store_root(cfg)}: a store is made in a folder; copy it there when it is whole")
    where = Path(store_root(cfg))
    given = {key: cfg.data[key] for key in ("root", "name", "size") if key in cfg.data}
    if "name" in given and given["name"] is None:
        given["name"] = where.name
    target = instantiate(StoreTarget, given, "data")
    options = instantiate(PrepareOptions, cfg.prepare, "prepare", **asdict(target))
    if (where / "store.json").exists():
        store = Store(where, check=not options.repair)
        if (where / "plan.json").exists():  # left by a run that was killed in its last moment
            remove_leftovers(where)
        check_same_store(options, store)
        return (
            repair_and_report(options, store)
            if options.repair
            else print_message(f"already prepared: {describe_store(store)}", where)
        )
    configure_worker()
    began = time.perf_counter()
    about = make_store(options)
    seconds = time.perf_counter() - began
    if about is None:
        part = (
            f"part {options.part} is done; when all are, the same command without prepare.part makes the store of them"
        )
        return print_message(part, where.with_name(f"{where.name}.partial"))
    report_nonstandard(about, where)
    return print_message(f"{describe_store(Store(where))}, {size_of(about)} in {format_duration(seconds)}", where)


def repair_and_report(options: PrepareOptions, store: Store) -> None:
    repaired = repair_store(options, store)
    left = list(find_corrupt(store))
    if left:
        raise UserError(f"{left[0]}: cannot be repaired; prepare the store again")
    names = ", ".join(path.name for path in repaired) or "nothing"
    print_message(f"{names} repaired; complete: {describe_store(store)}", store.root)


def report_nonstandard(about: dict[str, Any], where: Path) -> None:
    """Print the counts of non-standard images by kind, with the first few names."""
    if not about["odd"] + about["unreadable"]:
        return
    odd = json.loads((where / "odd.json").read_text())
    for kind in sorted({(entry["done"], entry["what"]) for entry in odd}):
        names = [entry["name"] for entry in odd if (entry["done"], entry["what"]) == kind]
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        print(f"  {kind[0]}, {kind[1]}: {printable(', '.join(names[:SHOWN]))}{more}")
    print_message(
        f"{about['unreadable']} unreadable images left out, {about['odd']} that were not plain RGB JPEGs converted",
        where / "odd.json",
    )


def printable(text: str) -> str:
    """A name of any bytes, on a console of any encoding."""
    return text.encode("utf8", "backslashreplace").decode().encode("ascii", "backslashreplace").decode()


def verify(cfg: DictConfig, folder: Path) -> None:
    store = Store(store_root(cfg), check=False)
    found = list(find_corrupt(store))
    if found:
        more = f" and {len(found) - 1} more damages, all listed above" if len(found) > 1 else ""
        for line in found if more else []:
            print(line, flush=True)
        advice = "prepare … prepare.repair=true repairs files from their source; or copy the store again"
        raise UserError(f"{found[0]}{more}; {advice}")
    print_message(f"whole: {describe_store(store)}", store.root)


def describe_store(store: Store) -> str:
    splits = ", ".join(f"{split['images']:,} {name}" for name, split in store.manifest["splits"].items())
    return f"{splits} images of {len(store.classes)} classes, fingerprint {store.fingerprint[:12]}"


def size_of(about: dict[str, Any]) -> str:
    return f"{sum(split['bytes'] for split in about['splits'].values()) / 1e9:,.2f} GB"


def format_duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"


COMMANDS = {"prepare": prepare, "verify": verify}
