"""Records that several files of a run share: identity of images and checkpoints, and earlier runs (§7)."""

from dataclasses import dataclass, field
from typing import Annotated

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.files import Count

Schema = Annotated[int, (1, SCHEMA)]


@dataclass(frozen=True, kw_only=True)
class StoreIdentity:
    name: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo(StoreIdentity):
    """Identity of a set of images. `images`: of the whole split; `train_images`: of the store's training split;
    `classes`: how many; `class_list`: SHA-256 of their sorted ids; `missing`: files that the copy lacked."""

    split: str = ""
    images: Count = 0
    train_images: Count = 0
    classes: Count = 0
    class_list: str = ""
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """Identity of a checkpoint: SHA-256 of the file, and of the tensors in it, which older records lack."""

    sha256: str
    weights: str = ""
    file: str = ""
    step: Count = 0

    @property
    def network(self) -> str:
        """Hash that identifies the network: of the weights; in older records, of the file."""
        return self.weights or self.sha256


@dataclass(frozen=True, kw_only=True)
class ImportedWeights:
    """Weights that another program trained. `file`, `sha256`: the file that they were read from; `format`: its
    program; `classes`: what the order of its outputs was taken from."""

    file: str
    sha256: str
    format: str
    classes: str = ""


@dataclass(frozen=True, kw_only=True)
class LineageStage:
    """An earlier run whose layers a network started from. `training`: its settings, None unless it was finished;
    `changed`: whether they changed on the way."""

    store: DatasetInfo = field(default_factory=DatasetInfo)
    step: Count = 0
    training: Settings | None = None
    finished: bool = False
    ended_by: str | None = None
    changed: bool = False
    schema: Schema = 1
