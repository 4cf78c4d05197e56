"""Options of each config section, as dataclasses without torch."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.schema import instantiate
from alexnet_pl.config.sections import TestSection


@dataclass(frozen=True)
class Options:
    """Section `codes`."""

    features: str
    layer: str = "fc7"
    bits: int = 128
    hidden: list[int] = field(default_factory=lambda: [1024, 512])
    binary: str = "straight_through"
    noise: float = 4.0
    queries: int | None = 10_000

    def __post_init__(self) -> None:
        if self.queries is not None and self.queries < 1:
            raise ValueError(f"queries={self.queries}: at least 1, or null for all")

    @property
    def net(self) -> dict[str, Any]:
        """Options that decide the network, beside the width of the vectors."""
        return {key: getattr(self, key) for key in ("layer", "bits", "hidden", "binary", "noise")}


def make_options(cfg: DictConfig) -> Options:
    return instantiate(Options, cfg.codes, "codes")


@dataclass(frozen=True)
class Group:
    """Members to train: one for each seed, of a recipe with overrides."""

    recipe: str
    seeds: list[int]
    overrides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds={self.seeds}: one or more, each once")


@dataclass(frozen=True)
class Ensemble:
    """`groups` of members to make, or run folders of `members` that are there; how they are weighted.

    `tune_on`: the images on which `weights="tuned"` chooses: `half` of them, so that the errors reported are of the
    other half, or `same`, which flatters, and which the result then says.
    """

    groups: dict[str, Group] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    weights: str = "equal"
    tune_on: str | None = None

    def __post_init__(self) -> None:
        if self.weights not in ("equal", "tuned"):
            raise ValueError(f"weights={self.weights}: equal or tuned")
        if self.weights == "tuned" and self.tune_on not in ("half", "same"):
            raise ValueError(
                f"tune_on={self.tune_on}: say on which images the weights are tuned: half (of them, by name; errors "
                "are then reported on the other half) or same (the very images whose errors are reported)"
            )
        if self.weights == "equal" and self.tune_on is not None:
            raise ValueError(f"tune_on={self.tune_on}: only for weights=tuned")

    def members_to_make(self) -> dict[str, Group]:
        """None where run folders are given instead."""
        return {} if self.members else self.groups


@dataclass(frozen=True)
class FeatureOptions:
    """`split`: null for train and the one that is tested. `layer`: fc7 or pixels."""

    split: str | None = None
    layer: str = "fc7"


@dataclass(frozen=True)
class RetrievalOptions:
    """Among the images of `split`, `k` neighbours; `index`: flat, ivf or hnsw; `per_file`: at most one of so
    many; `codes`: a run folder of configs/codes.yaml, to search by short codes instead."""

    split: str = "train"
    k: int = 6
    index: str = "flat"
    per_file: int | None = None
    codes: str | None = None


def make_test(cfg: DictConfig) -> TestSection:
    return instantiate(TestSection, cfg.test, "test")


def feature_options(cfg: DictConfig) -> FeatureOptions:
    return instantiate(FeatureOptions, cfg.get("features") or {}, "features")


def retrieval_options(cfg: DictConfig) -> RetrievalOptions:
    return instantiate(RetrievalOptions, cfg.get("retrieval") or {}, "retrieval")


@dataclass(frozen=True)
class MonitorOptions:
    """`every_n_epochs`: how often to show the kernels and the table of predictions; also after the first and the last
    epoch. `num_images`: validation images in the table, 0 for none. `upload_checkpoints`: best.ckpt and last.ckpt
    become W&B artifacts at the end of a fit."""

    every_n_epochs: int = 5
    num_images: int = 16
    upload_checkpoints: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("every_n_epochs", self.every_n_epochs, 1), ("num_images", self.num_images, 0)):
            if value < least:
                raise ValueError(f"{name}={value}: at least {least}")


def make_watch(cfg: DictConfig) -> MonitorOptions:
    return instantiate(MonitorOptions, cfg.get("monitor") or {}, "monitor")  # which older run folders lack


@dataclass(frozen=True)
class DistributedOptions:
    """`timeout`: seconds that processes which train together wait for each other; `compress_gradients`: send them as
    bfloat16, half of the bytes; `bucket_mb`: megabytes of gradients that are sent together; `static_graph`: take the
    first step's order of gradients for all."""

    timeout: float = 600
    compress_gradients: bool = False
    bucket_mb: float = 25
    static_graph: bool = False

    def __post_init__(self) -> None:
        for key in ("timeout", "bucket_mb"):
            if (value := getattr(self, key)) <= 0:
                raise ValueError(f"{key}={value}: {'seconds' if key == 'timeout' else 'megabytes'}, above 0")


def distributed_options(cfg: DictConfig) -> DistributedOptions:
    return instantiate(DistributedOptions, cfg.get("distributed") or {}, "distributed")  # which older run folders lack


@dataclass(frozen=True)
class Transfer:
    """`layers`: copied from `weights`, a checkpoint; the others are initialised afresh. `pretrain_recipe`: the recipe
    with which `fit` trains that network first if there is no checkpoint; `data_roots`: the stores of such recipes, by
    data.name; `overrides`: of that recipe."""

    layers: list[str] = field(default_factory=list)
    weights: str | None = None
    pretrain_recipe: str | None = None
    data_roots: dict[str, str | None] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if bool(self.layers) != bool(self.weights or self.pretrain_recipe):
            lacking = "weights or pretrain_recipe" if self.layers else "layers"
            raise ValueError(f"{lacking}: has no value yet; which layers are carried over, and from where?")


def make_transfer(cfg: DictConfig) -> Transfer:
    return instantiate(Transfer, cfg.transfer, "transfer")


def make_ensemble(cfg: DictConfig) -> Ensemble:
    section = {key: value for key, value in cfg.ensemble.items_ex(resolve=False) if key != "groups"}
    groups = {
        str(name): instantiate(Group, group, f"ensemble.groups.{name}")
        for name, group in (cfg.ensemble.groups or {}).items()
    }
    return instantiate(Ensemble, OmegaConf.create(section), "ensemble", groups=groups)
