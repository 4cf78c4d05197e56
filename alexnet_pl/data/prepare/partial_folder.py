"""ROOT.partial, the folder of an unfinished store: its locks, listings, and plan.json, by which a run resumes it."""

import fcntl
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from alexnet_pl.data.prepare.finalize import fsync
from alexnet_pl.data.prepare.options import StoreSettings, without_missing
from alexnet_pl.data.prepare.plan import Plan
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.name_split import OLDER_SPLIT
from alexnet_pl.data.store.encoding import WHOLE
from alexnet_pl.errors import UserError
from alexnet_pl.files import DAY
from alexnet_pl.json_records import JsonObject
from alexnet_pl.locks import exclusive_lock, lock
from alexnet_pl.temporary_files import remove_stale, replacing

NEW_LISTING, LISTING_LOCK = "new-listing-", "lock"


@contextmanager
def build_plan(source: DatasetListing, partial: Path, settings: StoreSettings) -> Iterator[Plan]:
    """Build the plan in a temporary folder of this process."""
    remove_listings(partial)
    with listing_folder(partial) as folder:
        yield Plan(source, folder, settings.shard)


@contextmanager
def listing_folder(partial: Path) -> Iterator[Path]:
    """Temporary folder, whose lock shows other processes that it is in use. It gets its name when it is locked."""
    new = Path(tempfile.mkdtemp(prefix=NEW_LISTING, dir=partial))
    with (new / LISTING_LOCK).open("w", encoding="utf-8") as file:
        lock(file, fcntl.LOCK_EX)
        unique = new.name.removeprefix(NEW_LISTING)
        folder = new.rename(partial / f"listing-{unique}.{socket.gethostname()}-{os.getpid()}")
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_listings(partial: Path) -> None:
    """Delete the listings of killed processes of this machine; those of others may be in use for days."""
    for path in partial.glob(f"listing-*.{socket.gethostname()}-*"):
        # suppressed: in use, or a file system without locks
        with suppress(OSError), (path / LISTING_LOCK).open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


def describe_preparation(plan: Plan, source: DatasetListing, settings: StoreSettings) -> JsonObject:
    """Images and settings that a partial store must share with the run that resumes it."""
    settings_of_store = {k: v for k, v in settings._asdict().items() if k not in ("workers", "allow_incomplete")}
    return json.loads(
        json.dumps({"images": plan.identity, "classes": source.classes, "numbers": source.numbers, **settings_of_store})
    )


def start_store(partial: Path, preparation: JsonObject, file: IO[str]) -> None:
    """Write plan.json, or check it: raise UserError if the folder was started with other images or settings.

    If several parts start together, the first writes the file.
    """
    remove_stale(partial, pause=DAY)  # a worker of another machine may be suspended
    path = partial / "plan.json"
    with exclusive_lock(partial / "plan.lock"):
        unfinished = (path for path in partial.glob("*.tmp") if not path.name.startswith("plan"))  # left by killed runs
        has_files = any(partial.glob("*.npz")) or any(unfinished)
        plan = read_plan(path)
        if has_files and plan is None:
            unrelated, corrupt = "unrelated files; move them away", "a corrupt plan.json; delete the folder"
            raise UserError(f"data.root: {partial} holds {corrupt if path.exists() else unrelated} and prepare again")
        if plan is None or (not has_files and is_sole_holder(file)):  # replaces the plan of a process that made nothing
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(preparation), encoding="utf-8")
                fsync(temporary)
            plan = preparation
    for key, value in preparation.items():
        if without_missing(value) != without_missing(plan.get(key)):
            raise other_start_error(partial, key, plan, preparation)


def other_start_error(partial: Path, key: str, plan: JsonObject, preparation: JsonObject) -> UserError:
    """Error of a folder that was started with another value of `key` than `preparation` has; `plan`: content of
    plan.json."""
    held_out, wanted = ((each.get("how") or {}).get("held_out") for each in (plan, preparation))
    if held_out != wanted and None not in (held_out, wanted):
        advice = "resume with the same, or delete it"
        return UserError(f"prepare.val_share={wanted:g}: {partial} was started with {held_out:g}; {advice}")
    rule = f" ({OLDER_SPLIT})" if key == "images" and held_out is not None else ""
    what = "images or boxes" if key == "images" and WHOLE in (plan.get("encoding") or ()) else key
    return UserError(f"data.root: {partial} was started with other {what}; resume with the same, or delete it{rule}")


def read_plan(path: Path) -> JsonObject | None:
    """Content of plan.json; None if it is missing, or was cut off when the power failed."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return plan if isinstance(plan, dict) else None


@contextmanager
def shared_lock(partial: Path) -> Iterator[IO[str]]:
    """Hold a shared lock, which shows other processes that they are not alone.

    Removes the folder in the end if a refused source has left nothing else in it.
    """
    with (partial / "users").open("a+", encoding="utf-8") as file:
        lock(file, fcntl.LOCK_SH)
        try:
            yield file
        finally:
            if partial.exists() and {path.name for path in partial.iterdir()} == {"users"} and is_sole_holder(file):
                shutil.rmtree(partial)


def is_sole_holder(file: IO[str]) -> bool:
    """Whether no other process holds the lock; False on file systems without locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        lock(file, fcntl.LOCK_SH)  # a refused exclusive lock gives up the shared one too (man 2 flock)
    return True
