"""§6, "This initialization accelerates the early stages of learning": errors by epoch, with biases of 1 and of 0."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from alexnet_pl.evaluation.intervals import paired_difference
from alexnet_pl.reporting.proxy_tables import format_points
from alexnet_pl.runs.metrics_log import validations
from pages.markdown import table

NETWORK, ZERO_BIASES = "full/network", "ablations/zero-biases"
HEAD = """
## Early learning with biases of 1 (§6)

"This initialization accelerates the early stages of learning by providing the ReLUs with positive inputs." Validation
top-1 error in percent on tinyimagenet after each epoch, of the full network and of the same network with all biases 0
at the start (`model.unit_biases=[]`), {runs} runs each. The difference is paired by seed, with its 95 % interval
(Student's t) for each epoch by itself.

"""


def early_learning_section(kept: Path) -> str:
    """Table of all epochs; "" for fewer than two seeds with both networks."""
    ones, zeros = (seed_errors(kept / part) for part in (NETWORK, ZERO_BIASES))
    seeds = sorted(ones.keys() & zeros.keys())
    if len(seeds) < 2:
        return ""
    by_epoch = zip(*(zip(*(errors[seed] for seed in seeds), strict=True) for errors in (ones, zeros)), strict=True)
    rows = [epoch_cells(epoch, *errors) for epoch, errors in enumerate(by_epoch, 1)]
    return HEAD.format(runs=len(seeds)) + table(("epoch", "biases 1", "biases 0", "0 minus 1, points"), rows)


def seed_errors(folder: Path) -> Mapping[str, list[float]]:
    """Seed's folder → validation top-1 error after each epoch, in percent."""
    return {run.name: [row["val/top1_error"] for row in validations(run).values()] for run in folder.glob("seed*")}


def epoch_cells(epoch: int, ones: Sequence[float], zeros: Sequence[float]) -> tuple[str, ...]:
    difference = paired_difference([zero - one for one, zero in zip(ones, zeros, strict=True)])
    return f"{epoch}", f"{fmean(ones):.2f}", f"{fmean(zeros):.2f}", format_points(difference)
