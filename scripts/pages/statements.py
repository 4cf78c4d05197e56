"""Lines of docs/results.md on statements of the paper that no row measures, with numbers from kept files."""

import json
from collections.abc import Sequence
from pathlib import Path

from alexnet_pl.evaluation.intervals import paired_difference
from alexnet_pl.reporting.proxy_tables import format_points
from alexnet_pl.retrieval.code_evaluation import FLOAT_PIXELS
from alexnet_pl.retrieval.code_result import CodesResult
from alexnet_pl.runs.layout import METRICS
from alexnet_pl.runs.metric_names import EPOCH_ERROR
from alexnet_pl.runs.metrics_log import read_rows

NETWORK, NO_DECAY = "full/network", "decay/none"
DECAY = (
    '- Weight decay "reduces the model\'s training error" (§6): `optim.weight_decay=0` leaves it out. Training top-1 '
    "error of the last epoch on tinyimagenet without it, in points above the same network's with it: {}.\n"
)
AUGMENTATION = (
    '- The transformed images of §5.1 "are, in effect, computationally free" beside a GPU: here the device that '
    "trains computes them, {share:.1f} % of a step on {device} ({augment:.1f} of {step:.0f} ms; "
    "[benchmarks](benchmarks.md)).\n"
)
PIXELS = '- The images found by fc7 "are generally not close in L2 to the query images" as pixels (§7.1): {}.\n'


def statement_lines(kept: Path, benchmark: Path, codes: Sequence[Sequence[CodesResult]]) -> str:
    return DECAY.format(describe_decay(kept)) + describe_augmentation(benchmark) + PIXELS.format(describe_pixels(codes))


def describe_decay(kept: Path) -> str:
    """Difference paired by seed, with its interval; "not yet measured" for fewer than two pairs."""
    with_decay, without = (training_errors(kept / part) for part in (NETWORK, NO_DECAY))
    seeds = sorted(with_decay.keys() & without.keys())
    if len(seeds) < 2:
        return "not yet measured"
    difference = paired_difference([without[seed] - with_decay[seed] for seed in seeds])
    return f"{format_points(difference)}, {len(seeds)} runs"


def training_errors(folder: Path) -> dict[str, float]:
    """Seed's folder → top-1 error on the training images in the last epoch, in percent."""
    logs = {run.name: read_rows(run / METRICS) for run in folder.glob("seed*")}
    return {name: [row[EPOCH_ERROR] for row in rows if EPOCH_ERROR in row][-1] for name, rows in logs.items()}


def describe_augmentation(benchmark: Path) -> str:
    stages = json.loads(benchmark.read_text(encoding="utf-8"))["stages"]
    parts = {name: stages["milliseconds"][name] for name in ("augment", "forward", "backward", "update")}
    step, device = sum(parts.values()), stages["device"]
    where = "a CPU" if device == "CPU" else device
    return AUGMENTATION.format(share=100 * parts["augment"] / step, device=where, augment=parts["augment"], step=step)


def describe_pixels(codes: Sequence[Sequence[CodesResult]]) -> str:
    """Share of fc7's nearest images that are also nearest by raw pixels."""
    rows = [row for tests in codes for test in tests for row in test.rows if row["method"] == FLOAT_PIXELS]
    if not rows:
        return "not yet measured"
    recall = rows[0]["recall_6"]["mean"]
    return f"by raw pixels, {recall:.1f} % of the six nearest are the same ([short codes](codes.md))"
