"""§7.1 and Figure 3: whether one GPU's kernels become gray and the other's colored, "during every run".

Networks on proxies are grouped by variant, so that one can see which parts of the network the effect needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alexnet_pl.models.color_selectivity import KernelColors, p_value_of_splits, split_runs
from alexnet_pl.paper.comparing import has_trained
from alexnet_pl.paper.distinguishing import distinguish_groups, name_group
from alexnet_pl.paper.results import TestRun, drop_repetitions
from alexnet_pl.paper.variant_labels import label_variant, rate_label, usual_rates


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
    usual = {key: usual_rates(group) for key, group in compared.items()}
    measured = [
        measure_variant(label_variant(group[0]) + rate_label(group, usual[key]), group, names[key])
        for group in groups
        for key in [group[0].comparison_group]
    ]
    return sorted(measured, key=lambda one: one.dataset)


def measure_variant(label: str, group: Sequence[TestRun], distinction: str) -> Specialization:
    runs = [colors for test in group if (colors := test.kernel_colors)]
    splits = split_runs(runs)
    by_chance, p = float(splits[:, 1:].mean()), p_value_of_splits(splits)
    return Specialization(label, name_group(group[0].result.dataset.name, distinction), runs, by_chance, p)


def group_by_network(tests: Sequence[TestRun]) -> dict[tuple[object, ...], list[TestRun]]:
    """Tests of independently trained networks with two towers and known kernels, by settings.

    A run counts once, by its test on the images of its fit with ten views if there is one: tests on other images have
    the same kernels.
    """
    by_run: dict[str, TestRun] = {}
    for test in sorted(tests, key=lambda test: (not test.on_store_of_fit, test.result.views != "ten")):
        if not test.claim and test.is_complete and test.kernel_colors and test.kernel_colors.towers == 2:
            by_run.setdefault(str(test.run), test)
    groups: dict[tuple[object, ...], list[TestRun]] = {}
    for test in drop_repetitions(by_run.values()):
        _, *network = test.variant
        groups.setdefault((test.comparison_group, test.learning_rates, *network), []).append(test)
    return groups
