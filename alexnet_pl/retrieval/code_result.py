"""codes.json: how well binary codes find the neighbors of float vectors (§7.1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_pl.config.identity import Settings
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import Count, JsonObject, NonNegative, Percent, parse_record, read_record
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

NEIGHBOR_LOSS = ", neighbor loss"  # added to a method's name
OLDER_NEIGHBOR_LOSS = ", neighbour loss"  # codespell:ignore neighbour

RowKey = tuple[str, int | None]
"""Method and number of bits."""


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
class MeanShare:
    """Mean over queries with its 95 % interval, in percent."""

    mean: Percent
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CodesRow:
    """Fields of every row, which also has a `MeanShare` for each `recall_K` and `precision_K`, and curves. `bits`: None
    for float vectors; `bytes`: per image."""

    method: str
    bits: Count | None
    bytes: Count
    queries_per_second: NonNegative


@dataclass(frozen=True, kw_only=True)
class CodesResult:
    """Record in codes.json. `rows`: one per method, from `CodeComparison`; `queries`: number of query images;
    `curve_queries`: number of those, drawn at random, that curves are means over; 0 in older files, whose curves are of
    the first 500 in the order of the store; `training`: settings of the optimizer and the fit; older files lack it."""

    dataset: DatasetInfo
    network: FeatureNetwork
    codes: CodesInfo
    training: Settings | None = None
    queries: Count
    curve_queries: Count = 0
    seed: Count
    machine: SearchMachine
    rows: list[JsonObject]
    commit: str | None = None


def optimizer_settings(training: Settings) -> Settings:
    """Training settings of an auto-encoder's fit besides its own options, which `CodesInfo` has."""
    return {section: keys for section, keys in training.items() if section != "codes"}


def read_codes_result(path: Path) -> CodesResult:
    """Read codes.json. Raises UserError, naming the file and the field, if it is invalid."""
    result = read_record(path, CodesResult, "test again", use_present_spelling)
    for number, row in enumerate(result.rows):
        try:
            check_row(row, f"rows.{number}.")
        except ValueError as error:
            raise UserError(f"{path}: corrupt ({error}); test again") from error
    return result


def check_row(row: JsonObject, prefix: str) -> None:
    """Raise ValueError, naming the field, if a field that every row has, a metric or a curve is invalid."""
    parse_record(row, CodesRow, prefix)
    for name in row:
        if name.startswith(("recall_", "precision_")) and row[name] is not None:
            parse_record(row[name], MeanShare, f"{prefix}{name}.")
    curves = row.get("curves", {})
    if not isinstance(curves, dict) or not all(map(is_curve, curves.values())):
        raise ValueError(f"curves of {row['method']}")


def use_present_spelling(content: JsonObject) -> JsonObject:
    """Rename the methods of older records, in place."""
    for row in content["rows"]:
        if isinstance(name := row.get("method"), str):
            row["method"] = name.replace(OLDER_NEIGHBOR_LOSS, NEIGHBOR_LOSS)
    return content


def is_curve(curve: Any) -> bool:
    """Whether a value of a record is a precision-recall curve."""
    columns = [curve.get(name) for name in ("ranks", "precision", "recall")] if isinstance(curve, dict) else []
    lists = [column for column in columns if isinstance(column, list)]
    numbers = all(isinstance(value, int | float) for column in lists for value in column)
    return len(lists) == 3 and len({len(column) for column in lists}) == 1 and numbers


def rows_by_method(tests: Iterable[CodesResult]) -> dict[RowKey, dict[int, JsonObject]]:
    """Rows by method and number of bits, then by seed. Of several equal rows, the one timed under the lowest load."""
    found: dict[RowKey, dict[int, JsonObject]] = {}
    for test in sorted(tests, key=lambda test: -test.machine.load):
        for row in test.rows:
            found.setdefault((row["method"], row["bits"]), {})[test.seed] = row
    return found
