"""Entry `alexnet_pl` of a checkpoint: what its weights are of, and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from omegaconf import DictConfig

from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.json_records import parse_record
from alexnet_pl.runs.fit_status import finished_fit
from alexnet_pl.runs.records import DatasetInfo, ImportedWeights, LineageStage


@dataclass
class CheckpointMetadata:
    """Entry `alexnet_pl` of a checkpoint. `switches`: arguments of model and augmentation; `classes`: (id, name), in
    the order of the outputs; `store`: images trained on; `lineage`: networks that layers were taken from; `sums`: (2,
    3) sums of the epoch so far; `course`: settings that a resumed fit must share; `imported`: set for weights of
    another program; `filter`: resizing filter of the training images, "" if not known."""

    switches: dict[str, dict[str, Any]]
    classes: list[list[str]] = field(default_factory=list)  # empty for code networks
    store: DatasetInfo = field(default_factory=DatasetInfo)
    lineage: list[LineageStage] = field(default_factory=list)
    sums: torch.Tensor | None = None
    course: dict[str, Any] = field(default_factory=dict)
    imported: ImportedWeights | None = None
    filter: str = ""
    schema: Annotated[int, (1, SCHEMA)] = 1


def read_lineage(metadata: Mapping[str, Any]) -> list[LineageStage]:
    """Earlier runs listed in `metadata`, the entry `alexnet_pl` of a checkpoint."""
    return [parse_record(stage, LineageStage) for stage in metadata.get("lineage", [])]


def read_seed(metadata: Mapping[str, Any]) -> int | None:
    """Seed of the fit from `metadata`, the entry `alexnet_pl` of a checkpoint; None in older checkpoints."""
    return metadata.get("course", {}).get("seed")


def read_import(metadata: Mapping[str, Any]) -> ImportedWeights | None:
    """Origin of imported weights from `metadata`, the entry `alexnet_pl` of a checkpoint; None for trained weights."""
    return parse_record(metadata["imported"], ImportedWeights) if metadata.get("imported") else None


def lineage_with_own(path: Path, checkpoint: Mapping[str, Any]) -> list[LineageStage]:
    """Runs that a network comes from, oldest first, its own last. `checkpoint`: content of the file at `path`."""
    metadata, fit = checkpoint["alexnet_pl"], finished_fit(path, checkpoint)
    stage = LineageStage(
        schema=SCHEMA,
        store=parse_record(metadata.get("store", {}), DatasetInfo),
        step=checkpoint["global_step"],
        training=fit.training if fit else None,
        finished=fit is not None,
        ended_by=fit.ended_by if fit else None,
        changed=fit is not None and fit.changed,
    )
    return [*read_lineage(metadata), stage]


def resizing_filter(recorded: str, cfg: Mapping[str, Any] | DictConfig) -> str:
    """Filter with which the user's images become squares: that of the training images, if a checkpoint has `recorded`
    it, else `prepare.filter` of the run's config."""
    return recorded or str((cfg.get("prepare") or {}).get("filter", "bilinear"))
