"""result.json: error rates with intervals, the data set they were measured on, and the weights (§7)."""

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.intervals import wilson_interval
from alexnet_pl.json_records import Count, JsonObject, NonNegative, Percent, read_record, to_json, write_json
from alexnet_pl.runs.checkpoint import describe_checkpoint, read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import read_lineage, read_seed
from alexnet_pl.runs.fit_status import FitStatus, finished_fit, read_fit_status
from alexnet_pl.runs.layout import RESULT
from alexnet_pl.runs.provenance import current_commit
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo, ImportedWeights, LineageStage, Schema


@dataclass(frozen=True, kw_only=True)
class FitSummary:
    """How a fit ended, from fit.json; every field is None for an unfinished fit. `joules`: counter → energy, empty if
    not measured."""

    steps: Count | None = None
    epochs: Count | None = None
    images: Count | None = None
    seconds: NonNegative | None = None
    joules: dict[str, NonNegative] = field(default_factory=dict)
    ended_by: str | None = None
    store: DatasetInfo = field(default_factory=DatasetInfo)


@dataclass(frozen=True, kw_only=True)
class TestedNetwork:
    """A trained network. `training`: its settings, None unless the fit finished without a change of settings;
    `lineage`: earlier runs whose layers it started from, oldest first; `imported`: file of another program that the
    weights are from (such a network reproduces no claim); `claim`: key of the claim that its test reproduces, or
    None."""

    __test__ = False  # not a test class of pytest

    checkpoint: CheckpointInfo
    seed: Count | None = None
    training: Settings | None = None
    trained: FitSummary = field(default_factory=FitSummary)
    lineage: list[LineageStage] = field(default_factory=list)
    imported: ImportedWeights | None = None
    claim: str | None = None


@dataclass(frozen=True, kw_only=True)
class EnsembleMember(TestedNetwork):
    """`run`: the member's run folder at the time of averaging; `weight`: its share of the average."""

    run: str = ""
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TestDescription(TestedNetwork):
    """What a test measured: the data set, the views, and the network or the `members` of an ensemble."""

    schema: Schema = 1  # absent in files of the first format
    dataset: DatasetInfo
    views: str
    finished: bool = False
    members: list[EnsembleMember] = field(default_factory=list)
    weights_tuned_on: str | None = None

    @property
    def networks(self) -> list[EnsembleMember] | list["TestDescription"]:
        """Members of an ensemble, or the network itself."""
        return self.members or [self]


@dataclass(frozen=True, kw_only=True)
class TestResult(TestDescription):
    """result.json and validation.json. `images`: number tested; errors in percent with 95 % intervals; `nll` in nats
    per image; `nonfinite`: images with scores that were not finite."""

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


def describe_weights(path: Path) -> JsonObject:
    """Fields of a result that describe the tested weights, from their checkpoint and the fit.json of its run."""
    content = read_checkpoint(path)
    metadata, fit = content["alexnet_pl"], finished_fit(path, content)
    return {
        "checkpoint": describe_checkpoint(path),
        "seed": read_seed(metadata),
        "finished": fit is not None,
        "training": fit.training if fit and not fit.changed else None,
        "trained": summarize_fit(fit) if fit else FitSummary(),
        "lineage": read_lineage(metadata),
    }


def summarize_fit(fit: FitStatus) -> FitSummary:
    return FitSummary(**{field.name: getattr(fit, field.name) for field in fields(FitSummary)})


def has_top5(classes: int) -> bool:
    """Whether a top-5 error among `classes` classes is worth printing: among five or fewer it is 0 by definition.

    0 classes: not known, as in older records.
    """
    return not 0 < classes <= 5


def fit_has_top5(run: Path) -> bool:
    """`has_top5` for the classes of a run folder's fit."""
    fit = read_fit_status(run)
    return not fit or has_top5(fit.store.classes)


def append_top5(classes: int, error: float) -> str:
    """ ", top-5 error 12.30 %", to append to a top-1 error; "" without `has_top5`."""
    return f", top-5 error {error:.2f} %" if has_top5(classes) else ""


def printed_errors(result: TestResult) -> dict[str, tuple[float, list[Percent]]]:
    """`top-1` and `top-5` → (error, interval), those that are known and worth printing."""
    found = {"top-1": (result.top1_error, result.top1_error_interval)}
    if has_top5(result.dataset.classes) and math.isfinite(result.top5_error):
        found["top-5"] = (result.top5_error, result.top5_error_interval)
    return found


def describe_errors(errors: Mapping[str, float]) -> JsonObject:
    """Fields of `TestResult` from the errors of `ErrorRates`, which are in float32: errors, exactly as the numbers of
    wrong images give them, and their 95 % intervals."""
    count = int(errors["count"])
    nll = errors["nll"] if math.isfinite(errors["nll"]) else None
    described: JsonObject = {"images": count, "nll": nll, "nonfinite": int(errors["nonfinite"])}
    for name in ("top1_error", "top5_error"):
        wrong = round(errors[name] * count / 100)
        described[name] = 100 * wrong / count
        described[f"{name}_interval"] = list(wilson_interval(wrong, count))
    return described


def write_result(path: Path, errors: Mapping[str, float], tested: TestDescription) -> TestResult:
    """Write result.json from a test's errors and description; returns the record."""
    result = make_result(errors, tested)
    write_json(path, to_json(result))
    return result


def make_result(errors: Mapping[str, float], tested: TestDescription) -> TestResult:
    """The record of result.json from a test's errors and description."""
    description = {**vars(tested), "schema": SCHEMA, "commit": current_commit()}
    return TestResult(**description, **describe_errors(errors))


def read_result(path: Path) -> TestResult:
    """Read a result.json of any schema version. Raises UserError, naming the file and the field, if it is invalid."""
    return read_record(path, TestResult, "test again", migrate_record)


def describe_outdated(run: Path, result: TestResult) -> str:
    """How to test again a run that was trained on after a test; "" if it was not, or if that is not known."""
    fit, steps = read_fit_status(run), result.trained.steps
    if fit is None or steps is None or fit.steps == steps:
        return ""
    step = result.checkpoint.step
    again = f"python -m alexnet_pl test {shlex.quote(str(run))}"
    return f"the test is of step {step:,}, before the last training; {again} tests again"


def load_result(folder: str | Path) -> JsonObject:
    """Load `result.json` of a run folder (the newest test) or of a folder in its `results/`, as a dictionary.

    It is validated and converted to the current format. Raises UserError if there is none.
    """
    path = Path(folder) / RESULT
    if not path.is_file():
        raise UserError(f"{path}: does not exist; `test` writes it")
    return to_json(read_result(path))


def network_key(network: TestedNetwork) -> str:
    """Identity of a network as text: settings, lineage and seed, or its weights where the seed is unknown.

    Two networks with equal keys are not independent.
    """
    stages = [stage.training for stage in network.lineage]
    identity = [network.checkpoint.network if network.seed is None else network.seed, network.training, stages]
    return json.dumps(identity, sort_keys=True)


def are_independent(networks: Iterable[TestedNetwork]) -> bool:
    """Whether no two networks have the same weights, or the same settings and seed."""
    tested = list(networks)
    weights = {one.checkpoint.network for one in tested}
    return len(weights) == len({network_key(one) for one in tested}) == len(tested)
