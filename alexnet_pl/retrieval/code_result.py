"""codes.json: how well binary codes find the neighbours of float vectors (§7.1)."""

from dataclasses import dataclass
from pathlib import Path

from alexnet_pl.files import Count, JsonObject, NonNegative, Percent, read_record
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork:
    """The network whose features are compressed. `epochs`: trained when they were made, of `epochs_wanted`;
    `val_top1_error`: its error then, None where its log does not have it."""

    checkpoint: CheckpointInfo
    epochs: NonNegative | None = None
    epochs_wanted: Count | None = None
    finished: bool = False
    val_top1_error: Percent | None = None


@dataclass(frozen=True, kw_only=True)
class CodesInfo:
    """The auto-encoder: its options, its checkpoint, and whether its fit was finished."""

    layer: str
    bits: Count
    hidden: list[int]
    binary: str
    noise: float
    checkpoint: CheckpointInfo
    finished: bool


@dataclass(frozen=True, kw_only=True)
class SearchMachine:
    """`cpus`: cores; `threads`: of the search; `load`: load average, programs that wanted to run meanwhile."""

    cpus: Count | None = None
    threads: Count
    load: NonNegative


@dataclass(frozen=True, kw_only=True)
class CodesResult:
    """codes.json. `rows`: a method each, as `measure_recall` returns them; `queries`: images that were looked up."""

    dataset: DatasetInfo
    network: FeatureNetwork
    codes: CodesInfo
    queries: Count
    seed: Count
    machine: SearchMachine
    rows: list[JsonObject]
    commit: str | None = None


def read_codes_result(path: Path) -> CodesResult:
    """Raises UserError naming the file and the field."""
    return read_record(path, CodesResult, "test again")
