"""Tables of the specialization of the two GPUs' kernels (§7.1, Figure 3)."""

from alexnet_pl.paper.specialization import Specialization
from alexnet_pl.reporting.proxy_tables import format_p_value
from alexnet_pl.reporting.tables import tables_by_dataset
from alexnet_pl.table import Table

HEAD = ["network", "runs", "one GPU's color share", "the other's", "difference", "by chance", "p value"]
NOTES = (
    "Color share: part of the squared length of a GPU's first-layer kernels that is not gray, from 0 to 1. The paper "
    "allows a renumbering of the GPUs, so the GPU with the smaller share comes first in each run. By chance: the "
    "difference if the kernels were divided over the GPUs at random.",
    "p is for kernels divided at random, in all runs of a line together. It is not adjusted for the number of lines: "
    "the paper's claim is about its own network, CNN, and among many other lines a small p can be chance.",
)


def specialization_tables(measured: list[Specialization]) -> list[Table]:
    """One table for each proxy data set; [] if no run's kernels are known."""
    return tables_by_dataset("Specialization of the two GPUs (§7.1, Figure 3)", HEAD, measured, cells, NOTES)


def cells(measured: Specialization) -> list[str]:
    low, high = measured.shares
    values = (low, high, high - low, measured.by_chance)
    return [measured.label, str(len(measured.runs)), *(f"{value:.2f}" for value in values), format_p_value(measured.p)]
