"""Members of an ensemble (§7): tested run folders whose saved predictions can be averaged."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from alexnet_pl.config.views import describe_views
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import Block, PredictionFile
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import PROBABILITIES, results_dir

SHARED_FIELDS = ("classes", "class_list", "name", "split", "fingerprint", "images")  # must be equal for all members


def find_members(runs: Sequence[Path], split: str | None, views: str) -> list[PredictionFile]:
    """Open the saved predictions of each run, sorted independently of the order in `runs`.

    Raises UserError for a run that was not tested or not fully trained, for two runs with equal weights, and for runs
    tested on different classes, images or views.
    """
    if not runs:
        raise UserError("ensemble.members is required: pass 'ensemble.members=[RUN,RUN]', or groups to train")
    readers = [PredictionFile(find_predictions(run, split, views)) for run in runs]
    for reader in readers[1:]:
        check_comparable(readers[0], reader)
    for run, reader in zip(runs, readers, strict=True):
        check_finished(run, reader.test)
    hashes = [reader.test.checkpoint.network for reader in readers]
    for run, network in zip(runs, hashes, strict=True):
        if hashes.count(network) > 1:
            raise UserError(
                f"ensemble: {run} is listed twice, or has the same weights as another member; members must differ"
            )
    return sorted(readers, key=lambda reader: reader.test.checkpoint.sha256)


def check_finished(run: Path, test: TestDescription) -> None:
    """Raise UserError, saying why, unless the tested network is the last of a finished fit."""
    if test.finished:
        return
    if test.imported:
        raise UserError(f"ensemble: {run} was imported from {test.imported.file}; members must be trained here")
    status = read_fit_status(run)
    if status and status.finished:
        raise UserError(
            f"ensemble: {run} was not tested with the last checkpoint of its fit; test it again with ckpt_path=last"
        )
    raise UserError(f"ensemble: {run} was tested before its training finished; resume the fit, then test again")


def find_predictions(run: Path, split: str | None, views: str) -> Path:
    """probabilities.parquet of a run's test. Raises UserError if there is none, or several and `split` is None."""
    paths = {tested: path for tested in tested_splits(run, split) if (path := predictions_path(run, tested, views))}
    if len(paths) == 1:
        return next(iter(paths.values()))
    if not run.is_dir():
        raise UserError(f"ensemble: {run}: no such run folder")
    if not paths:
        condition = f"{'on ' + split + ' ' if split else ''}with {describe_views(views)}"
        how = f"python -m alexnet_pl test {shlex.quote(str(run))}"
        raise UserError(f"ensemble: {run} has not been tested {condition}: {how}")
    raise UserError(f"ensemble: {run} was tested on {', '.join(paths)}; choose one with test.split=…")


def tested_splits(run: Path, split: str | None) -> list[str]:
    """Splits that a run was tested on with any views, or only `split` if it is given."""
    if split:
        return [split]
    return sorted({path.name.rpartition("-")[0] for path in run.glob("results/*-*")})


def predictions_path(run: Path, split: str, views: str) -> Path | None:
    path = results_dir(run, split, views) / PROBABILITIES
    return path if path.is_file() else None


def check_comparable(first: PredictionFile, other: PredictionFile) -> None:
    for key in SHARED_FIELDS:
        a, b = getattr(first.test.dataset, key), getattr(other.test.dataset, key)
        if a != b:
            difference = f"{key} {str(b)[:12]}, not {str(a)[:12]}"
            raise UserError(f"ensemble: {other.path}: different images or classes than {first.path}: {difference}")
    if first.test.views != other.test.views or first.rows != other.rows:
        a, b = (f"{reader.rows:,} images, views {reader.test.views}" for reader in (first, other))
        raise UserError(f"ensemble: {other.path} has {b}; {first.path} has {a}")


def zip_blocks(readers: Sequence[PredictionFile]) -> Iterator[list[Block]]:
    """Iterate over the blocks of all members in parallel. Raises UserError if their images or labels differ."""
    for blocks in zip(*(reader.blocks() for reader in readers), strict=True):
        for reader, block in zip(readers, blocks, strict=True):
            if block.images != blocks[0].images or (block.labels != blocks[0].labels).any():
                raise UserError(f"ensemble: {reader.path}: different images or labels than {readers[0].path}")
        yield list(blocks)
