"""result.json: what was measured, on which images, with which weights (§7's error rates with their uncertainty)."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from alexnet_pl.provenance import git


def wilson(wrong: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of an error rate in percent, by Wilson's score: `wrong` of `count` images.

    centre (p + z²/2n) / (1 + z²/n),  half-width z · √(p(1 − p)/n + z²/4n²) / (1 + z²/n)
    """
    p, shrink = wrong / count, 1 + z**2 / count
    centre = (p + z**2 / (2 * count)) / shrink
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2)) / shrink
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


def describe(errors: dict[str, float]) -> dict[str, Any]:
    """Errors in percent and their 95 % intervals from the exact counts of `Errors`."""
    count = int(errors["count"])
    found: dict[str, Any] = {"images": count}
    for name in ("top1_error", "top5_error"):
        found[name] = errors[name]
        found[f"{name}_interval"] = wilson(round(errors[name] * count / 100), count)
    nll = errors["nll"] if math.isfinite(errors["nll"]) else None
    return {**found, "nll": nll, "nonfinite": int(errors["nonfinite"])}


def write_result(path: Path, errors: dict[str, float], step: int = 0, **facts: Any) -> dict[str, Any]:
    """Write `errors`, the training step of the checkpoint, and `facts` (data set with its split and that split's number
    of images, views, checkpoint); return what was written."""
    checkpoint = Path(facts.pop("checkpoint"))
    result = {
        **facts,
        **describe(errors),
        "checkpoint": {"file": checkpoint.name, "sha256": sha256(checkpoint), "step": step},
        "commit": git("rev-parse", "HEAD"),
        "claim": None,
    }
    path.write_text(json.dumps(result, indent=1) + "\n")
    return result


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
