"""Effect of each difference between the paper's text and the authors' program (docs/deviations.md), on any images.

A deviation sets one setting to the printed text's value; all others keep the program's values. Its networks are
compared with the program's on the same images; all other settings are equal. What the text's rule of learning rates
changes depends on the schedule: the program's biases keep their rates at given epochs (`steps`, `logged`), and conv1 is
frozen at the end of `plateau` and `logged`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any

from alexnet_pl.config import recipes
from alexnet_pl.config.identity import ADDED, Settings, training_signature
from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.config.overrides import format_override
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Difference
from alexnet_pl.paper.comparing import (
    adjust_p_values,
    compare_errors,
    compared_metrics,
    has_trained,
    measure_spreads,
)
from alexnet_pl.paper.distinguishing import distinguish_groups, name_group
from alexnet_pl.paper.results import TestRun
from alexnet_pl.paper.variants import PROXY_KEYS, VARIED_SCHEDULE_KEYS

Flat = dict[str, object]
"""Training settings by dotted key."""

AS_PRINTED = "variant=as_printed"
LABELS = {
    "model.relu_after_pool1": "order in layer 1: ReLU, norm, pool",
    "model.norm_per_tower": "norms sum across both GPUs' maps",
    "model.alpha_over_n": "α of a norm not divided by n",
    "model.spatial_norm": "no third norm",
    "model.wide_init": "σ 0.01 in every layer",
    "augment.noise_scale": "color noise by the eigenvalue",
    "augment.rescale": "no division by 1.1 after the noise",
    "augment.mean": "mean of each pixel",
    "augment.include_last_offset": "32 × 32 crop offsets",
    "optim.bias_lr_scale": "biases start at the weights' learning rate",
    "optim.decay_biases": "weight decay of biases",
    "schedule.biases": "learning rate of biases divided with the weights'",
    "schedule.freeze_conv1": "conv1 trained, with color noise, to the end",
}
PROGRAM_ONLY = (  # settings of the program that are not our defaults
    ("augment.images_per_crop", "one crop for 32 images (the program's)", 32),
    ("data.shuffle", "the same minibatches in every epoch (the program's)", "once"),
)
OTHER_LABELS = {  # variants of the paper without a row of their own
    "model.activation=tanh": "tanh neurons",
    "model.conv6=true": "sixth convolutional layer",
    "model.unit_biases=[]": "all biases 0 at the start",
}

LABELED = ("model.", "augment.", "optim.", "data.shuffle", *(f"schedule.{key}" for key in VARIED_SCHEDULE_KEYS))
FREE = (*PROXY_KEYS, "optim.lr")  # may differ between the networks on a proxy and the paper's


@dataclass(frozen=True)
class Deviation:
    """Settings that differ from the authors' program. `changes`: key of a training signature → value. `key`: the config
    key of a single change, else the whole override."""

    key: str
    label: str
    changes: Mapping[str, Any]

    @property
    def override(self) -> str:
        """The changes as words of a command line."""
        if "=" in self.key:
            return self.key
        (value,) = self.changes.values()
        return format_override(self.key, value)


class Direction(StrEnum):
    HIGHER = "higher error than the program's"
    LOWER = "lower error than the program's"
    NONE = "no significant difference"
    UNTRAINED = "did not train"


@dataclass(frozen=True)
class DeviationEffect:
    """How much worse networks with a deviation are than the program's, in percentage points.

    `ours`: metric → difference. `proxy`: name of the data set; `distinction`: what distinguishes the networks from
    others on it (`distinguish_groups`). `trained`: whether both networks reached at most half the chance error.
    `p`: p value of equal top-1 errors, adjusted for the number of deviations compared (Holm). `schedule`: the networks'
    `schedule.name`.
    """

    deviation: Deviation
    proxy: str
    ours: dict[str, Difference] = field(default_factory=dict)
    p: float = float("nan")
    distinction: str = ""
    trained: bool = True
    schedule: str = "plateau"

    @property
    def dataset(self) -> str:
        return name_group(self.proxy, self.distinction)

    @property
    def direction(self) -> Direction:
        """Direction of the top-1 difference, if the networks were trained and it is significant."""
        if not self.trained:
            return Direction.UNTRAINED
        if not intervals.is_significant(self.p):
            return Direction.NONE
        return Direction.HIGHER if self.ours["top1_error"].mean > 0 else Direction.LOWER

    @property
    def verdict(self) -> str:
        """The direction, in words for the tables."""
        return f"{self.direction}{', by one run' if self.ours['top1_error'].runs == 1 else ''}"


@cache
def deviations(schedule: str) -> tuple[Deviation, ...]:
    """Each key in which the variants of the main recipe differ with `schedule.name`, alone; the program's crop for 32
    images and its fixed minibatches, from which our defaults differ; all keys of the text together."""
    program, printed = (flat_settings(variant, schedule) for variant in ("as_run", "as_printed"))
    changed = {key: value for key, value in printed.items() if value != program.get(key)}
    alone = [
        Deviation(key.replace("schedule.", f"schedule.{schedule}."), label, {key: changed[key]})
        for key, label in LABELS.items()
        if key in changed
    ]
    program_only = [Deviation(key, label, {key: value}) for key, label, value in PROGRAM_ONLY]
    return (*alone, *program_only, Deviation(AS_PRINTED, "all of the text's values at once", changed))


def label_changes(test: TestRun) -> str | None:
    """Label of the deviation that a network has; for one or two other changed settings, their labels or overrides; None
    for more changes."""
    settings = flatten(test.networks[0].training or {})
    schedule = str(settings["schedule.name"])
    program = flat_settings("as_run", schedule)
    names = {name for name in {*program, *flatten(ADDED)} if name.startswith(LABELED) and name not in FREE}
    changes = {name: settings[name] for name in sorted(names & settings.keys()) if settings[name] != program.get(name)}
    if label := next((one.label for one in deviations(schedule) if dict(one.changes) == changes), None):
        return label
    overrides = [format_override(*change) for change in changes.items()]
    return ", ".join(OTHER_LABELS.get(one, one) for one in overrides) if len(overrides) in (1, 2) else None


@cache
def flat_settings(variant: str, schedule: str) -> Flat:
    """Training settings of the main recipe in a variant with another `schedule.name`, by dotted key."""
    words = [f"variant={variant}", f"schedule.name={schedule}"]
    return flatten(training_signature(recipes.compose("ilsvrc2012", words)))


def flatten(settings: Settings) -> Flat:
    return dict(dotted_leaves(settings))


def measure_deviations(tests: Sequence[TestRun]) -> list[DeviationEffect]:
    """Effects of all deviations that were tested along with the program's network on the same images, those of the
    training settings with most deviations first."""
    groups = group_by_settings(tests)
    bases = [key for key in groups if has_program_settings(key)]
    compared = {key: effects for key in bases if (effects := list(measure_effects(groups, key)))}
    names = distinguish_groups([groups[key] for key in compared])
    adjusted = [
        [replace(effect, distinction=name) for effect in adjust_p_values(effects)]
        for name, effects in zip(names, compared.values(), strict=True)
    ]
    return [effect for effects in sorted(adjusted, key=len, reverse=True) for effect in effects]


@dataclass(frozen=True)
class SettingsKey:
    """Settings by which tests count as repetitions: images, views and the training settings as JSON."""

    dataset: str
    fingerprint: str
    split: str
    views: str
    settings: str

    @property
    def schedule(self) -> str:
        """`schedule.name`."""
        return json.loads(self.settings)["schedule.name"]

    def with_changes(self, changes: Mapping[str, Any]) -> "SettingsKey":
        return replace(self, settings=as_json({**json.loads(self.settings), **changes}))


def as_json(settings: Flat) -> str:
    return json.dumps(settings, sort_keys=True)


def group_by_settings(tests: Sequence[TestRun]) -> dict[SettingsKey, list[TestRun]]:
    """Tests to compare, by settings: complete tests of single networks without pre-training."""
    groups: dict[SettingsKey, list[TestRun]] = {}
    for test in tests:
        if test.is_complete and len(test.networks) == 1 and not test.networks[0].lineage:
            dataset, settings = test.result.dataset, flatten(test.networks[0].training or {})
            key = SettingsKey(dataset.name, dataset.fingerprint, dataset.split, test.result.views, as_json(settings))
            groups.setdefault(key, []).append(test)
    return groups


def has_program_settings(key: SettingsKey) -> bool:
    """Whether all settings that deviations change have the program's values."""
    program, settings = flat_settings("as_run", key.schedule), json.loads(key.settings)
    return all(settings.get(name) == program.get(name) for one in deviations(key.schedule) for name in one.changes)


def measure_effects(groups: Mapping[SettingsKey, list[TestRun]], program: SettingsKey) -> Iterator[DeviationEffect]:
    listed = deviations(program.schedule)
    found = [(deviation, groups.get(program.with_changes(deviation.changes), [])) for deviation in listed]
    spreads = measure_spreads([groups[program], *(tests for _, tests in found)])
    metrics, program_trained = compared_metrics(groups[program]), has_trained(groups[program])
    for deviation, changed in found:
        differences = {metric: compare_errors(changed, groups[program], metric, spreads) for metric in metrics}
        if measured := {metric: one for metric, one in differences.items() if one}:
            trained = program_trained and has_trained(changed)
            yield DeviationEffect(deviation, program.dataset, measured, trained=trained, schedule=program.schedule)
