"""codes.json: how well binary codes find the neighbours of float vectors (§7.1)."""

from dataclasses import dataclass
from pathlib import Path

from alexnet_pl.files import Count, JsonObject, NonNegative, Percent, read_record
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork:
    """Network whose features are compressed. `epochs`: number of epochs its checkpoint was trained for, out of
    `epochs_wanted`; `val_top1_error`: its validation error, None if it was not logged."""

    checkpoint: CheckpointInfo
    epochs: NonNegative | None = None
    epochs_wanted: Count | None = None
    finished: bool = False
    val_top1_error: Percent | None = None


@dataclass(frozen=True, kw_only=True)
class CodesInfo:
    """Auto-encoder: its options, its checkpoint, and whether its fit finished."""

    layer: str
    bits: Count
    hidden: list[int]
    binary: str
    noise: float
    neighbors: NonNegative = 0.0
    checkpoint: CheckpointInfo
    finished: bool


@dataclass(frozen=True, kw_only=True)
class SearchMachine:
    """`cpus`: number of cores; `threads`: threads of the search; `load`: load average over the last minute."""

    cpus: Count | None = None
    threads: Count
    load: NonNegative


@dataclass(frozen=True, kw_only=True)
class CodesResult:
    """Record in codes.json. `rows`: one per method, from `measure_recall`; `queries`: number of query images."""

    dataset: DatasetInfo
    network: FeatureNetwork
    codes: CodesInfo
    queries: Count
    seed: Count
    machine: SearchMachine
    rows: list[JsonObject]
    commit: str | None = None


def read_codes_result(path: Path) -> CodesResult:
    """Read codes.json. Raises UserError, naming the file and the field, if it is invalid."""
    return read_record(path, CodesResult, "test again")
