"""Summary of a sweep, printed after its last job: the values that differ between jobs, the objective, the folder."""

import math
import os
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.console import suggest


class SweepJob(NamedTuple):
    """Job that has ended: its command, overrides, name and value of the objective, and run folder."""

    command: str
    values: dict[str, str]
    objective: str
    value: float | None
    folder: Path
    failed: bool = False


finished: list[SweepJob] = []  # jobs of this process; other launchers than Hydra's basic one use other processes


def add_job(
    command: str, words: list[str], objective: str, value: float | None, folder: Path, failed: bool = False
) -> None:
    pairs = [word.lstrip("+").partition("=") for word in words]
    finished.append(SweepJob(command, {key: text for key, _, text in pairs}, objective, value, folder, failed))


def rank(job: SweepJob) -> float:
    """Place of a job in the table: by its objective, without a finite one last."""
    return job.value if job.value is not None and math.isfinite(job.value) else math.inf


def print_summary(jobs: list[SweepJob]) -> None:
    """Print a table of two or more fits, the best first and the failed ones last, and the next command for the best.

    The values of other commands are not the objective.
    """
    fits = [job for job in jobs if job.command == "fit"]
    measured = sorted((job for job in fits if job.value is not None), key=rank)
    failed = [job for job in fits if job.failed]
    if not measured or len(measured) + len(failed) < 2:
        return
    from alexnet_pl.table import Table, print_tables  # not at the top, since `--help` needs no tables

    listed = [*measured, *failed]
    first, root = measured[0], os.path.commonpath([job.folder for job in listed])
    swept = [key for key in first.values if len({job.values.get(key) for job in jobs}) > 1]
    rows = [
        [*(job.values.get(key, "") for key in swept), describe_value(job), os.path.relpath(job.folder, root)]
        for job in listed
    ]
    title = f"{len(measured)} jobs in {os.path.relpath(root)}, best first{f'; {len(failed)} failed' if failed else ''}"
    print_tables([Table(title, [*swept, first.objective, "folder"], rows)])
    suggest(f"test {os.path.relpath(first.folder)}")


def describe_value(job: SweepJob) -> str:
    return "failed" if job.value is None else f"{job.value:.2f}"
