"""Short binary codes (§7.1; §6.1 of 2012): retrieval "could be made efficient by training an auto-encoder to compress
these vectors to short binary codes".

A deep auto-encoder in the manner of Krizhevsky & Hinton (2011), the paper's reference for it, trained by squared error.
Theirs has logistic units and is pre-trained layer by layer as a belief network; here hidden units are ReLUs, and it is
trained as a whole.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from omegaconf import DictConfig
from torch import Tensor

from alexnet_pl.config.options import Options, make_options
from alexnet_pl.config.schema import instantiate
from alexnet_pl.data.loading.loaders import EpochPosition, epoch_order
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.build import make_trainer
from alexnet_pl.models.autoencoder import BLOCK, AutoEncoder
from alexnet_pl.retrieval.codebook import check_source
from alexnet_pl.retrieval.features import Features, features_dir
from alexnet_pl.runs.checkpoint import check_compatible, read_checkpoint


def statistics(features: Features) -> tuple[np.ndarray, float]:
    """Mean, (width,) float32, and the root of the mean variance of all numbers, in one pass."""
    total, squares = np.zeros(features.width), np.zeros(features.width)
    for start in range(0, len(features), BLOCK):
        block = features.values[start : start + BLOCK].astype(np.float64)
        total, squares = total + block.sum(0), squares + np.square(block).sum(0)
    mean = total / len(features)
    variance = np.maximum(squares / len(features) - mean**2, 0)
    return mean.astype(np.float32), float(np.sqrt(variance.mean()))


class Codes(L.LightningModule):
    """The auto-encoder and how it learns: Adam, at a rate that falls to zero along a straight line.

    `source`: what its features are of (`Features.identity`); a checkpoint carries it, and codes of other features are
    refused.
    """

    def __init__(
        self, net: AutoEncoder, switches: dict[str, Any], source: dict[str, Any], lr: float = 0.001, epochs: int = 1
    ) -> None:
        super().__init__()
        if lr < 0:
            raise ValueError(f"lr={lr}: not below 0")
        self.net, self.switches, self.source, self.lr, self.epochs = net, switches, source, lr, epochs
        self.progress_metrics: dict[str, float] = {}  # beside the progress bar

    def configure_optimizers(self) -> Any:
        adam = torch.optim.Adam(self.net.parameters(), self.lr, fused=True)
        falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda epoch: max(0.0, 1 - epoch / self.epochs))
        return {"optimizer": adam, "lr_scheduler": falling}

    def training_step(self, vectors: Tensor, index: int) -> Tensor:
        loss = self.net(vectors).mean()
        if not torch.isfinite(loss):
            raise UserError(f"the training loss is {float(loss)} by step {self.global_step}; try a smaller optim.lr")
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, vectors: Tensor, index: int) -> None:
        self.log("val/loss", self.net(vectors).mean(), prog_bar=True, batch_size=len(vectors), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        self.log("step", float(self.global_step), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        course = {"seed": data.seed, "batch_size": data.batch_size}
        checkpoint["alexnet_pl"] = {"switches": self.switches, "course": course, "source": self.source}


class VectorLoader(EpochPosition):
    """(batch, width) float32 in a new random order each epoch, or with `shuffled` false in order, all of them.

    The order is a function of (seed, epoch), so that a resumed run needs only (epoch, done). Of several devices, each
    takes its share of every batch.
    """

    def __init__(
        self, features: Features, batch_size: int, seed: int, shuffled: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__()
        self.features, self.batch_size, self.seed, self.shuffled = features, batch_size, seed, shuffled
        self.share = slice(rank, None, world)
        count = len(features)
        self.batches = max(1, count // batch_size) if shuffled else -(-count // batch_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:
        if self.shuffled:
            self.start_epoch()
        first = self.done if self.shuffled else 0
        count = len(self.features)
        order = epoch_order(count, self.seed, self.epoch) if self.shuffled else np.arange(count)
        for i in range(first, len(self)):
            self.done = i + 1
            numbers = order[i * self.batch_size : (i + 1) * self.batch_size][self.share]
            yield torch.from_numpy(self.features.rows(np.sort(numbers)))


class Origin(NamedTuple):
    """The store that the features are of, as provenance names it."""

    name: str
    fingerprint: str


class Vectors(L.LightningDataModule):
    """Features to learn from, and others to see how well."""

    def __init__(self, train: Features, val: Features, batch_size: int, seed: int = 0) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1")
        self.train, self.val, self.batch_size, self.seed = train, val, batch_size, seed
        self.position: dict[str, int] | None = None

    @property
    def store(self) -> Origin:
        about = self.train.about["dataset"]
        return Origin(about["name"], about["fingerprint"])

    def place(self) -> tuple[int, int]:
        """Rank and number of devices."""
        assert self.trainer is not None
        return self.trainer.global_rank, self.trainer.world_size

    @cached_property
    def training(self) -> VectorLoader:
        return VectorLoader(self.train, self.batch_size, self.seed, True, *self.place())

    def train_dataloader(self) -> VectorLoader:
        if self.position is not None:
            self.training.load_state_dict(self.position)
        return self.training

    def val_dataloader(self) -> VectorLoader:
        return VectorLoader(self.val, self.batch_size, self.seed, False, *self.place())

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.training.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.position = state_dict["position"]


def open_features(options: Options, layer: str) -> tuple[Features, Features]:
    """Features of the training images and of the tested ones."""
    run = Path(options.features)
    if not run.is_dir():
        raise UserError(f"codes.features: {run} is not there; give the run folder of a network after `features`")
    train = Features(features_dir(run, "train", layer))
    others = sorted(path.name for path in (run / "features").glob(f"*-{layer}") if path.name != f"train-{layer}")
    if not others:
        raise UserError(f"codes.features: {run}/features has {layer} of the training images alone; run features again")
    tested = Features(run / "features" / ("test-" + layer if f"test-{layer}" in others else others[-1]))
    train.check_alike(tested)
    return train, tested


def build_codes(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, Codes, Vectors]:
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    options = make_options(cfg)
    train, tested = open_features(options, options.layer)
    net = instantiate(AutoEncoder, {k: v for k, v in options.net.items() if k != "layer"}, "codes", width=train.width)
    switches = {"codes": {**options.net, "width": train.width}}
    given = {"net": net, "switches": switches, "source": train.identity, "epochs": cfg.trainer.max_epochs}
    module = instantiate(Codes, cfg.optim, "optim", **given)
    check_compatible(cfg.ckpt_path, switches)
    if cfg.ckpt_path:
        check_source(cfg.ckpt_path, read_checkpoint(cfg.ckpt_path)["alexnet_pl"], train)
    rates: list[L.Callback] = [LearningRateMonitor(logging_interval="epoch")]
    return make_trainer(cfg, folder, rates), module, Vectors(train, tested, cfg.data.batch_size, cfg.seed)
