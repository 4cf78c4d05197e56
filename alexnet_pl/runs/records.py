"""Records shared by several files of a run: identity of images and checkpoints, and earlier runs (§7)."""

from dataclasses import dataclass, field
from typing import Annotated

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.json_records import Count

Schema = Annotated[int, (1, SCHEMA)]


@dataclass(frozen=True, kw_only=True)
class StoreIdentity:
    name: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo(StoreIdentity):
    """Identity of a set of images. `images`: number in the split; `train_images`: number in the store's training split;
    `classes`: number of classes; `class_list`: SHA-256 of their sorted ids; `missing`: files missing from the copy.

    `size`: side of the stored squares, or shorter side, in pixels; `encoding`: raw, jpeg or whole. Older records lack
    both, so equality leaves them to the fingerprint.
    """

    split: str = ""
    images: Count = 0
    train_images: Count = 0
    classes: Count = 0
    class_list: str = ""
    missing: list[str] = field(default_factory=list)
    size: Count = field(default=0, compare=False)
    encoding: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """Identity of a checkpoint: SHA-256 of the file, and of its tensors (`weights`; missing in older records)."""

    sha256: str
    weights: str = ""
    file: str = ""
    step: Count = 0

    @property
    def network(self) -> str:
        """Hash that identifies the network: of the weights, or of the file in older records."""
        return self.weights or self.sha256


@dataclass(frozen=True, kw_only=True)
class ImportedWeights:
    """Weights trained by another program. `file`, `sha256`: the file they were read from; `format`: its program;
    `classes`: source of the order of its outputs."""

    file: str
    sha256: str
    format: str
    classes: str = ""


@dataclass(frozen=True, kw_only=True)
class LineageStage:
    """An earlier run from which a network took layers. `training`: its settings, None unless it was finished;
    `changed`: whether settings changed during the run; `weights`: `network_sha256` of the network that layers were
    taken from. Older records and stages before the last lack it, so equality leaves it out."""

    store: DatasetInfo = field(default_factory=DatasetInfo)
    step: Count = 0
    training: Settings | None = None
    finished: bool = False
    ended_by: str | None = None
    changed: bool = False
    weights: str = field(default="", compare=False)
    schema: Schema = 1
