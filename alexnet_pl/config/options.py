"""Options of config sections as dataclasses; does not import torch."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.schema import instantiate, read_section
from alexnet_pl.config.views import TestSection


@dataclass(frozen=True)
class CodeOptions:
    """Section `codes`; its keys are described in configs/codes.yaml."""

    features: str
    layer: str = "fc7"
    bits: int = 128
    hidden: list[int] = field(default_factory=lambda: [1024, 512])
    binary: str = "straight_through"
    noise: float = 4.0
    neighbors: float = 0.0
    queries: int | None = 10_000

    def __post_init__(self) -> None:
        if self.neighbors < 0:
            raise ValueError(f"neighbors={self.neighbors}: a weight, at least 0")
        if self.queries is not None and self.queries < 1:
            raise ValueError(f"queries={self.queries}: at least 1, or null for all")

    @property
    def net(self) -> dict[str, Any]:
        """Options that decide the network, apart from the width of the vectors."""
        return {key: getattr(self, key) for key in ("layer", "bits", "hidden", "binary", "noise")}

    @property
    def learned(self) -> dict[str, Any]:
        """Options that decide the codes. A neighbor loss of weight 0 is left out, as in older runs."""
        return {**self.net, **({"neighbors": self.neighbors} if self.neighbors else {})}


def make_code_options(cfg: DictConfig) -> CodeOptions:
    return instantiate(CodeOptions, cfg.codes, "codes")


@dataclass(frozen=True)
class EnsembleGroup:
    """Members of an ensemble: one per seed, trained by a recipe with overrides."""

    recipe: str
    seeds: list[int]
    overrides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds={self.seeds}: one or more, each once")


@dataclass(frozen=True)
class EnsembleOptions:
    """Section `ensemble`; its keys are described in configs/_base.yaml."""

    groups: dict[str, EnsembleGroup] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    weights: str = "equal"
    tune_on: str | None = None

    def __post_init__(self) -> None:
        if self.weights not in ("equal", "tuned"):
            raise ValueError(f"weights={self.weights}: equal or tuned")
        if self.weights == "tuned" and self.tune_on not in ("half", "same"):
            raise ValueError(
                f"tune_on={self.tune_on}: choose the images to tune the weights on: half (by name; errors are reported "
                "on the other half) or same (those whose errors are reported)"
            )
        if self.weights == "equal" and self.tune_on is not None:
            raise ValueError(f"tune_on={self.tune_on}: only for weights=tuned")

    def members_to_make(self) -> dict[str, EnsembleGroup]:
        """Groups to train; empty if run folders are given instead."""
        return {} if self.members else self.groups


def make_ensemble_options(cfg: DictConfig) -> EnsembleOptions:
    section = {key: value for key, value in cfg.ensemble.items_ex(resolve=False) if key != "groups"}
    groups = {
        str(name): instantiate(EnsembleGroup, group, f"ensemble.groups.{name}")
        for name, group in (cfg.ensemble.groups or {}).items()
    }
    return instantiate(EnsembleOptions, OmegaConf.create(section), "ensemble", groups=groups)


@dataclass(frozen=True)
class FeatureOptions:
    """Section `features`; its keys are described in configs/_base.yaml."""

    split: str | None = None
    layer: str = "fc7"


def make_feature_options(cfg: DictConfig) -> FeatureOptions:
    return read_section(FeatureOptions, cfg, "features")


@dataclass(frozen=True)
class RetrievalOptions:
    """Section `retrieval`; its keys are described in configs/_base.yaml."""

    split: str = "train"
    k: int = 6
    index: str = "flat"
    per_file: int | None = None
    codes: str | None = None


def make_retrieval_options(cfg: DictConfig) -> RetrievalOptions:
    return read_section(RetrievalOptions, cfg, "retrieval")


@dataclass(frozen=True)
class ProbeOptions:
    """Section `probe`; its keys are described in configs/_base.yaml."""

    layer: str = "fc7"
    penalties: list[float] = field(default_factory=lambda: [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
    held_out: float = 0.2
    shots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError(f"penalties={self.penalties}: above 0")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out={self.held_out}: above 0 and below 1")
        if any(count < 1 for count in self.shots):
            raise ValueError(f"shots={self.shots}: at least 1")


def make_probe_options(cfg: DictConfig) -> ProbeOptions:
    return read_section(ProbeOptions, cfg, "probe")


def make_test_section(cfg: DictConfig) -> TestSection:
    return instantiate(TestSection, cfg.test, "test")


@dataclass(frozen=True)
class MonitorOptions:
    """Section `monitor`; its keys are described in configs/_base.yaml."""

    every_n_epochs: int = 5
    num_images: int = 16
    upload_checkpoints: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("every_n_epochs", self.every_n_epochs, 1), ("num_images", self.num_images, 0)):
            if value < least:
                raise ValueError(f"{name}={value}: at least {least}")


def make_monitor_options(cfg: DictConfig) -> MonitorOptions:
    return read_section(MonitorOptions, cfg, "monitor")


@dataclass(frozen=True)
class DistributedOptions:
    """Section `distributed`; its keys are described in configs/_base.yaml."""

    timeout: float = 600
    compress_gradients: bool = False

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError(f"timeout={self.timeout}: seconds, above 0")


def make_distributed_options(cfg: DictConfig) -> DistributedOptions:
    return read_section(DistributedOptions, cfg, "distributed")


ALL = "all"  # all layers that are copied
NETWORKS = ("recipe", "weights")
SOURCES = "RUN, a checkpoint, model.safetensors or hf://USER/REPOSITORY"


@dataclass(frozen=True)
class TransferOptions:
    """Section `transfer`; its keys are described in configs/_base.yaml."""

    layers: list[str] | None = field(default_factory=list)
    weights: str | None = None
    network: str = "recipe"
    freeze: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    pretrain_recipe: str | None = None
    data_roots: dict[str, str | None] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network={self.network}: one of {', '.join(NETWORKS)}")
        if wrong := [name for name, rate in self.rates.items() if rate < 0]:
            raise ValueError(f"rates.{wrong[0]}={self.rates[wrong[0]]}: at least 0")
        if ALL in self.freeze and len(self.freeze) > 1:
            raise ValueError(f"freeze={self.freeze}: {ALL} alone, or the names of layers")
        if self.needs_weights and not self.weights:
            raise ValueError(f"weights is required: pass transfer.weights={SOURCES}")
        copies = self.layers is None or bool(self.layers) or self.network == "weights"
        if copies != bool(self.weights or self.pretrain_recipe):
            raise ValueError(
                f"weights or pretrain_recipe is required with transfer.layers: pass transfer.weights={SOURCES}"
                if copies
                else "layers is empty, so nothing would be copied; name layers, such as transfer.layers=conv1,conv2, "
                "or use the recipe finetune"
            )

    @property
    def needs_weights(self) -> bool:
        """Whether the weights must exist before anything about the network is known."""
        return self.network == "weights" or (self.layers is None and not self.pretrain_recipe)


def make_transfer_options(cfg: DictConfig) -> TransferOptions:
    return instantiate(TransferOptions, cfg.transfer, "transfer")
