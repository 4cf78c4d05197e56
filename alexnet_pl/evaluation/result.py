"""result.json: error rates with intervals, the images they were measured on, and the weights (§7)."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.evaluation.intervals import wilson
from alexnet_pl.files import Count, JsonObject, NonNegative, Percent, read_record, to_json, write_json
from alexnet_pl.runs.layout import RESULT
from alexnet_pl.runs.provenance import git
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo, ImportedWeights, LineageStage, Schema


@dataclass(frozen=True, kw_only=True)
class FitSummary:
    """How a finished fit ended, from fit.json; all None for one that was not finished. `joules`: energy by counter,
    empty where it was not measured."""

    steps: Count | None = None
    epochs: Count | None = None
    images: Count | None = None
    seconds: NonNegative | None = None
    joules: dict[str, NonNegative] = field(default_factory=dict)
    ended_by: str | None = None
    store: DatasetInfo = field(default_factory=DatasetInfo)


@dataclass(frozen=True, kw_only=True)
class TestedNetwork:
    """`training`: its settings, None unless its fit was finished with the settings it began with; `lineage`: earlier
    runs whose layers it started from, oldest first; `imported`: the file of another program, which answers no row;
    `claim`: the row of the paper that its test answers, or None."""

    __test__ = False  # not a test, whatever pytest makes of the name

    checkpoint: CheckpointInfo
    seed: Count | None = None
    training: Settings | None = None
    trained: FitSummary = field(default_factory=FitSummary)
    lineage: list[LineageStage] = field(default_factory=list)
    imported: ImportedWeights | None = None
    claim: str | None = None


@dataclass(frozen=True, kw_only=True)
class EnsembleMember(TestedNetwork):
    """`run`: its folder when the ensemble was averaged; `weight`: its share of the average."""

    run: str = ""
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TestDescription(TestedNetwork):
    """What was tested: the images, the views, and the network, or the `members` of an ensemble."""

    schema: Schema = 1  # absent in files written before there was a number
    dataset: DatasetInfo
    views: str
    finished: bool = False
    members: list[EnsembleMember] = field(default_factory=list)
    weights_tuned_on: str | None = None

    @property
    def networks(self) -> list[EnsembleMember] | list["TestDescription"]:
        """The members of an ensemble, or the network itself."""
        return self.members or [self]


@dataclass(frozen=True, kw_only=True)
class TestResult(TestDescription):
    """result.json and validation.json. Errors in percent, intervals of 95 %; `images` counts those tested; `nll` in
    nats an image; `nonfinite`: images whose scores were not all finite."""

    images: Count
    top1_error: Percent
    top5_error: Percent = math.nan
    top1_error_interval: list[Percent] = field(default_factory=lambda: [math.nan, math.nan])
    top5_error_interval: list[Percent] = field(default_factory=lambda: [math.nan, math.nan])
    nll: NonNegative | None = None
    nonfinite: Count | None = None
    commit: str | None = None

    def __post_init__(self) -> None:
        for name in ("top1_error_interval", "top5_error_interval"):
            if len(getattr(self, name)) != 2:
                raise ValueError(f"{name}: not two numbers")


def describe_errors(errors: Mapping[str, float]) -> JsonObject:
    """Fields of `TestResult` from the exact counts of `ErrorRates`: errors and their 95 % intervals."""
    count = int(errors["count"])
    found: JsonObject = {"images": count}
    for name in ("top1_error", "top5_error"):
        found[name] = errors[name]
        found[f"{name}_interval"] = list(wilson(round(errors[name] * count / 100), count))
    nll = errors["nll"] if math.isfinite(errors["nll"]) else None
    return {**found, "nll": nll, "nonfinite": int(errors["nonfinite"])}


def write_result(path: Path, errors: Mapping[str, float], tested: TestDescription) -> TestResult:
    """Write the errors of a test and its description; return what was written."""
    described = {**vars(tested), "schema": SCHEMA, "commit": git("rev-parse", "HEAD")}
    result = TestResult(**described, **describe_errors(errors))
    write_json(path, to_json(result))
    return result


def read_result(path: Path) -> TestResult:
    """A result.json of any schema. Raises UserError naming the file and the field."""
    return read_record(path, TestResult, "test again", migrate_record)


def load_result(folder: str | Path) -> dict[str, Any]:
    """`result.json` of a run folder (its newest test) or of one of its `results/`, as a dictionary.

    Checked, and with the keys of today's format whichever version wrote it. Raises UserError where there is none.
    """
    return to_json(read_result(Path(folder) / RESULT))


def network_key(network: TestedNetwork) -> str:
    """What decides a network, its seed included: training it again would give no independent one.

    Where the seed was not noted, the weights stand for it.
    """
    stages = [stage.training for stage in network.lineage]
    decides = [network.checkpoint.network if network.seed is None else network.seed, network.training, stages]
    return json.dumps(decides, sort_keys=True)


def are_independent(networks: Iterable[TestedNetwork]) -> bool:
    """Whether no two networks have the same weights, or the same settings and seed."""
    given = list(networks)
    weights = {one.checkpoint.network for one in given}
    return len(weights) == len({network_key(one) for one in given}) == len(given)
