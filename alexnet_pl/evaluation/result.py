"""result.json: error rates with intervals, the images they were measured on, and the weights (§7)."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.evaluation.intervals import wilson
from alexnet_pl.files import Count, NonNegative, Percent, read_record, write_json
from alexnet_pl.runs.provenance import git


@dataclass
class DatasetInfo:
    """`dataset` of a result: the tested images. `images`: of the whole split; `train_images`: trained on."""

    name: str | None = None
    fingerprint: str | None = None
    split: str | None = None
    images: Count | None = None
    train_images: Count | None = None
    classes: Count | None = None


@dataclass
class CheckpointInfo:
    sha256: str  # of the file
    weights: str | None = None  # of the tensors in it
    file: str | None = None
    step: Count | None = None


@dataclass
class TestResult:
    """result.json and validation.json. Errors in percent, intervals of 95 %; `images` counts those tested."""

    __test__ = False  # not a test, whatever pytest makes of the name

    dataset: DatasetInfo
    views: str
    images: Count
    top1_error: Percent
    checkpoint: CheckpointInfo
    schema: Annotated[int, (1, SCHEMA)] = 1  # absent in files written before there was a number
    top5_error: Percent | None = None
    top1_error_interval: list[Percent] | None = None
    top5_error_interval: list[Percent] | None = None
    nll: NonNegative | None = None
    nonfinite: Count | None = None
    seed: Count | None = None
    claim: str | None = None
    commit: str | None = None
    training: dict[str, Any] | None = None


def describe_errors(errors: dict[str, float]) -> dict[str, Any]:
    """Errors in percent and their 95 % intervals from the exact counts of `Errors`."""
    count = int(errors["count"])
    found: dict[str, Any] = {"images": count}
    for name in ("top1_error", "top5_error"):
        found[name] = errors[name]
        found[f"{name}_interval"] = wilson(round(errors[name] * count / 100), count)
    nll = errors["nll"] if math.isfinite(errors["nll"]) else None
    return {**found, "nll": nll, "nonfinite": int(errors["nonfinite"])}


def write_result(path: Path, errors: dict[str, float], **facts: Any) -> dict[str, Any]:
    """Write `errors` and `facts` (dataset, views, checkpoint, and whatever else was noted of the test); return what was
    written.

    `claim`: the row of the paper that this is a measurement of, by settings and images (paper.py), or null.
    """
    result = {
        "schema": SCHEMA,
        "claim": None,
        **facts,
        **describe_errors(errors),
        "commit": git("rev-parse", "HEAD"),
    }
    write_json(path, result)
    return result


def read_result(path: Path) -> dict[str, Any]:
    """A checked result.json, in the format of `SCHEMA`. Raises UserError naming the file and the field."""
    return migrate_record(read_record(path, TestResult, "test again"))


def load_result(folder: str | Path) -> dict[str, Any]:
    """`result.json` of a run folder (its newest test) or of one of its `results/`. Raises UserError where none is."""
    return read_result(Path(folder) / "result.json")
