"""Layout of a run folder: names of its files and folders, its config, the `latest` link."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_pl.config.run_config import RUN_CONFIG, check_links, read_own_keys
from alexnet_pl.console import print_warning
from alexnet_pl.errors import UserError, reason
from alexnet_pl.files import modified
from alexnet_pl.temporary_files import replacing

Content = TypeVar("Content")

ROOT = Path("runs")  # run folders are created here, relative to the working folder
CONFIG = RUN_CONFIG
CHECKPOINTS = "checkpoints"
LAST = "checkpoints/last.ckpt"
BEST = "checkpoints/best.ckpt"
PREVIOUS_NAME = "previous.ckpt"  # the checkpoint before last.ckpt, in the same folder
METRICS = "metrics.csv"
RESULT = "result.json"
VALIDATION = "validation.json"
PROBABILITIES = "probabilities.parquet"
PROVENANCE = "provenance.json"
FIT = "fit.json"
KERNELS = "kernels.json"
PRETRAINED = "pretrained"  # run folder, in that of the fit that continues from its weights
LATEST = "latest"  # link in runs/<recipe>/ to the newest run


def is_run(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def collect_runs(folders: Iterable[Path], file: str) -> list[Path]:
    """Run folders that hold `file`, at or below `folders`, sorted within each, without repetition. Links below them,
    such as `latest`, are not followed."""
    found = [path for folder in folders for path in sorted(folder.glob(f"**/{file}"))]
    return list(dict.fromkeys(path.parents[len(Path(file).parts) - 1] for path in found))


def read_each(paths: Iterable[Path], read: Callable[[Path], Content]) -> Iterator[Content]:
    """Yield the content of each file. Unreadable ones are named on stderr and skipped: one broken run must not hide the
    others."""
    for path in paths:
        try:
            content = read(path)
        except UserError as error:
            print_warning(f"skipped: {error}")
            continue
        yield content


def read_config(folder: Path, section: str = "model") -> DictConfig:
    """Config of a run. Raises UserError if the folder has none, or one without `section`."""
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder}: not a run folder (no {CONFIG} in it)")
    check_links(folder)
    try:
        cfg = OmegaConf.create(read_own_keys(path))
        _ = cfg[section]
    except (OmegaConfBaseException, AttributeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not the config of a run ({reason(error)})") from error
    return cfg


def latest_checkpoint(runs: Path, which: str) -> Path:
    """`which`.ckpt of the run folder `runs`, or else of the newest run below `runs`.

    Skips runs within a run, which are other networks (the pre-trained one, members of an ensemble), and the link
    `latest`, which points to one of the runs.
    """
    root, file = runs.resolve(), f"{CHECKPOINTS}/{which}.ckpt"
    if is_run(root):
        checkpoint_of_run(runs, file)
        return root / file
    found = [path for path in root.glob(f"**/{file}") if not is_within_run(path.parents[1], root)]
    if not found:
        raise UserError(f"ckpt_path={which}: no run in {runs} has a {which}.ckpt; train first, or pass ckpt_path=FILE")
    return max(found, key=modified)


def checkpoint_of_run(run: Path, file: str = LAST) -> Path:
    """Checkpoint of a run folder. Raises UserError, with the command that trains it, if it does not exist."""
    path = run / file
    if path.is_file():
        return path
    how = f"`python -m alexnet_pl fit {shlex.quote(str(run))} ckpt_path=auto` trains it"
    raise UserError(f"{run} has no {file}; {'give ckpt_path=last' if (run / LAST).is_file() else how}")


def find_checkpoint(source: str, key: str, wanted: str) -> Path:
    """The checkpoint `source`, or the last one in that run folder. Raises UserError, naming the config's `key`, if it
    does not exist. `wanted`: what to give instead."""
    path = Path(source)
    if path.is_dir():
        path = path / LAST
    if not path.is_file():
        raise UserError(f"{key}: {path} does not exist; give {wanted}")
    return path


def run_of_checkpoint(path: Path) -> Path | None:
    """Run folder of a checkpoint; None for a file that is in none."""
    return path.parent.parent if path.parent.name == CHECKPOINTS else None


def results_dir(run: Path, split: str, views: str) -> Path:
    """Folder of a test's results. Older runs have those of the center view under `centre`."""
    path, older = (run / "results" / f"{split}-{name}" for name in (views, "centre"))
    return older if views == "center" and older.is_dir() and not path.is_dir() else path


def is_within_run(folder: Path, root: Path) -> bool:
    """Whether a folder above `folder`, up to `root`, is a run folder."""
    return any(is_run(parent) for parent in folder.parents if parent.is_relative_to(root))


def link_latest(folder: Path) -> None:
    """Point the link runs/<recipe>/latest at `folder` if it is in runs/<recipe>/ and not part of another run."""
    run, root = folder.resolve(), ROOT.resolve()
    if root not in run.parents or run.parent == root or not is_run(run):
        return
    recipe = root / run.relative_to(root).parts[0]
    if not is_within_run(run, recipe):
        replace_link(recipe / LATEST, run)


def replace_link(link: Path, target: Path) -> None:
    """Create a relative link, so that runs/ can be moved. Does nothing on file systems without links."""
    if link.exists() and not link.is_symlink():
        return  # a folder of that name made by the user
    with suppress(OSError), replacing(link) as made:
        made.symlink_to(target.relative_to(link.parent), target_is_directory=True)
