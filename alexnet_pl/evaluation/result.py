"""result.json: error rates with intervals, the images they were measured on, and the weights (§7)."""

import json
import math
from pathlib import Path
from typing import Any

from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import wilson
from alexnet_pl.files import write_json
from alexnet_pl.runs.checkpoint import about_checkpoint
from alexnet_pl.runs.provenance import git


def describe_errors(errors: dict[str, float]) -> dict[str, Any]:
    """Errors in percent and their 95 % intervals from the exact counts of `Errors`."""
    count = int(errors["count"])
    found: dict[str, Any] = {"images": count}
    for name in ("top1_error", "top5_error"):
        found[name] = errors[name]
        found[f"{name}_interval"] = wilson(round(errors[name] * count / 100), count)
    nll = errors["nll"] if math.isfinite(errors["nll"]) else None
    return {**found, "nll": nll, "nonfinite": int(errors["nonfinite"])}


def write_result(path: Path, errors: dict[str, float], step: int = 0, **facts: Any) -> dict[str, Any]:
    """Write `errors` and `facts` (data set with its split and that split's number of images, views, checkpoint and its
    training step, and what else was noted of the test); return what was written.

    `claim`: the row of the paper that this is a measurement of, by settings and images (paper.py), or null.
    """
    given = facts.pop("checkpoint")
    checkpoint = given if isinstance(given, dict) else about_checkpoint(Path(given), step)
    result = {
        "schema": SCHEMA,
        "claim": None,
        **facts,
        **describe_errors(errors),
        "checkpoint": checkpoint,
        "commit": git("rev-parse", "HEAD"),
    }
    write_json(path, result)
    return result


def read_result(path: Path) -> dict[str, Any]:
    """A result.json of ours. Raises UserError that names what is missing."""
    try:
        found = migrate_record(json.loads(path.read_text()))
        lacking = [key for key in ("dataset", "views", "images", "top1_error", "checkpoint") if key not in found]
        if lacking or "sha256" not in found["checkpoint"]:
            raise KeyError(", ".join(lacking) or "checkpoint.sha256")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a result of ours, or damaged ({error}); test again") from error
    return found


def load_result(folder: str | Path) -> dict[str, Any]:
    """`result.json` of a run folder (its newest test) or of one of its `results/`. Raises UserError where none is."""
    return read_result(Path(folder) / "result.json")
