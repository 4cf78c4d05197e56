"""From a config of configs/codes.yaml (§7.1) to trainer, module and vectors of an auto-encoder's training."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import LearningRateMonitor
from omegaconf import DictConfig, OmegaConf

from alexnet_pl import recipe
from alexnet_pl.checkpoint import check_switches, read_checkpoint
from alexnet_pl.codebook import check_source
from alexnet_pl.codes import AutoEncoder, Codes
from alexnet_pl.data.vectors import Vectors
from alexnet_pl.errors import UserError
from alexnet_pl.features import Features, place
from alexnet_pl.section import make


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
        """What decides the network beside the width of the vectors."""
        return {key: getattr(self, key) for key in ("layer", "bits", "hidden", "binary", "noise")}


def make_options(cfg: DictConfig) -> Options:
    return make(Options, cfg.codes, "codes")


def open_features(options: Options, layer: str) -> tuple[Features, Features]:
    """Of the training images, and of those that are tested."""
    run = Path(options.features)
    if not run.is_dir():
        raise UserError(f"codes.features: {run} is not there; give the run folder of a network after `features`")
    train = Features(place(run, "train", layer))
    others = sorted(path.name for path in (run / "features").glob(f"*-{layer}") if path.name != f"train-{layer}")
    if not others:
        raise UserError(f"codes.features: {run}/features has {layer} of the training images alone; run features again")
    tested = Features(run / "features" / ("test-" + layer if f"test-{layer}" in others else others[-1]))
    train.check_alike(tested)
    return train, tested


def build(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, Codes, Vectors]:
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    options = make_options(cfg)
    train, tested = open_features(options, options.layer)
    net = make(AutoEncoder, {k: v for k, v in options.net.items() if k != "layer"}, "codes", width=train.width)
    switches = {"codes": {**options.net, "width": train.width}}
    given = {"net": net, "switches": switches, "source": train.identity, "epochs": cfg.trainer.max_epochs}
    module = make(Codes, cfg.optim, "optim", **given)
    check_switches(cfg.ckpt_path, switches)
    if cfg.ckpt_path:
        check_source(cfg.ckpt_path, read_checkpoint(cfg.ckpt_path)["alexnet_pl"], train)
    rates: list[L.Callback] = [LearningRateMonitor(logging_interval="epoch")]
    return recipe.make_trainer(cfg, folder, rates), module, Vectors(train, tested, cfg.data.batch_size, cfg.seed)


def training(cfg: DictConfig, source: dict[str, Any]) -> dict[str, Any]:
    """As `recipe.training`: what decides the codes beside their seed."""
    trainer: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    return {
        "codes": {**make_options(cfg).net, **source},
        "optim": OmegaConf.to_container(cfg.optim, resolve=True),
        "data": {"batch_size": cfg.data.batch_size},
        "trainer": {key: value for key, value in trainer.items() if key not in recipe.HARDWARE},
    }
