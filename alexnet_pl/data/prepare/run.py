"""Preparation of a store: shards of images of one size (§3), the mean image, and the color covariance of §5.1.

Shards are written to ROOT.partial, which is renamed to ROOT when the store is complete. An interrupted run resumes.
Several machines that share ROOT.partial each write a part of the shards; a last run without a part completes the store.
"""

import errno
import json
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from alexnet_pl.data.prepare.counts import check_counts
from alexnet_pl.data.prepare.finalize import finalize, remove_leftovers
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.partial_folder import build_plan, describe_preparation, shared_lock, start_store
from alexnet_pl.data.prepare.plan import Part, Plan, Shard
from alexnet_pl.data.prepare.shard import ImageReader, metadata_path
from alexnet_pl.data.prepare.workers import WorkerPool
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.store.encoding import shard_name
from alexnet_pl.data.store.file_limit import check_shard_number
from alexnet_pl.data.store.integrity import DESCRIPTION
from alexnet_pl.desktop_files import is_empty, remove_empty
from alexnet_pl.errors import UserError
from alexnet_pl.files import check_space
from alexnet_pl.locks import exclusive_lock
from alexnet_pl.progress import ProgressLines, TimeColumn

ALL_SHARDS = Part()


def prepare(
    source: DatasetListing, root: Path, settings: StoreSettings, read: ImageReader, part: Part = ALL_SHARDS
) -> dict[str, Any] | None:
    """Write a store at `root` and return its manifest; None if this was one part of several.

    `root` appears only when the store is complete. Raises UserError if `root` is not empty, the disk is too small, a
    split has no readable image, or the source changes during the call. Finished shards are kept, and the same call
    resumes.
    """
    root = root.resolve()
    if root.is_mount():
        raise UserError(f"data.root: {root} is a mount point; give a folder in it")
    if root.exists() and (not root.is_dir() or not is_empty(root)):
        raise UserError(f"data.root: {root} exists and holds no store; give an empty or a new folder")
    partial = root.with_name(root.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with shared_lock(partial) as file, build_plan(source, partial, settings) as plan:
            wrong = check_counts(plan, source, settings.name, settings.allow_incomplete)
            settings = add_missing(settings, wrong)
            start_store(partial, describe_preparation(plan, source, settings), file)
            make_shards(plan, partial, settings, read, part)
            plan.check_unchanged()
            if part.of > 1:
                return None
            manifest = finish_store(source, plan, partial, root, settings)
        remove_leftovers(root)
    except FileNotFoundError as error:
        if (finished := read_finished(root, settings)) is None:
            raise explain_os_error(root, error) from error
        return finished  # by another process, which moved the folder as this one wrote to it
    except OSError as error:
        raise explain_os_error(root, error) from error
    except BrokenProcessPool as error:
        raise UserError(
            f"prepare.workers: a worker was killed; use fewer if memory ran out; {describe_progress(partial)}"
        ) from error
    except (KeyboardInterrupt, SystemExit):  # the command line turns signals into SystemExit
        print(f"interrupted; {describe_progress(partial)}", flush=True)
        raise
    return manifest or read_finished(root, settings)


def finish_store(
    source: DatasetListing, plan: Plan, partial: Path, root: Path, settings: StoreSettings
) -> dict[str, Any]:
    """Merge the shards and move the store to `root`; return its manifest, {} if another process has just done so."""
    with exclusive_lock(partial / "lock"):
        if not partial.exists():
            return {}
        manifest = finalize(source, plan, partial, settings)
        if root.exists():
            remove_empty(root)
        partial.rename(root)
        return manifest


def read_finished(root: Path, settings: StoreSettings) -> dict[str, Any] | None:
    """Manifest of the store that another process has finished with these settings; None if there is none."""
    try:
        manifest = json.loads((root / DESCRIPTION).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    wanted = {"name": settings.name, "size": settings.size, "encoding": settings.encoding.describe()}
    return manifest if all(manifest[key] == value for key, value in wanted.items()) else None


def add_missing(settings: StoreSettings, wrong: list[str]) -> StoreSettings:
    """Print `wrong`, the sentences on image counts, and add them to the `missing` files in the settings."""
    for text in wrong:
        print(f"  {text}", flush=True)
    missing = [*settings.how.get("missing", []), *wrong]
    return settings._replace(how=settings.how | {"missing": missing}) if wrong else settings


def make_shards(plan: Plan, partial: Path, settings: StoreSettings, read: ImageReader, part: Part) -> None:
    """Make the shards of this part that are not finished."""
    shards = plan.shards[part.number - 1 :: part.of]
    todo = [shard for shard in shards if not is_done(partial, shard, settings)]
    sums = 0 if settings.encoding.is_whole else 24 * settings.size**2  # of whole images, three numbers
    metadata_bytes = sum(sums for shard in todo if shard.split == "train")
    remaining = sum(shard.count for shard in todo)
    needed = metadata_bytes + remaining * settings.encoding.bytes_per_image(settings.size)
    check_space(partial, needed, "data.root", "free some space, or choose another folder")
    images = sum(shard.count for shard in shards)
    done = images - remaining
    if not done:
        check_shard_number(plan.counts.values(), settings.shard)
    else:
        print(f"resuming: {done:,} of {images:,} images done", flush=True)
    if not todo:
        return
    with make_progress_bar() as bar:
        task = bar.add_task("prepare", total=images, completed=done, rate="-")
        pool = WorkerPool(min(settings.num_workers(remaining), len(todo)), plan.folder, partial, settings, read)
        lines = ProgressLines("prepare", images, done)
        pool.make(todo, lambda made: update_progress(bar, task, lines, made))


def update_progress(bar: Progress, task: Any, lines: ProgressLines, new: int) -> None:
    rate, done = new / (bar.tasks[task].elapsed or 1), lines.before + new
    bar.update(task, completed=done, rate=f"{rate:,.0f}")
    lines.update(done)


def is_done(partial: Path, shard: Shard, settings: StoreSettings) -> bool:
    path = partial / shard_name(shard.split, shard.number, settings.encoding)
    return path.exists() and metadata_path(path).exists()


def describe_progress(partial: Path) -> str:
    done = len(list(partial.glob("*.npz")))
    if not done:
        return "nothing is finished yet; the same command starts again"
    return f"{done} shards are finished; the same command resumes"


def explain_os_error(root: Path, error: OSError) -> UserError:
    progress = describe_progress(root.with_name(root.name + ".partial"))
    return UserError(f"data.root: {root}: {os_error_message(error)}; {progress}")


def os_error_message(error: OSError) -> str:
    return "no space left on the disk" if error.errno == errno.ENOSPC else error.strerror or str(error)


def make_progress_bar() -> Progress:
    """Progress bar with images done, images per second and the time."""
    rate = TextColumn("{task.fields[rate]} images/s")
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeColumn())
