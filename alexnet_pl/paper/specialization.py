"""§7.1 and Figure 3: whether one GPU's kernels become gray and the other's colored, "during every run".

Networks on proxies are grouped by variant, so that one can see which parts of the network the effect needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alexnet_pl.models.color_selectivity import KernelColors, p_value_of_splits, split_runs
from alexnet_pl.paper.distinguishing import distinguish_groups, name_group
from alexnet_pl.paper.proxies import has_trained, label_variant
from alexnet_pl.paper.results import TestRun


@dataclass(frozen=True)
class Specialization:
    """Color shares in the runs of one variant. `by_chance`: mean difference of the shares if each run's kernels are
    divided at random; `p`: p value of that, of this variant by itself."""

    label: str
    dataset: str
    runs: list[KernelColors]
    by_chance: float
    p: float

    @property
    def shares(self) -> tuple[float, float]:
        """Mean over runs of the smaller and the larger share of the two GPUs, which may be renumbered in any run."""
        low, high = np.mean([sorted(colors.gpus) for colors in self.runs], axis=0)
        return float(low), float(high)


def measure_specialization(tests: Sequence[TestRun]) -> list[Specialization]:
    """Specialization in each variant on a proxy that has two towers and reached half the chance error."""
    groups = [group for group in group_by_network(tests).values() if has_trained(group)]
    compared: dict[str, list[TestRun]] = {}
    for group in groups:
        compared.setdefault(group[0].comparison_group, []).extend(group)
    names = dict(zip(compared, distinguish_groups(list(compared.values())), strict=True))
    measured = [measure_variant(group, names[group[0].comparison_group]) for group in groups]
    return sorted(measured, key=lambda one: one.dataset)


def measure_variant(group: Sequence[TestRun], distinction: str) -> Specialization:
    runs = [colors for test in group if (colors := test.kernel_colors)]
    splits = split_runs(runs)
    by_chance, p = float(splits[:, 1:].mean()), p_value_of_splits(splits)
    dataset = name_group(group[0].result.dataset.name, distinction)
    return Specialization(label_variant(group[0]), dataset, runs, by_chance, p)


def group_by_network(tests: Sequence[TestRun]) -> dict[tuple[object, ...], list[TestRun]]:
    """Tests of networks with two towers and known kernels by settings; one test for each run, with ten views if there
    is one."""
    groups: dict[tuple[object, ...], dict[str, TestRun]] = {}
    for test in sorted(tests, key=lambda test: test.result.views != "ten"):
        if not test.claim and test.is_complete and test.kernel_colors and test.kernel_colors.towers == 2:
            _, *network = test.variant
            groups.setdefault((test.comparison_group, *network), {}).setdefault(str(test.run), test)
    return {key: list(group.values()) for key, group in groups.items()}
